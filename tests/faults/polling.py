"""Waiting for what another process does: bounded, and saying what did not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 0.02
STARVED_TIMES = 5.0
"""How much longer a bound is where tasks wait for a CPU all the time."""
_PRESSURE = Path("/proc/pressure/cpu")


class NotInTimeError(AssertionError):
    """What was waited for did not happen within its bound."""


async def eventually(
    check: Callable[[], Awaitable[T]], *, within: float, what: str, every: float = EVERY_SECONDS
) -> T:
    """The first truthy result of ``check``. Raises NotInTimeError after ``within`` seconds.

    That is what holds on a machine with time to spare. Where tasks had to wait for a CPU, as the
    kernel counts it, the bound is longer by how much of the time they did.
    """
    began, stalled = time.monotonic(), _stalled_seconds()
    deadline = began + within
    while True:
        try:
            async with asyncio.timeout(max(0.5, deadline - time.monotonic())):
                found = await check()
        except TimeoutError:
            found = None
        if found:
            return found
        now = time.monotonic()
        if now > deadline:
            share = min(1.0, (_stalled_seconds() - stalled) / (now - began))
            deadline = began + within * (1 + (STARVED_TIMES - 1) * share)
        if now > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what} (last seen: {found!r})")
        await asyncio.sleep(every)


def _stalled_seconds() -> float:
    """For how long some task has waited for a CPU since the start; 0 where nobody counts."""
    try:
        told = _PRESSURE.read_text("ascii")
    except OSError:
        return 0.0
    return int(told.partition("total=")[2].split(None, 1)[0]) / 1_000_000
