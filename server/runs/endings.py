"""How a run ends when its own work does not say so, and how an end is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphs import events
from graphs.event_log import ThreadLog
from server.runs.records import RunRecord, RunRecords

CANCELLED = "cancelled"


def cancelled(*, usage: events.Usage | None = None) -> events.RunFailed:
    return events.RunFailed(
        error=CANCELLED, message="The run was cancelled.", usage=usage or events.Usage()
    )


def attempts_spent(attempts: int) -> events.RunFailed:
    return events.RunFailed(
        error="attempts_spent",
        message=f"The run was begun {attempts} times and its worker ended each time before the run "
        "did; it is not begun again.",
    )


def failed_inside(run_id: str, *, usage: events.Usage) -> events.RunFailed:
    return events.RunFailed(
        error="internal",
        message=f"The run failed inside the server; the server's log says why under run {run_id}.",
        usage=usage,
    )


async def tell(
    record: RunRecord, end: Mapping[str, Any], *, records: RunRecords, log: ThreadLog
) -> None:
    """Write a stored end to the event log, once, however often this is called."""
    await log.close(record.thread_id, record.run_id, end, tenant=record.tenant)
    await records.closed(record.run_id)
