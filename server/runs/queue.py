"""The one seam to the engine: a queue in Redis that carries run ids and nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from docket import Docket, Worker
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphs.keys import Keys
from server.redis_client import bounded
from server.runs.moves import Queued

TASK = "advance"
_AGAIN_SECONDS = 0.3
# How the engine names what it cancels at its end.
_ENGINE_TASKS = (" - strike monitor", " - heartbeat")
BATCH = 200

# A delivery only starts a run, whose own lease is the one that counts.
_DELIVERY_LEASE = timedelta(seconds=10)
# The engine looks for freed slots when a read comes back, or this often while all are taken.
_IDLE_CHECK = timedelta(milliseconds=100)
_FULL_CHECK = timedelta(milliseconds=5)

_log = logging.getLogger(__name__)
_IDLE_READER = logging.getLogger("docket.strikelist")

Advance = Callable[[str], Awaitable[None]]


class Slots:
    """How many runs a worker takes at once, and how many more it takes now."""

    def __init__(self, total: int) -> None:
        self.free = total
        self.changed: Callable[[], None] = lambda: None

    def take(self) -> None:
        self.free -= 1
        self.changed()

    def give(self) -> None:
        self.free += 1
        self.changed()


class QuietIdleReads(logging.Filter):
    """A long read of an idle queue runs into our time limit for dead lines: that is no news."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not isinstance(sys.exc_info()[1], RedisTimeoutError)


def _told(putting: asyncio.Task[None], *, count: int) -> None:
    """They are stored, so they are accepted: what failed here, a worker's reaper does."""
    if not putting.cancelled() and (error := putting.exception()) is not None:
        _log.warning("%d runs are stored but not yet queued: %s", count, error)


async def _advance_elsewhere(run_id: str) -> None:
    """What a process that only fills the queue registers: the name, for the workers to answer."""
    raise RuntimeError(f"run {run_id} was delivered to a process that advances no runs")


class RunQueue:
    """Says "advance run X", at least once. One entry a run: its id is the key."""

    def __init__(self, url: str, keys: Keys) -> None:
        self._docket = Docket(
            name=keys.queue,
            url=bounded(url),
            # The record is the truth; a finished task leaves nothing, so that its key is free.
            execution_ttl=timedelta(0),
        )
        self._quiet = QuietIdleReads()
        self._docket.register(_advance_elsewhere, names=[TASK])
        self._next: list[str] = []
        self._putting: asyncio.Task[None] | None = None
        self._again: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        _IDLE_READER.addFilter(self._quiet)
        await self._docket.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if left := self._again | ({self._putting} if self._putting is not None else set()):
            await asyncio.wait(left)
        _IDLE_READER.removeFilter(self._quiet)
        async with _insisting():
            await self._docket.__aexit__(None, None, None)

    async def put(self, run_ids: Sequence[str]) -> None:
        """Queue runs; one that is queued or being advanced stays as it is.

        What is put at the same time goes together: the engine's lines are few.
        """
        if run_ids:
            await asyncio.shield(self._begin(run_ids))

    def put_soon(self, run_ids: Sequence[str]) -> None:
        """The same, and nobody waits for it or hears of an error but the log."""
        if run_ids:
            self._begin(run_ids).add_done_callback(partial(_told, count=len(run_ids)))

    def _begin(self, run_ids: Sequence[str]) -> asyncio.Task[None]:
        self._next.extend(run_ids)
        if self._putting is None or self._putting.done():
            self._putting = asyncio.create_task(self._put(), name="run queue put")
        return self._putting

    async def put_again(self, run_ids: Sequence[str]) -> None:
        """Queue runs whatever became of earlier entries: whoever still has one finds it void."""
        if run_ids:
            now = datetime.now(UTC)
            await self._docket.replace_many(
                self._docket.call(TASK, when=now, key=i)(i) for i in run_ids
            )

    async def put_all(self, queued: Queued) -> None:
        """Queue those whose turn it is."""
        await self.put(queued.first)
        await self.put_again(queued.again)

    def put_all_soon(self, queued: Queued) -> None:
        """The same, and nobody waits for it or hears of an error but the log."""
        self.put_soon(queued.first)
        if queued.again:
            again = asyncio.create_task(self.put_again(queued.again), name="run queue put again")
            self._again.add(again)
            again.add_done_callback(self._again.discard)
            again.add_done_callback(partial(_told, count=len(queued.again)))

    async def serve(
        self,
        advance: Advance,
        *,
        name: str,
        slots: Slots,
        ready: asyncio.Event,
        stop: asyncio.Event,
    ) -> None:
        """Hand over the runs that are delivered, no more than there are slots, until ``stop``.

        ``advance`` takes a run and returns at once: the engine, when it loses Redis, waits for its
        own tasks before it looks again, and must not wait for our runs.
        """
        self._docket.register(advance, names=[TASK])
        async with (
            AsyncExitStack() as stack,
            Worker(
                self._docket,
                name=name,
                concurrency=slots.free,
                redelivery_timeout=_DELIVERY_LEASE,
                minimum_check_interval=_IDLE_CHECK,
                # Nothing is ever scheduled for later here.
                scheduling_resolution=timedelta(seconds=5),
                reconnection_delay=timedelta(seconds=1),
                schedule_automatic_tasks=False,
            ) as worker,
        ):

            def changed() -> None:
                worker.concurrency = slots.free
                worker.minimum_check_interval = _IDLE_CHECK if slots.free else _FULL_CHECK

            slots.changed = changed
            changed()
            running = asyncio.create_task(worker.run_forever(), name="run queue")
            stopping = asyncio.create_task(stop.wait(), name="run queue stop")
            ready.set()
            try:
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                await stack.enter_async_context(_insisting())
        # Leaving the worker's context stops it; what is left is to hear how it ended.
        await running

    async def _put(self) -> None:
        while self._next:
            batch, self._next = self._next[:BATCH], self._next[BATCH:]
            await self._docket.add_many(self._docket.call(TASK, key=i)(i) for i in batch)


@asynccontextmanager
async def _insisting() -> AsyncIterator[None]:
    """Meanwhile, what the engine cancels in vain is cancelled again.

    It cancels once and waits; before Python 3.12 `wait_for`, which the Redis client uses, may lose
    that, and the engine would wait for ever.
    """
    again = asyncio.create_task(_cancel_again(), name="run queue insists")
    try:
        yield
    finally:
        again.cancel()


async def _cancel_again() -> None:
    while True:
        await asyncio.sleep(_AGAIN_SECONDS)
        for task in asyncio.all_tasks():
            if task.cancelling() and task.get_name().endswith(_ENGINE_TASKS):
                task.cancel()
