"""A thread followed on LangGraph's wire: the events of all its runs, one after the other."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any, Protocol, cast

from redis.exceptions import RedisError

from graphs.event_log import START, Entry
from graphs.event_log import position as log_position
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.wire import sse
from server.wire.rendering import Rendering, Shown, Wish, ending, wire_status
from server.wire.rendering_ids import BEGINNING, Position
from server.wire.run_object import query_string
from server.wire.run_stream import numbered

RUN_MODES = "run_modes"
LIFECYCLE = "lifecycle"
STATE_UPDATE = "state_update"
MODES = frozenset({RUN_MODES, LIFECYCLE, STATE_UPDATE})

_log = logging.getLogger(__name__)

StateOf = Callable[[RunRecord], Awaitable[Any]]


class Readable(Protocol):
    """What is needed of the runs."""

    def thread_events(
        self, thread_id: str, *, tenant: str = ..., after: str = START
    ) -> AsyncIterator[Entry]: ...

    def events(self, run_id: str, *, after: str = START) -> AsyncIterator[Entry]: ...

    async def get(self, run_id: str, *, tenant: str = ...) -> RunRecord: ...


def place(thread_id: str, *, modes: Sequence[str]) -> dict[str, str]:
    """Headers that say where a cut stream is to be had again."""
    here = f"/threads/{thread_id}/stream"
    return {"Content-Location": here, "Location": here + query_string({"stream_mode": modes})}


class ThreadStream:
    """One reader of a thread. ``state_of`` gives the state that a run ended or paused in."""

    def __init__(
        self,
        runs: Readable,
        *,
        thread_id: str,
        tenant: str,
        modes: Collection[str],
        state_of: StateOf,
    ) -> None:
        self._runs = runs
        self._thread_id = thread_id
        self._tenant = tenant
        self._modes = frozenset(modes)
        self._state_of = state_of
        self._renderings: dict[str, Rendering | None] = {}

    async def frames(self, *, after: Position = BEGINNING) -> sse.Frames:
        """Frames behind a position, then live, until the thread's log is deleted."""
        start = START if after <= BEGINNING else after.before
        entries = self._runs.thread_events(self._thread_id, tenant=self._tenant, after=start)
        try:
            async with aclosing(cast("Any", entries)) as following:
                async for entry in following:
                    frames = numbered(entry.id, await self._shown(entry))
                    seen = after.frame if after.is_of(entry.id) else 0
                    if rest := b"".join(frames[seen:]):
                        yield rest
        except (RedisError, OSError) as error:
            _log.warning("thread %s cannot be followed: %s", self._thread_id, error)

    async def _shown(self, entry: Entry) -> list[Shown]:
        if entry.is_gap:
            return [("gap", dict(entry.event))]
        over = entry.is_terminal or entry.is_pause
        shown: list[Shown] = []
        if entry.event.get("type") == "run.started" and self._modes & {RUN_MODES, LIFECYCLE}:
            shown.append(("metadata", self._about(entry, attempt=entry.event.get("attempt", 1))))
        if RUN_MODES in self._modes and (rendering := await self._rendering(entry)):
            # A run's stream tells the first attempt by itself, and its end by another name.
            shown += [one for one in rendering.show(entry) if one[0] not in {"metadata", "end"}]
        if not over:
            return shown
        self._renderings.pop(entry.run_id, None)
        status = RunStatus.INTERRUPTED if entry.is_pause else ending(entry.event)
        about = self._about(entry, status=wire_status(status))
        if STATE_UPDATE in self._modes:
            shown.append(("state_update", {**about, "values": await self._state(entry)}))
        if self._modes & {RUN_MODES, LIFECYCLE}:
            shown.append(("run_done", about))
        return shown

    def _about(self, entry: Entry, **more: Any) -> dict[str, Any]:
        return {"run_id": entry.run_id, "thread_id": self._thread_id, **more}

    async def _state(self, entry: Entry) -> Any:
        try:
            return await self._state_of(await self._runs.get(entry.run_id, tenant=self._tenant))
        except RunNotFoundError:
            return None

    async def _rendering(self, entry: Entry) -> Rendering | None:
        """The rendering of the entry's run, caught up to it; None for a run that is gone."""
        if entry.run_id not in self._renderings:
            try:
                record = await self._runs.get(entry.run_id, tenant=self._tenant)
            except RunNotFoundError:
                self._renderings[entry.run_id] = None
                return None
            asked = record.asked
            wish = Wish(modes=frozenset(asked.stream_modes), subgraphs=asked.stream_subgraphs)
            rendering = self._renderings[entry.run_id] = Rendering(record, wish)
            if rendering.needs_start and entry.event.get("type") != "run.started":
                await self._catch_up(rendering, entry)
        return self._renderings[entry.run_id]

    async def _catch_up(self, rendering: Rendering, entry: Entry) -> None:
        async with aclosing(cast("Any", self._runs.events(entry.run_id))) as earlier:
            async for one in earlier:
                if log_position(one.id) >= log_position(entry.id):
                    return
                rendering.show(one)
