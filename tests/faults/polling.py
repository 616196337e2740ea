"""Waiting for what another process does: bounded, and saying what did not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 0.02


class NotInTimeError(AssertionError):
    """What was waited for did not happen within its bound."""


async def eventually(
    check: Callable[[], Awaitable[T]], *, within: float, what: str, every: float = EVERY_SECONDS
) -> T:
    """The first truthy result of ``check``. Raises NotInTimeError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            async with asyncio.timeout(max(0.5, deadline - time.monotonic())):
                found = await check()
        except TimeoutError:
            found = None
        if found:
            return found
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what} (last seen: {found!r})")
        await asyncio.sleep(every)
