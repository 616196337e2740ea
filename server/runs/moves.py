"""What comes of a move of a run record: whose turn it is then, an attempt, a new run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from server.runs.record import RunRecord


class ClaimOutcome(StrEnum):
    """What a worker learns when it asks for a run."""

    HELD = "running"
    """The run is its own, for one attempt."""
    EXHAUSTED = "exhausted"
    """No attempt is left; the run is its own to be ended."""
    UNWANTED = "unwanted"
    """Somebody asked for the run's end before the attempt began; it is its own to be ended."""
    PARKED = "parked"
    """Only a newer worker understands it: it waits for one, and no attempt is counted."""
    ELSEWHERE = "elsewhere"
    """It is held by another worker, waits for its turn, is paused or over."""


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Runs to put on the engine's queue: for the first time, and again."""

    first: Sequence[str] = ()
    again: Sequence[str] = ()

    @classmethod
    def of(cls, reply: Sequence[Any]) -> Queued:
        """The last two parts of a script's reply."""
        first, again = ([word.decode() for word in words] for words in reply[-2:])
        return cls(first=first, again=again)

    def __len__(self) -> int:
        return len(self.first) + len(self.again)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What came of asking for a run: ``record`` is it with this attempt and its token."""

    outcome: ClaimOutcome
    record: RunRecord
    queued: Queued = Queued()

    @property
    def attempt(self) -> int:
        return self.record.attempts

    @property
    def token(self) -> int:
        return self.record.token


@dataclass(frozen=True, kw_only=True)
class Created:
    """What came of asking for a run to be made. ``run_id`` is another's where a key was known.

    ``ended`` are runs of the thread that ended by it, ``flagged`` those whose workers have to end
    them.
    """

    run_id: str
    is_new: bool
    record: RunRecord
    ended: Sequence[str]
    flagged: Sequence[str]
    queued: Queued
