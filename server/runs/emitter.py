"""From a working run to its thread's log: in order, in batches that grow as the log slows down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from graphs import events
from graphs.event_log import ThreadLog
from server.runs.records import RunRecord

Emit = Callable[[events.RunEvent], None]


class Emitter:
    """Takes events without waiting; everything taken is written once ``drain`` returns."""

    def __init__(self, log: ThreadLog, record: RunRecord) -> None:
        self._log = log
        self._record = record
        self._waiting: list[dict[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self._usage = events.Usage()

    @property
    def usage(self) -> events.Usage:
        """What the run is known to have spent so far, for an end that it does not write itself."""
        return self._usage

    def emit(self, event: events.RunEvent) -> None:
        self._count(event)
        self._waiting.append(event.model_dump(mode="json"))
        if self._writing is None or self._writing.done():
            failed = self._writing is not None and self._writing.exception() is not None
            if not failed:
                self._writing = asyncio.create_task(self._write())

    async def drain(self) -> None:
        """Wait until all is written. Raises what kept the log from being written."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._log.append(
                self._record.thread_id, self._record.run_id, batch, tenant=self._record.tenant
            )

    def _count(self, event: events.RunEvent) -> None:
        used = self._usage
        if isinstance(event, events.ModelCalled):
            self._usage = used.model_copy(
                update={
                    "model_calls": used.model_calls + 1,
                    "input_tokens": used.input_tokens + event.input_tokens,
                    "output_tokens": used.output_tokens + event.output_tokens,
                    "cost": used.cost + event.cost,
                }
            )
        elif isinstance(event, events.ToolFinished):
            self._usage = used.model_copy(update={"tool_calls": used.tool_calls + 1})
