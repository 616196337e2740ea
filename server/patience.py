"""Ends work for certain. Python 3.11's ``wait_for``, which redis-py uses, may swallow a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

# How long cancelled work may clean up before it is told again.
AGAIN_SECONDS = 1.0
# The same for tasks in the background, which have little to clean up.
BACKGROUND_SECONDS = 0.5

Result = TypeVar("Result")


class OverdueError(Exception):
    """The work took longer than it had, and was ended."""


class Clock:
    """How long work may take: ``most`` seconds, until it finds that it has fewer left."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + most
        self._changed = asyncio.Event()

    @property
    def left(self) -> float:
        return self._ends - self._loop.time()

    def shorten(self, seconds: float) -> None:
        """From now on only so many seconds are left, if they are fewer."""
        self._ends = min(self._ends, self._loop.time() + seconds)
        self._changed.set()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()


async def until_over(work: Coroutine[Any, Any, Result], *, clock: Clock | None = None) -> Result:
    """The work's result, in a task of its own. Raises OverdueError, and whatever the work raises.

    When this is cancelled, or the time is over, the work is cancelled until it has ended.
    """
    task = asyncio.ensure_future(work)
    told = None if clock is None else asyncio.ensure_future(clock.changed())
    try:
        while not task.done():
            if clock is not None and clock.left <= 0:
                await _end(task)
                if task.cancelled():
                    raise OverdueError
                break
            if told is not None and clock is not None and told.done():
                told = asyncio.ensure_future(clock.changed())
            await asyncio.wait(
                {task} if told is None else {task, told},
                timeout=None if clock is None else clock.left,
                return_when=asyncio.FIRST_COMPLETED,
            )
    except asyncio.CancelledError:
        await _end(task)
        raise
    finally:
        if told is not None:
            told.cancel()
    return task.result()


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel until it is over, also where this is cancelled meanwhile."""
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait({task}, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError:
            continue


async def over(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are done, whatever they end with.

    One is not enough: before Python 3.12 `wait_for`, which the Redis client uses, may lose it.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=BACKGROUND_SECONDS)
    for task in tasks:
        # Seen here, so that it is not reported as never retrieved.
        _ = task.cancelled() or task.exception()
