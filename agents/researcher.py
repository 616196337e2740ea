"""The researcher: finds what the documents say, and says so when they do not."""

from __future__ import annotations

import re

from agents.agent import Agent, Move, NotFound, Say, read_prompt
from models.registry import Role

NAME = "researcher"
GATHERER = "gatherer"
SUMMARISER = "summariser"
CONDENSER = "condenser"
_NOT_FOUND = re.compile(r"\bNOT[ _]FOUND\b")


def read(text: str) -> Move:
    """What the researcher's words mean: an answer, or that the passages do not hold it."""
    text = text.strip()
    if not text or _NOT_FOUND.search(text):
        return NotFound()
    return Say(text=text)


def build() -> Agent:
    return Agent(
        name=NAME,
        description="finds facts in the documents",
        prompt=read_prompt(NAME),
        role=Role.WORKER,
        read=read,
        tools=("search_documents",),
        opening="search_documents",
        max_steps=4,
        max_tokens=300,
    )


def gatherer() -> Agent:
    """The researcher preparing a calculation: it lists facts, and leaves the sums to the coder."""
    return Agent(
        name=NAME,
        description="lists the facts that a calculation needs",
        prompt=read_prompt(GATHERER),
        role=Role.WORKER,
        read=read,
        tools=("search_documents",),
        opening="search_documents",
        max_steps=4,
        max_tokens=220,
        evidence=2_000,
    )


def summariser() -> Agent:
    """The researcher reading a whole document: it takes notes of each part."""
    return Agent(
        name=NAME,
        description="takes notes of a document, part by part",
        prompt=read_prompt(SUMMARISER),
        role=Role.WORKER,
        read=read,
        tools=("read_document",),
        max_tokens=200,
        evidence=2_600,
    )


def condenser() -> Agent:
    """The researcher making one text of its notes."""
    return Agent(
        name=NAME,
        description="makes one text of the notes of a document",
        prompt=read_prompt(CONDENSER),
        role=Role.WORKER,
        read=read,
        max_tokens=260,
        evidence=2_600,
    )
