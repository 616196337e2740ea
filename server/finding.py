"""What was found of one part of Counterpoint, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a part is. A warning does not keep Counterpoint from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part: what was found and, where it is not right, what mends it."""

    part: str
    state: State
    detail: str
    remedy: str = ""


def failed(part: str, message: str) -> Finding:
    """A part that fails, by an error that was written for people."""
    return split(part, message, state=State.FAIL)


def split(part: str, message: str, *, state: State) -> Finding:
    """An error's line holds the remedy behind its last semicolon or colon."""
    detail, mark, remedy = message.rpartition("; ")
    if not mark:
        detail, mark, remedy = message.partition(": ")
    return Finding(part=part, state=state, detail=detail or message, remedy=remedy)
