"""What an agent is: a prompt, tools by name, a model role, limits, and how its words are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from models.registry import Role

_TURN = re.compile(r"^--- (user|assistant)[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Say:
    """The agent's result, in words."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """The agent wants a tool with these arguments."""

    tool: str
    args: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NotFound:
    """The agent says that what it was given does not answer the question."""


Move = Say | Call | NotFound


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A system text, and examples as (user, assistant) turns that stand before the real one.

    Both are constant, so that a server's prefix cache keeps them.
    """

    system: str
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One voice of the team.

    ``read`` says what a plain text of the agent means; models that are offered the tools natively
    may call them as well. ``opening`` names a tool that is called with the instruction before the
    first thought: where the first step is always the same, no model is asked for it.
    ``max_steps`` counts model calls of one task, ``max_tokens`` bounds one reply, ``evidence`` the
    characters of passages in one prompt.
    """

    name: str
    description: str
    prompt: Prompt
    role: Role
    read: Callable[[str], Move]
    tools: tuple[str, ...] = ()
    opening: str | None = None
    max_steps: int = 4
    max_tokens: int = 400
    evidence: int = 2_600


def read_prompt(name: str) -> Prompt:
    """``agents/prompts/NAME.md``: the system text, then turns after ``--- user`` and so on.

    Raises ValueError where the turns do not alternate.
    """
    text = (resources.files("agents") / "prompts" / f"{name}.md").read_text("utf-8")
    system, *turns = _TURN.split(text)
    speakers, words = turns[::2], [turn.strip() for turn in turns[1::2]]
    if speakers != ["user", "assistant"] * (len(speakers) // 2):
        raise ValueError(f"prompt {name}: the examples do not alternate user and assistant")
    return Prompt(system=system.strip(), examples=tuple(zip(words[::2], words[1::2], strict=True)))
