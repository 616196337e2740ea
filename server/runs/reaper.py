"""Brings back what was stored and then forgotten: by a crash, a lost enqueue, a worker's death."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container

from redis.exceptions import RedisError

from graphs.event_log import ThreadLog
from server.runs.endings import tell
from server.runs.queue import RunQueue
from server.runs.records import RunNotFoundError, RunRecords
from server.runs.transitions import RunStatus

SWEEP_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Reaper:
    """Compares the records with what really goes on. ``holds`` are the runs of this worker."""

    def __init__(
        self,
        *,
        records: RunRecords,
        log: ThreadLog,
        queue: RunQueue,
        holds: Container[str],
        sole_owner: bool,
    ) -> None:
        self._records = records
        self._log = log
        self._queue = queue
        self._holds = holds
        self._sole_owner = sole_owner

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except (RedisError, OSError) as error:
                _log.warning("cannot look for forgotten runs: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("looking for forgotten runs failed")

    async def sweep(self, *, starting: bool = False) -> None:
        """One look. At the start of a sole owner nothing runs, whatever records or queue say."""
        for run_id in await self._records.closing():
            await self._close(run_id)
        active = await self._records.statuses(await self._records.active())
        for run_id in [run_id for run_id, status in active.items() if status is None]:
            await self._records.forget(run_id)
        waiting = [i for i, status in active.items() if status is RunStatus.PENDING]
        lost = [
            run_id
            for run_id, status in active.items()
            if status is RunStatus.RUNNING and self._sole_owner and run_id not in self._holds
        ]
        if starting and self._sole_owner:
            lost, waiting = [*lost, *waiting], []
        if lost:
            _log.info("taking up %d runs again", len(lost))
            await self._queue.put_again(lost)
        if waiting:
            await self._queue.put(waiting)

    async def _close(self, run_id: str) -> None:
        if run_id in self._holds:
            return
        try:
            record = await self._records.get(run_id)
        except RunNotFoundError:
            await self._records.forget(run_id)
            return
        if record.result is not None:
            await tell(record, record.result, records=self._records, log=self._log)
