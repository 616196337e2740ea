"""The one seam to the engine: a queue in Redis that carries run ids and nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from docket import Docket, Worker
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphs.keys import Keys
from server.redis_client import bounded

LEASE = timedelta(seconds=30)
TASK = "advance"

_IDLE_READER = logging.getLogger("docket.strikelist")

Advance = Callable[[str], Awaitable[None]]


class QuietIdleReads(logging.Filter):
    """A long read of an idle queue runs into our time limit for dead lines: that is no news."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not isinstance(sys.exc_info()[1], RedisTimeoutError)


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

    async def __aenter__(self) -> Self:
        _IDLE_READER.addFilter(self._quiet)
        await self._docket.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        _IDLE_READER.removeFilter(self._quiet)
        await self._docket.__aexit__(None, None, None)

    async def put(self, run_ids: Sequence[str]) -> None:
        """Queue runs; one that is queued or being advanced stays as it is."""
        await self._docket.add_many(self._docket.call(TASK, key=i)(i) for i in run_ids)

    async def put_again(self, run_ids: Sequence[str]) -> None:
        """Queue runs whatever became of earlier entries: whoever still has one finds it void."""
        now = datetime.now(UTC)
        await self._docket.replace_many(
            self._docket.call(TASK, when=now, key=i)(i) for i in run_ids
        )

    async def cancel(self, run_id: str) -> None:
        """Take a run out of the queue, or interrupt the task that advances it. Best effort."""
        await self._docket.cancel(run_id)

    async def serve(
        self,
        advance: Advance,
        *,
        concurrency: int,
        ready: asyncio.Event,
        stop: asyncio.Event,
    ) -> None:
        """Advance runs until ``stop``; then take no more, and return when the last one is done."""
        self._docket.register(advance, names=[TASK])
        async with Worker(
            self._docket,
            concurrency=concurrency,
            redelivery_timeout=LEASE,
            minimum_check_interval=timedelta(milliseconds=100),
            reconnection_delay=timedelta(seconds=1),
            schedule_automatic_tasks=False,
        ) as worker:
            running = asyncio.create_task(worker.run_forever(), name="run queue")
            stopping = asyncio.create_task(stop.wait(), name="run queue stop")
            ready.set()
            try:
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
        # Leaving the worker's context stops it; what is left is to hear how it ended.
        await running
