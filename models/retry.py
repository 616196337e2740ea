"""When a failed attempt at a provider is tried again, and how long to wait before."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from models.errors import ModelError

T = TypeVar("T")

OUTAGE_SECONDS = 60.0
"""How long a model that has answered before is waited for while it is away."""
_LONGEST_OUTAGE_WAIT = 5.0


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Exponential backoff with jitter; all times in seconds.

    ``total`` bounds the time from the first attempt to the last one's start; a provider's
    ``Retry-After`` is honoured, and where it is longer than ``longest_told`` or does not fit in the
    bound the failure stands.
    """

    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 20.0
    longest_told: float = math.inf
    total: float = 120.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    async def run(self, attempt: Callable[[], Awaitable[T]], *, outage: float = 0.0) -> T:
        """The first success, or the last ``ModelError``; other exceptions pass at once.

        A provider that is away is tried however often, for ``outage`` seconds since it failed.
        """
        started = self.clock()
        failing: float | None = None
        tries = 1
        while True:
            try:
                return await attempt()
            except ModelError as error:
                if not error.retryable:
                    raise
                wait = self.wait_before(tries, error)
                failing = self.clock() if failing is None else failing
                if tries >= self.attempts:
                    if error.retry_after is None:
                        wait = min(wait, _LONGEST_OUTAGE_WAIT)
                    if not error.away or self.clock() - failing + wait > outage:
                        raise
                if (error.retry_after or 0.0) > self.longest_told:
                    raise
                if self.clock() - started + wait > self.total:
                    raise
            await self.sleep(wait)
            tries += 1

    def wait_before(self, retry: int, error: ModelError) -> float:
        """Seconds before the given retry, counted from 1; half of the backoff is jitter."""
        if error.retry_after is not None:
            return error.retry_after
        backoff = min(self.longest_wait, self.first_wait * 2.0 ** (retry - 1))
        return backoff * (0.5 + 0.5 * self.jitter())


class Retrying(Protocol):
    """How attempts are made until one succeeds."""

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T: ...


class Enduring:
    """``retry`` for a provider that is waited for while it is away, once it has answered.

    Before that it is more likely not there at all, which is to be told at once.
    """

    def __init__(self, retry: Retry | None = None, *, outage: float = OUTAGE_SECONDS) -> None:
        self._retry = retry or Retry()
        self._outage = outage
        self._answered = False

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        done = await self._retry.run(attempt, outage=self._outage if self._answered else 0.0)
        self._answered = True
        return done
