"""The ids of the run that is worked on, in every line that is logged meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from graphs import events
from server.runs.record import RunRecord
from server.telemetry.hearing import Heard


class LogContext:
    """A listener that marks the task of an attempt, and with it all that the task starts."""

    def __init__(self, trace_of: Callable[[str], str]) -> None:
        self._trace_of = trace_of

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        """A run begins: the attempt's task, which calls this, has its ids from now on."""
        del at
        if isinstance(event, events.RunStarted):
            structlog.contextvars.bind_contextvars(
                run_id=record.run_id,
                thread_id=record.thread_id,
                tenant=record.tenant,
                trace_id=self._trace_of(record.run_id),
            )
