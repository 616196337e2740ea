"""What follows from a stored end or pause: webhooks and the log hear of it, what is to go goes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

from graphs.event_log import ThreadLog
from graphs.fence import IDLE, FencedError
from server.runs.moves import Queued
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus
from server.webhooks.deliveries import Deliveries

TEMPORARY_SECONDS = 3600
"""How long the events of a temporary thread can be read after its end."""


class Steps(Protocol):
    """The steps of runs: what the checkpoint saver has of them."""

    @property
    def prunes_at_end(self) -> bool: ...

    async def retain(self, thread_id: str, /, *, fence: str) -> int: ...

    async def adelete_for_runs(self, run_ids: list[str], /) -> None: ...

    async def adelete_thread(self, thread_id: str, /) -> None: ...


class Teller:
    """Tells ends and pauses, once, however often it is asked and whoever dies in between.

    Without ``steps`` it leaves those runs whose steps have to go to a process that has them.
    """

    def __init__(self, *, records: RunRecords, log: ThreadLog, steps: Steps | None = None) -> None:
        self._records = records
        self._log = log
        self._steps = steps
        self._deliveries = Deliveries(records.redis, records.keys)

    async def tell(self, record: RunRecord, *, late: bool = False) -> Queued:
        """Say what is stored; replies whose turn it is then. ``late``: long after it was stored."""
        if record.result is None:
            return Queued()
        if record.status is RunStatus.INTERRUPTED or record.status.is_terminal:
            await self._deliveries.owe(record)
        end = _kept(record, record.result)
        if record.status is RunStatus.INTERRUPTED:
            # A pause is news only until somebody else has the thread.
            fence = IDLE if late else ""
            try:
                await self._log.pause(
                    record.thread_id,
                    record.run_id,
                    end,
                    number=record.resumes,
                    tenant=record.tenant,
                    fence=fence,
                    status=record.status.value,
                )
            except FencedError:
                return Queued()
            await self._records.told(record, end=end)
            return Queued()
        if not record.status.is_terminal:
            return Queued()
        if not record.undo:
            await self._prune(record)
        await self._log.close(
            record.thread_id,
            record.run_id,
            end,
            tenant=record.tenant,
            status=record.status.value,
            retention_seconds=TEMPORARY_SECONDS if record.asked.temporary else None,
        )
        if record.undo or record.asked.temporary:
            if self._steps is None:
                return Queued()
            if record.asked.temporary:
                await self._steps.adelete_thread(record.checkpoint_thread)
            else:
                await self._steps.adelete_for_runs([record.run_id])
            if record.undo:
                # Before it was taken back, its own last step would have been the one that stays.
                await self._prune(record)
                return await self._records.closed(record.run_id)
        await self._records.told(record, end=end)
        return Queued()

    async def _prune(self, record: RunRecord) -> None:
        if self._steps is not None and self._steps.prunes_at_end:
            # A thread that works again is pruned at that run's end.
            with contextlib.suppress(FencedError):
                await self._steps.retain(record.checkpoint_thread, fence=IDLE)

    async def tell_late(self, run_id: str) -> Queued:
        """The same for a run that was found untold."""
        try:
            record = await self._records.get(run_id)
        except RunNotFoundError:
            return await self._records.closed(run_id)
        return await self.tell(record, late=True)


def _kept(record: RunRecord, end: Mapping[str, Any]) -> Mapping[str, Any]:
    """The end without the state that it is told with to a webhook: the thread has that."""
    held = end.get("values") is None or record.asked.temporary
    return end if held else {**end, "values": None}
