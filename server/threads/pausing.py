"""What becomes of a run that waits for a person when its thread is changed by hand."""

from __future__ import annotations

import contextlib

from server.runs.record import RunError
from server.runs.service import Runs
from server.threads.states import EndPaused
from server.threads.thread import ThreadRecord


def ending(runs: Runs) -> EndPaused:
    """Cancels the run, if it still waits."""

    async def end(record: ThreadRecord) -> None:
        with contextlib.suppress(RunError):
            await runs.cancel(record.paused, tenant=record.tenant)

    return end
