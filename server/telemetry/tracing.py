"""Traces of what this process does: segments made of events, written and sent in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from itertools import chain
from typing import Self

from redis.exceptions import RedisError

from server import patience
from server.runs.asked import TEAM
from server.runs.record import RunRecord
from server.telemetry import names, span
from server.telemetry.content import Content, Writer
from server.telemetry.hearing import Heard, Left
from server.telemetry.inner import Began, Ended
from server.telemetry.kept import Batch, Trace, Traces
from server.telemetry.otlp import Exporting
from server.telemetry.plain_names import plain_id
from server.telemetry.segment import ENDS, NOTES, Segment
from server.telemetry.span import Link, Span

FLUSH_SECONDS = 1.0
"""How old what a running segment has to tell may get before it is written."""
GATHER_SECONDS = 0.25
"""Runs that end within it are written together."""

_log = logging.getLogger(__name__)


class Tracing:
    """A listener that keeps traces (``kept``) and sends them (``exporting``). Open it with
    ``async with``; what is heard before costs nothing and is written then.

    What is heard is only noted. Spans are made of it when a run is over, and of running ones once a
    second, for all runs of the process at once: one by one, between other work, each costs the
    caches. One trip to Redis writes them.
    """

    def __init__(
        self,
        *,
        kept: Traces | None = None,
        exporting: Exporting | None = None,
        tools: Collection[str] = (),
        content: Content = Content.OFF,
    ) -> None:
        self.dropped = 0
        self._kept = kept
        self._exporting = exporting
        self._tools = frozenset(tools)
        self._content = content
        self._heard: dict[tuple[str, int], list[tuple[RunRecord, Heard, float]]] = {}
        self._created: list[tuple[RunRecord, float, float]] = []
        self._over: set[tuple[str, int]] = set()
        self._looked = time.monotonic()
        self._failed: set[type[Exception]] = set()
        self._segments: dict[tuple[str, int], Segment] = {}
        self._touched: dict[tuple[str, int], None] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._urgent = asyncio.Event()
        self._writing = asyncio.Lock()
        self._down = False
        self._task: asyncio.Task[None] | None = None

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        """See ``server.telemetry.hearing.Listener``."""
        kind = type(event)
        if kind not in NOTES:
            return
        key = (record.run_id, record.token)
        heard = self._heard.get(key)
        if heard is None:
            heard = self._heard[key] = []
        heard.append((record, event, at))
        if kind in ENDS:
            self._over.add(key)
            self._urgent.set()

    def created(self, record: RunRecord, *, since: float) -> None:
        """A run was accepted; ``since`` is when it was asked for, in seconds since the epoch."""
        if self._exporting is not None:
            self._created.append((record, since, time.time()))

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know."""
        return self._kept is not None or self._exporting is not None

    async def trace(self, run_id: str) -> Trace | None:
        """A run's trace as far as it is kept, with all that this process knows of it by now."""
        if self._kept is None:
            return None
        await self.flush()
        return await self._kept.get(run_id)

    async def flush(self, *, running: bool = True) -> None:
        """Write and send what was heard so far, without ``running`` only of runs that are over.

        A store that is away costs spans.
        """
        async with self._writing:
            created, self._created = self._created, []
            for record, since, until in created:
                if self._exporting is not None:
                    made = created_span(record, since=since, until=until)
                    self._exporting.export(record.run_id, [made])
            batches = self._batches(running=running)
            if self._exporting is not None:
                for batch in batches:
                    self._exporting.export(batch.run_id, batch.ended)
            if self._kept is None or not batches:
                return
            try:
                await self._kept.put(batches, at=time.time())
            except (RedisError, OSError) as error:
                self.dropped += sum(len(one.ended) for one in batches)
                if not self._down:
                    _log.warning("traces are not kept while Redis is away: %s", error)
                self._down = True
            else:
                self._down = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="traces")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._task is not None
        await patience.over(self._task)
        await self.flush()
        if self._exporting is not None:
            await self._exporting.aclose()

    async def _run(self) -> None:
        while True:
            ends = True
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._urgent.wait()
                # Others that end at the same time go together.
                await asyncio.sleep(GATHER_SECONDS)
            except TimeoutError:
                ends = False
            self._urgent.clear()
            running = not ends or time.monotonic() - self._looked >= FLUSH_SECONDS
            if running:
                self._looked = time.monotonic()
            try:
                await self.flush(running=running)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("traces could not be written")

    def _take_in(self, *, running: bool) -> None:
        """Make spans of what was heard."""
        over, self._over = self._over, set()
        keys = list(self._heard) if running else [key for key in self._heard if key in over]
        for record, event, at in chain.from_iterable(map(self._heard.pop, keys)):
            try:
                self._note(record, event, at)
            except Exception as error:  # noqa: BLE001 - one event must not cost all others
                self.dropped += 1
                if type(error) not in self._failed:
                    self._failed.add(type(error))
                    _log.exception("no span can be made of %s", type(event).__name__)

    def _note(self, record: RunRecord, event: Heard, at: float) -> None:
        key = (record.run_id, record.token)
        segment = self._segments.get(key)
        if segment is None:
            if isinstance(event, Left | Began | Ended):
                return
            segment = self._segments[key] = Segment(
                record, at=at, tools=self._tools, content=Writer(self._content)
            )
        if segment.hear(event, at=at):
            self._touched[key] = None

    def _batches(self, *, running: bool) -> list[Batch]:
        self._take_in(running=running)
        touched, self._touched = self._touched, {}
        batches = []
        for key in touched:
            segment = self._segments[key]
            number = self._numbers[key] = self._numbers.get(key, 0) + 1
            batches.append(
                Batch(
                    run_id=segment.run_id,
                    token=segment.token,
                    number=number,
                    ended=segment.ended(),
                    open=segment.open(),
                )
            )
            self.dropped += segment.take_dropped()
            if segment.over:
                del self._segments[key], self._numbers[key]
        return batches


def created_span(record: RunRecord, *, since: float, until: float) -> Span:
    """The root of a run's trace: that it was asked for, linked to the caller's own trace."""
    asked = record.asked
    of = plain_id(asked.agent if asked.graph == TEAM else asked.graph)
    made = Span(
        span_id=span.root_id(record.run_id),
        parent="",
        name=names.CREATE_RUN.format(of),
        start=since,
        end=max(since, until),
        kind="producer",
        attributes={
            names.RUN: record.run_id,
            names.CONVERSATION: record.thread_id,
            names.TENANT: record.tenant,
            names.GRAPH: asked.graph,
        },
    )
    if asked.traceparent:
        _, trace_id, span_id, _ = asked.traceparent.split("-")
        made.links.append(Link(trace_id=trace_id, span_id=span_id, why="caller"))
    return made
