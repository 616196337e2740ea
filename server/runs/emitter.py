"""From a working run to its thread's log: in order, in batches that grow as the log slows down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from graphs import events
from graphs.event_log import ThreadLog
from graphs.fence import FencedError
from server.runs.record import RunRecord

GATHER_SECONDS = 0.005

Emit = Callable[[events.RunEvent], None]


class Emitter:
    """Takes events without waiting; everything taken is written once ``drain`` returns.

    The first of several is written at once, what follows within a few milliseconds goes together.
    ``fenced`` is called when the thread listens to another writer: nothing more is written then.
    ``hear`` is told each event at once, written or not.
    """

    def __init__(
        self,
        log: ThreadLog,
        record: RunRecord,
        *,
        fenced: Callable[[], None] | None = None,
        hear: Emit | None = None,
    ) -> None:
        self._log = log
        self._record = record
        self._fenced = fenced
        self._hear = hear
        self._waiting: list[dict[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self._broken = False
        self._hurry = asyncio.Event()
        self._usage = events.Usage()

    @property
    def usage(self) -> events.Usage:
        """What the run is known to have spent so far, for an end that it does not write itself."""
        return self._usage

    def emit(self, event: events.RunEvent) -> None:
        self._count(event)
        if self._hear is not None:
            self._hear(event)
        if self._broken:
            return
        self._waiting.append(events.written(event))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name=f"log {self._record.run_id}")
            self._writing.add_done_callback(_heard)

    async def drain(self) -> None:
        """Wait until all is written. Raises what kept the log from being written: FencedError
        where another writer has the thread, RedisError where Redis is gone."""
        self._hurry.set()
        if self._writing is not None:
            await asyncio.shield(self._writing)
        self._hurry.clear()

    async def _write(self) -> None:
        record = self._record
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._log.append(
                    record.thread_id,
                    record.run_id,
                    batch,
                    tenant=record.tenant,
                    fence=record.fence,
                )
                if not self._hurry.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(GATHER_SECONDS):
                            await self._hurry.wait()
        except BaseException as error:
            self._broken = True
            self._waiting.clear()
            if isinstance(error, FencedError) and self._fenced is not None:
                self._fenced()
            raise

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


def _heard(writing: asyncio.Task[None]) -> None:
    """A failed write is reported by ``drain``, or by nobody where the work was dropped."""
    if not writing.cancelled():
        writing.exception()
