"""The event log in this process's memory: same behaviour, nothing survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from graphs.event_log import MAX_EVENTS, ORIGIN, START, Entry, absolute, gap, position
from graphs.fence import IDLE, FencedError
from graphs.keys import DEFAULT_TENANT


@dataclass(kw_only=True)
class _Thread:
    """One life of a thread's log."""

    entries: list[Entry] = field(default_factory=list)
    trimmed: str = START
    starts: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    pauses: dict[str, str] = field(default_factory=dict)
    paused: dict[str, int] = field(default_factory=dict)


class MemoryEventLog:
    """The twin of ``EventLog`` for tests. ``fences``: by tenant and thread, who holds it;
    ``states``: what the records of runs say."""

    def __init__(self, *, max_events: int = MAX_EVENTS) -> None:
        self.fences: dict[tuple[str, str], str] = {}
        self.states: dict[str, str] = {}
        self._max_events = max_events
        self._threads: dict[tuple[str, str], _Thread] = {}
        self._sequence = 0
        self._changed = asyncio.Event()

    async def append(
        self,
        thread_id: str,
        run_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        tenant: str = DEFAULT_TENANT,
        fence: str = "",
    ) -> list[str]:
        if not events:
            return []
        self._check(tenant, thread_id, fence)
        thread = self._threads.setdefault((tenant, thread_id), _Thread())
        thread.pauses.pop(run_id, None)
        ids = self._write(thread, run_id, events)
        if (surplus := len(thread.entries) - self._max_events) > self._max_events // 10:
            gone, thread.entries = thread.entries[:surplus], thread.entries[surplus:]
            thread.trimmed = gone[-1].id
            for entry in gone:
                if thread.ends.get(entry.run_id) == entry.id:
                    del thread.starts[entry.run_id], thread.ends[entry.run_id]
        self._tell()
        return ids

    async def close(
        self,
        thread_id: str,
        run_id: str,
        event: Mapping[str, Any],
        *,
        tenant: str = DEFAULT_TENANT,
        fence: str = "",
        status: str = "",
        retention_seconds: int | None = None,
    ) -> str:
        del retention_seconds
        self._check(tenant, thread_id, fence)
        self._check_state(run_id, status)
        thread = self._threads.setdefault((tenant, thread_id), _Thread())
        if run_id not in thread.ends:
            (thread.ends[run_id],) = self._write(thread, run_id, [event])
            thread.pauses.pop(run_id, None)
            self._tell()
        return thread.ends[run_id]

    async def pause(
        self,
        thread_id: str,
        run_id: str,
        event: Mapping[str, Any],
        *,
        number: int = 0,
        tenant: str = DEFAULT_TENANT,
        fence: str = "",
        status: str = "",
    ) -> str:
        self._check(tenant, thread_id, fence)
        self._check_state(run_id, status)
        thread = self._threads.setdefault((tenant, thread_id), _Thread())
        known = thread.ends.get(run_id) or thread.pauses.get(run_id)
        if known is not None or thread.paused.get(run_id, 0) > number:
            return known or ""
        (known,) = self._write(thread, run_id, [event])
        thread.pauses[run_id] = known
        thread.paused[run_id] = number + 1
        self._tell()
        return known

    async def proceed(
        self, thread_id: str, run_id: str, *, number: int = 0, tenant: str = DEFAULT_TENANT
    ) -> None:
        if thread := self._threads.get((tenant, thread_id)):
            thread.pauses.pop(run_id, None)
            thread.paused[run_id] = max(thread.paused.get(run_id, 0), number + 1)

    async def read(
        self,
        thread_id: str,
        *,
        after: str = START,
        run_id: str | None = None,
        until_terminal: bool = True,
        begun: bool = False,
        tenant: str = DEFAULT_TENANT,
    ) -> AsyncIterator[Entry]:
        after, whose, life = absolute(after), run_id or "", None
        while True:
            thread = self._threads.get((tenant, thread_id))
            if life is not None and thread is not life:
                return
            known = thread is not None and (run_id is None or run_id in thread.starts)
            gone = begun and not known
            if thread is None:
                if gone:
                    return
                await self._changed.wait()
                continue
            life = thread
            if run_id is not None and after == ORIGIN and not gone:
                after = thread.starts.get(run_id, f"{self._sequence}-0")
            if position(after) < position(thread.trimmed):
                yield gap(after=after, trimmed=thread.trimmed)
                after = thread.trimmed
            if gone:
                return
            batch = [entry for entry in thread.entries if position(entry.id) > position(after)]
            end = thread.ends.get(whose) or thread.pauses.get(whose)
            if not batch and until_terminal and end and position(end) <= position(after):
                return
            for entry in batch:
                after = entry.id
                if run_id is None or entry.run_id == run_id:
                    yield entry
                    if until_terminal and entry.is_terminal:
                        return
                    if entry.is_pause:
                        whose = entry.run_id
            if not batch:
                await self._changed.wait()

    async def newest(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> str:
        thread = self._threads.get((tenant, thread_id), _Thread())
        return thread.entries[-1].id if thread.entries else ORIGIN

    async def size(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> int:
        thread = self._threads.get((tenant, thread_id), _Thread())
        return sum(len(orjson.dumps(entry.event)) for entry in thread.entries)

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        self._threads.pop((tenant, thread_id), None)
        self._tell()

    def _check_state(self, run_id: str, status: str) -> None:
        if status and self.states.get(run_id, status) != status:
            raise FencedError(f"the run is {self.states[run_id]}")

    def _check(self, tenant: str, thread_id: str, fence: str) -> None:
        holder = self.fences.get((tenant, thread_id))
        if fence and fence != (holder or IDLE):
            raise FencedError(f"held by {holder or 'nobody'}")

    def _write(
        self, thread: _Thread, run_id: str, events: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        thread.starts.setdefault(run_id, f"{self._sequence}-0")
        ids = []
        for event in events:
            self._sequence += 1
            ids.append(f"{self._sequence}-0")
            # Through the wire format, as the stored one: nobody shares a mutable event.
            stored = orjson.loads(orjson.dumps(event))
            thread.entries.append(Entry(id=ids[-1], run_id=run_id, event=stored))
        return ids

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
