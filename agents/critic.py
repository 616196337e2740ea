"""The critic: holds a draft against what was found, claim by claim."""

from __future__ import annotations

from pydantic import BaseModel, Field

from agents import researcher
from agents.agent import Agent, Say, read_prompt
from models.registry import Role

NAME = "critic"
CHECKER = "checker"
READER = "reader"


class Judgement(BaseModel):
    """The critic's word; the reason comes first, so that the verdict follows from it."""

    reason: str = Field(max_length=240, description="what the passage says about the question")
    supported: bool = Field(description="whether the passage says what the answer says")


def build() -> Agent:
    return Agent(
        name=NAME,
        description="checks an answer against its sources",
        prompt=read_prompt(NAME),
        role=Role.CRITIC,
        read=lambda text: Say(text=text.strip()),
        tools=("search_documents",),
        max_steps=1,
        max_tokens=160,
        evidence=2_400,
    )


def checker() -> Agent:
    """The critic asked alone: it looks for what stands behind a statement, and says so."""
    return Agent(
        name=NAME,
        description="checks statements against the documents",
        prompt=read_prompt(CHECKER),
        role=Role.CRITIC,
        read=researcher.read,
        tools=("search_documents",),
        opening="search_documents",
        max_steps=3,
        max_tokens=300,
    )


def reader() -> Agent:
    """The critic of a model too small to judge: it reads the cited passages anew, blind."""
    return Agent(
        name=NAME,
        description="reads the cited passages a second time, without the draft",
        prompt=read_prompt(researcher.NAME),
        role=Role.CRITIC,
        read=researcher.read,
        max_steps=1,
        max_tokens=120,
        evidence=2_400,
    )
