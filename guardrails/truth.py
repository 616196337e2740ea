"""Three-valued truth: what cannot be told about a call is neither yes nor no.

A rule that allows needs a plain yes; one that asks or denies is only kept away by a plain no. So
what is missing or of the wrong type always ends on the careful side.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Truth(Enum):
    """Whether something holds; UNKNOWN where the arguments do not tell."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def of(known: bool, /) -> Truth:  # noqa: FBT001 - it is the value itself
    """The truth of what is known."""
    return Truth.YES if known else Truth.NO


def negated(truth: Truth) -> Truth:
    """Not."""
    return {Truth.YES: Truth.NO, Truth.NO: Truth.YES}.get(truth, Truth.UNKNOWN)


def every(truths: Iterable[Truth]) -> Truth:
    """And: NO where one is NO, YES where all are YES (also of none)."""
    seen = set(truths)
    if Truth.NO in seen:
        return Truth.NO
    return Truth.UNKNOWN if Truth.UNKNOWN in seen else Truth.YES


def some(truths: Iterable[Truth]) -> Truth:
    """Or: YES where one is YES, NO where all are NO (also of none)."""
    return negated(every(negated(truth) for truth in truths))


def unanimous(truths: Iterable[Truth]) -> Truth:
    """What all say; UNKNOWN where they differ or none says anything."""
    seen = set(truths)
    return seen.pop() if len(seen) == 1 else Truth.UNKNOWN
