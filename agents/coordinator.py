"""The coordinator: decides who does what, and writes the answer from what they found."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from agents.agent import Agent, Say, read_prompt
from models.registry import Role

NAME = "coordinator"
WRITER = "writer"
REWRITER = "rewriter"


class Plan(BaseModel):
    """What to do with a message.

    The order of the fields is the order in which a model writes them.
    """

    move: Literal["reply", "research", "calculate"] = Field(
        description="reply: greetings and small talk; research: look it up; calculate: work it out"
    )
    text: str = Field(default="", max_length=400, description="the reply, else empty")
    tasks: list[str] = Field(
        default_factory=list, max_length=4, description="complete questions, one a task"
    )


def build() -> Agent:
    return Agent(
        name=NAME,
        description="plans the work and writes the answer",
        prompt=read_prompt(NAME),
        role=Role.COORDINATOR,
        read=lambda text: Say(text=text.strip()),
        max_steps=2,
        max_tokens=300,
    )


def writer() -> Agent:
    """The coordinator's other voice: it writes one answer from several findings."""
    return Agent(
        name=NAME,
        description="writes one answer from several findings",
        prompt=read_prompt(WRITER),
        role=Role.COORDINATOR,
        read=lambda text: Say(text=text.strip()),
        max_tokens=400,
    )


def rewriter() -> Agent:
    """The coordinator of a model too small to plan and to understand a follow-up in one step."""
    return Agent(
        name=NAME,
        description="makes a follow-up question complete",
        prompt=read_prompt(REWRITER),
        role=Role.COORDINATOR,
        read=lambda text: Say(text=text.strip()),
        max_tokens=160,
    )
