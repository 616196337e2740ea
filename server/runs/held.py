"""A run in the hands of this worker, and what went wrong with its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from enum import Enum, auto

from redis.exceptions import RedisError

from graphs.fence import FencedError
from server.runs.endings import Outcome
from server.runs.moves import Queued
from server.runs.record import RunFencedError
from server.telemetry.hearing import Left


class Why(Enum):
    """Why the work was interrupted."""

    CANCELLED = auto()
    """Somebody wants the run's end."""
    STOPPING = auto()
    """The worker stops, and gives it back."""
    LOST = auto()
    """It is, or may be, another worker's: nothing more may be written."""


class Held:
    """The work on one run. ``token`` is 0 until it is claimed; ``renewed`` is when its lease was
    asked for last, by the monotonic clock, in seconds. ``over``: its end or pause is stored."""

    def __init__(self) -> None:
        self.token = 0
        self.renewed = 0.0
        self.why: Why | None = None
        self.over = False
        self.after = Queued()
        self._fenced = False
        self._work: asyncio.Future[Outcome] | None = None

    def left(self, error: BaseException | None) -> Left:
        """How this worker lets go of the run; ``error`` is what the attempt ends with, if any."""
        lost = self._fenced or (error is not None and failure_of(error) is Failure.FENCED)
        return Left(ended=self.over, lost=lost or self.why is Why.LOST)

    def take(self, token: int, *, at: float) -> None:
        self.token, self.renewed = token, at

    def begin(self, work: Awaitable[Outcome]) -> asyncio.Future[Outcome]:
        self._work = asyncio.ensure_future(work)
        if self.why is not None:
            self._work.cancel()
        return self._work

    def interrupt(self, why: Why) -> None:
        """Cancel the work, once: a second cancel would cut its cleaning up short."""
        first = self.why is None
        if first or why is Why.LOST:
            self.why = why
        if first and self._work is not None:
            self._work.cancel()

    async def ended(self) -> None:
        """Wait for the work, also when this task is being cancelled with everything else."""
        assert self._work is not None
        while not self._work.done():
            try:
                await asyncio.wait({self._work})
            except asyncio.CancelledError:
                self.interrupt(Why.CANCELLED)
        if not self._work.cancelled() and (error := self._work.exception()) is not None:
            self._fenced = failure_of(error) is Failure.FENCED


class Failure(Enum):
    """What an exception out of the work, or out of its events, means for the run."""

    FENCED = auto()
    """Another worker has it."""
    REDIS = auto()
    """It waits until Redis is back."""
    INSIDE = auto()
    """It failed."""


def failure_of(error: BaseException) -> Failure:
    """Looks into groups and causes: the work may wrap what it meets."""
    found = list(_within(error))
    if any(isinstance(one, FencedError | RunFencedError) for one in found):
        return Failure.FENCED
    if any(isinstance(one, RedisError) for one in found):
        return Failure.REDIS
    return Failure.INSIDE


def _within(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    yield error
    if depth == 0:
        return
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _within(one, depth - 1)
    if error.__cause__ is not None:
        yield from _within(error.__cause__, depth - 1)
