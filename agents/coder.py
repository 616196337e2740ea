"""The coder: calculates with code that really runs, from facts that it was given."""

from __future__ import annotations

import re

from agents.agent import Agent, Call, Move, NotFound, Say, read_prompt
from models.registry import Role

NAME = "coder"
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)
_NOT_FOUND = re.compile(r"\bNOT[ _]FOUND\b")


def read(text: str) -> Move:
    """A fenced block is code to run; anything else is the result in words."""
    blocks = [block.strip() for block in _FENCE.findall(text) if block.strip()]
    if blocks:
        return Call(tool="run_python", args={"code": "\n\n".join(blocks)})
    if not text.strip() or _NOT_FOUND.search(text):
        return NotFound()
    return Say(text=text.strip())


def build() -> Agent:
    return Agent(
        name=NAME,
        description="calculates with Python, from facts in the documents and from the user's files",
        prompt=read_prompt(NAME),
        role=Role.WORKER,
        read=read,
        tools=("run_python", "search_documents"),
        opening="search_documents",
        max_steps=8,
        max_tokens=700,
        evidence=2_000,
    )
