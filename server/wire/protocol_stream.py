"""A thread followed by the thread-centric protocol: its events under durable ids and numbers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from redis.exceptions import RedisError

from graphs.event_log import GAP, START, Entry
from graphs.event_log import position as log_position
from server.runs.record import RunNotFoundError
from server.wire import sse
from server.wire.protocol import Subscription, Told
from server.wire.protocol_graph import ProtocolRendering
from server.wire.rendering_ids import BEGINNING, FRAMES, Position, at, behind
from server.wire.thread_stream import Readable

SLOTS = 4_096
"""More events than a thread tells in one millisecond."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbered:
    """An event of a thread with its place, the same for every reader and after every restart.

    ``seq`` is the millisecond in which it was written, and the how manieth it was there.
    """

    told: Told
    run_id: str
    position: Position
    seq: int

    @property
    def body(self) -> dict[str, Any]:
        """The event as it is sent."""
        # Clients learn from this form to which run the beginning and the end of one belong.
        event_id = f"synth:{self.run_id}:{self.position}" if self.told.of_run else self.position
        return {
            "type": "event",
            "event_id": str(event_id),
            "seq": self.seq,
            "method": self.told.method,
            "params": self.told.params(timestamp=self.position.ms),
        }

    @property
    def frame(self) -> bytes:
        """The event as a server-sent one."""
        return sse.frame(self.body, event=self.told.method, id=str(self.position))


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What was over before a reader came: up to the entry ``newest`` all but the ``known`` runs,
    and those of them that are in ``over``."""

    newest: str
    known: frozenset[str]
    over: frozenset[str]

    def holds(self, one: Numbered) -> bool:
        """Whether an event is about a run, or asked by one, that was over."""
        if not (one.told.of_run or one.told.method == "input.requested"):
            return False
        if one.run_id in self.known:
            return one.run_id in self.over
        return one.position <= behind(self.newest)


def seq_of(entry_id: str) -> int:
    """The highest ``seq`` up to an entry of the log; 0 where there is none."""
    ms, _ = log_position(entry_id)
    return ms * SLOTS + SLOTS - 1 if ms else 0


class Cursor:
    """A subscription, and up to where it was told; it is not told what is ``past``."""

    def __init__(
        self, wanted: Subscription, *, after: Position = BEGINNING, past: Past | None = None
    ) -> None:
        self._wanted = wanted
        self._past = past
        self.after = after

    @property
    def since_ms(self) -> int:
        """The millisecond since 1970 from which on it is to be read."""
        return max(self.after.ms, (self._wanted.since or 0) // SLOTS)

    def wants(self, one: Numbered) -> bool:
        """Whether the event is one of its own that is still to come."""
        ahead = one.position > self.after and one.seq > (self._wanted.since or 0)
        if not (ahead and self._wanted.wants(one.told)):
            return False
        return self._past is None or not self._past.holds(one)


class ThreadEvents:
    """One reader of a thread, from its beginning or from behind a place."""

    def __init__(self, runs: Readable, *, thread_id: str, tenant: str) -> None:
        self._runs = runs
        self._thread_id = thread_id
        self._tenant = tenant
        self._renderings: dict[str, ProtocolRendering | None] = {}

    async def frames(
        self, wanted: Subscription, *, after: Position = BEGINNING, past: Past | None = None
    ) -> sse.Frames:
        """Server-sent events, until the reader leaves or the thread's log is deleted."""
        try:
            async with aclosing(self.events(wanted, after=after, past=past)) as found:
                async for one in found:
                    yield one.frame
        except (RedisError, OSError) as error:
            _log.warning("thread %s cannot be followed: %s", self._thread_id, error)
            yield sse.frame(outage(), event="error")

    async def events(
        self, wanted: Subscription, *, after: Position = BEGINNING, past: Past | None = None
    ) -> AsyncGenerator[Numbered]:
        """Without what is ``past``. Raises RedisError and OSError where Redis is away."""
        reader = Cursor(wanted, after=after, past=past)
        async with aclosing(self.every(since_ms=reader.since_ms)) as found:
            async for one in found:
                if reader.wants(one):
                    yield one

    async def every(self, *, since_ms: int) -> AsyncGenerator[Numbered]:
        """All that is told from a millisecond since 1970 on, where the counting begins.

        Raises RedisError and OSError where Redis is away.
        """
        start = Position(since_ms, 0).before if since_ms else START
        ms, count = 0, 0
        entries = self._runs.thread_events(self._thread_id, tenant=self._tenant, after=start)
        async with aclosing(cast("Any", entries)) as following:
            async for entry in following:
                now, _ = log_position(entry.id)
                if now != ms:
                    ms, count = now, 0
                for number, told in enumerate(await self._shown(entry), start=1):
                    count += 1
                    place = at(entry.id, min(number, FRAMES - 1))
                    seq = ms * SLOTS + min(count, SLOTS - 1)
                    yield Numbered(told=told, run_id=entry.run_id, position=place, seq=seq)

    async def _shown(self, entry: Entry) -> list[Told]:
        if entry.is_gap:
            return [Told(method="custom", data={"name": GAP, "payload": dict(entry.event)})]
        rendering = await self._rendering(entry)
        if rendering is None:
            return []
        shown = rendering.show(entry)
        if entry.is_terminal or entry.is_pause:
            del self._renderings[entry.run_id]
        return shown

    async def _rendering(self, entry: Entry) -> ProtocolRendering | None:
        """The rendering of the entry's run, caught up to it; None for a run that is gone."""
        if entry.run_id not in self._renderings:
            self._renderings[entry.run_id] = await self._opened(entry)
        return self._renderings[entry.run_id]

    async def _opened(self, entry: Entry) -> ProtocolRendering | None:
        try:
            record = await self._runs.get(entry.run_id, tenant=self._tenant)
        except RunNotFoundError:
            return None
        rendering = ProtocolRendering(record)
        if entry.event.get("type") == "run.started":
            return rendering
        async with aclosing(cast("Any", self._runs.events(entry.run_id))) as earlier:
            async for one in earlier:
                if log_position(one.id) >= log_position(entry.id):
                    break
                rendering.show(one)
                if one.is_pause:
                    rendering = ProtocolRendering(record)
        return rendering


def outage() -> dict[str, Any]:
    """What is said before a stream ends that Redis left."""
    return {
        "type": "error",
        "id": None,
        "error": "unknown_error",
        "message": "Redis does not answer; connect again",
    }
