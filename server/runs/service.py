"""Runs as the rest of the server sees them: create, look, follow, wait, cancel."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from redis.exceptions import RedisError

from graphs.event_log import START, Entry, ThreadLog
from graphs.keys import DEFAULT_TENANT
from server.runs.asked import Asked, CancelAction
from server.runs.endings import cancelled, tell
from server.runs.queue import RunQueue
from server.runs.records import RunConflictError, RunRecord, RunRecords
from server.runs.transitions import RunStatus

_log = logging.getLogger(__name__)


class Runs:
    """What a route, a command or a surface needs; works with or without a worker in the process."""

    def __init__(self, *, records: RunRecords, log: ThreadLog, queue: RunQueue) -> None:
        self._records = records
        self._log = log
        self._queue = queue

    async def create(
        self,
        asked: Asked,
        *,
        tenant: str = DEFAULT_TENANT,
        thread_id: str | None = None,
        idempotency_key: str | None = None,
        create_thread: bool = True,
        after_seconds: float = 0,
    ) -> RunRecord:
        """Accept a run: stored, then queued. Without a thread it gets one of its own."""
        del idempotency_key, create_thread, after_seconds
        record = await self._records.create(
            RunRecord(
                run_id=str(uuid.uuid4()),
                thread_id=thread_id or str(uuid.uuid4()),
                tenant=tenant,
                asked=asked,
            )
        )
        try:
            await self._queue.put([record.run_id])
        except (RedisError, OSError) as error:
            # It is stored, so it is accepted: the reaper queues it.
            _log.warning("run %s is stored but not yet queued: %s", record.run_id, error)
        return record

    async def get(self, run_id: str, *, tenant: str = DEFAULT_TENANT) -> RunRecord:
        """Raises RunNotFoundError."""
        del tenant
        return await self._records.get(run_id)

    async def cancel(
        self,
        run_id: str,
        *,
        tenant: str = DEFAULT_TENANT,
        action: CancelAction = CancelAction.INTERRUPT,
    ) -> RunRecord:
        """Ask for the run's end. One that nobody works on ends at once; one that is over stays so.

        Raises RunNotFoundError.
        """
        del tenant, action
        status = await self._records.flag_cancel(run_id)
        if status.is_terminal:
            return await self._records.get(run_id)
        if status is not RunStatus.RUNNING:
            end = cancelled()
            told = end.model_dump(mode="json")
            # A worker that took the run meanwhile reads the flag.
            with contextlib.suppress(RunConflictError):
                await self._records.move(
                    run_id,
                    expected=frozenset({RunStatus.PENDING, RunStatus.INTERRUPTED}),
                    to=RunStatus.CANCELLED,
                    error=end.message,
                    end=told,
                )
                record = await self._records.get(run_id)
                await tell(record, told, records=self._records, log=self._log)
        await self._queue.cancel(run_id)
        return await self._records.get(run_id)

    async def events(self, run_id: str, *, after: str = START) -> AsyncIterator[Entry]:
        """The run's events behind an id, then live, to its end. Raises RunNotFoundError."""
        record = await self._records.get(run_id)
        entries = self._log.read(record.thread_id, after=after, run_id=run_id, tenant=record.tenant)
        async with aclosing(cast("Any", entries)):
            async for entry in entries:
                yield entry

    async def wait(self, run_id: str) -> RunRecord:
        """The record once the run is over. Raises RunNotFoundError."""
        async with aclosing(cast("Any", self.events(run_id))) as entries:
            async for _ in entries:
                pass
        return await self._records.get(run_id)
