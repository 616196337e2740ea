"""What happened in a thread, in order, for good: written before anyone is told, read by anybody.

``EventLog`` keeps one Redis stream per thread; ``MemoryEventLog`` is its twin for tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphs.event_fanout import Fanout
from graphs.event_log_scripts import APPEND, CLOSE, READ
from graphs.keys import DEFAULT_TENANT, Keys

START = "0"
_ORIGIN = "0-0"
MAX_EVENTS = 20_000
RETENTION_SECONDS = 7 * 24 * 3600
PAGE = 500
OUTAGE_SECONDS = 15.0
GAP = "log.gap"
TERMINAL = frozenset({"run.finished", "run.failed"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event of a thread; ``id`` (``ms-seq``) is durable: reading after it misses nothing.

    An entry of type ``log.gap`` stands for events that the log no longer holds.
    """

    id: str
    run_id: str
    event: Mapping[str, Any]

    @property
    def is_gap(self) -> bool:
        return self.event.get("type") == GAP

    @property
    def is_terminal(self) -> bool:
        return self.event.get("type") in TERMINAL


class ThreadLog(Protocol):
    """The log of every thread. Ids grow; ``append`` and ``close`` return once the write is done."""

    async def append(
        self,
        thread_id: str,
        run_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> list[str]:
        """Write a batch in one go and give each event its id."""
        ...

    async def close(
        self,
        thread_id: str,
        run_id: str,
        event: Mapping[str, Any],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> str:
        """Write a run's terminal event, once: a second call gives back the first one's id."""
        ...

    def read(
        self,
        thread_id: str,
        *,
        after: str = START,
        run_id: str | None = None,
        until_terminal: bool = True,
        tenant: str = DEFAULT_TENANT,
    ) -> AsyncIterator[Entry]:
        """Replay what came after an id, then follow.

        With ``run_id``, that run's events only. Ends behind the terminal event (with no
        ``run_id``, behind the first one of any run) unless told otherwise.
        """
        ...

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Forget the thread's events."""
        ...


def position(entry_id: str) -> tuple[int, int]:
    """An id as a pair that sorts. Raises ValueError for what is no id."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _absolute(after: str) -> str:
    milliseconds, sequence = position(after)
    return f"{milliseconds}-{sequence}"


def gap(*, after: str, trimmed: str) -> Entry:
    """The entry that says: what lay between these two ids is gone."""
    return Entry(
        id=trimmed, run_id="", event={"type": GAP, "after": after, "resumes_after": trimmed}
    )


class EventLog:
    """The log in Redis. Readers in this process get a batch from memory once it is written."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        max_events: int = MAX_EVENTS,
        retention_seconds: int = RETENTION_SECONDS,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._max_events = max_events
        self._retention = retention_seconds
        self._append = redis.register_script(APPEND)
        self._close = redis.register_script(CLOSE)
        self._read = redis.register_script(READ)
        self._fanout: Fanout[Entry] = Fanout(redis, decode=_entry)

    async def append(
        self,
        thread_id: str,
        run_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> list[str]:
        if not events:
            return []
        names = self._names(tenant, thread_id)
        reply = await self._append(
            keys=names,
            args=[run_id, self._max_events, *(orjson.dumps(event) for event in events)],
        )
        before, *ids = (word.decode() for word in reply)
        batch = [
            Entry(id=entry_id, run_id=run_id, event=event)
            for entry_id, event in zip(ids, events, strict=True)
        ]
        self._fanout.publish(names[0], after=before, batch=batch)
        return ids

    async def close(
        self,
        thread_id: str,
        run_id: str,
        event: Mapping[str, Any],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> str:
        names = self._names(tenant, thread_id)
        reply = await self._close(keys=names, args=[run_id, self._retention, orjson.dumps(event)])
        before, entry_id = reply[0].decode(), str(reply[1].decode())
        if before:
            batch = [Entry(id=entry_id, run_id=run_id, event=event)]
            self._fanout.publish(names[0], after=before, batch=batch)
        return entry_id

    async def read(
        self,
        thread_id: str,
        *,
        after: str = START,
        run_id: str | None = None,
        until_terminal: bool = True,
        tenant: str = DEFAULT_TENANT,
    ) -> AsyncIterator[Entry]:
        after = _absolute(after)
        names = self._names(tenant, thread_id)
        with self._fanout.topic(names[0]) as topic:
            while True:
                # Taken before the read, so that a write in between is not slept through.
                changed = topic.changed
                batch = topic.following(after)
                if batch is None:
                    reply = await self._page(names, run_id or "", after)
                    after, trimmed, end = (word.decode() for word in reply[:3])
                    if trimmed and position(after) < position(trimmed):
                        yield gap(after=after, trimmed=trimmed)
                        after = trimmed
                    batch = [_entry(entry_id, fields) for entry_id, fields in reply[3]]
                    if not batch:
                        if until_terminal and end and position(end) <= position(after):
                            return
                        topic.seen(after)
                        await changed.wait(1.0)
                        continue
                for entry in batch:
                    after = entry.id
                    if run_id is None or entry.run_id == run_id:
                        yield entry
                        if until_terminal and entry.is_terminal:
                            return

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        await self._redis.delete(*self._names(tenant, thread_id))

    async def _page(self, names: Sequence[str], run_id: str, after: str) -> Any:
        """Read on, over an outage of Redis that a restart would cause."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return await self._read(keys=names, args=[run_id, after, PAGE])
            except (RedisConnectionError, RedisTimeoutError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.25)

    @property
    def followed(self) -> int:
        """How many threads are being read in this process."""
        return len(self._fanout)

    def _names(self, tenant: str, thread_id: str) -> list[str]:
        return [self._keys.events(tenant, thread_id), self._keys.events_meta(tenant, thread_id)]


def _entry(entry_id: bytes, fields: Any) -> Entry:
    run_id, event = (fields[1], fields[3]) if isinstance(fields, list) else fields.values()
    return Entry(id=entry_id.decode(), run_id=run_id.decode(), event=orjson.loads(event))


class MemoryEventLog:
    """The log in this process's memory: same behaviour, nothing survives."""

    def __init__(self, *, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._trimmed: dict[tuple[str, str], str] = {}
        self._starts: dict[tuple[str, str, str], str] = {}
        self._ends: dict[tuple[str, str, str], str] = {}
        self._sequence = 0
        self._changed = asyncio.Condition()

    async def append(
        self,
        thread_id: str,
        run_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> list[str]:
        log = self._entries.setdefault((tenant, thread_id), [])
        self._starts.setdefault((tenant, thread_id, run_id), f"{self._sequence}-0")
        ids = []
        for event in events:
            self._sequence += 1
            ids.append(f"{self._sequence}-0")
            # Through the wire format, as the stored one: nobody shares a mutable event.
            stored = orjson.loads(orjson.dumps(event))
            log.append(Entry(id=ids[-1], run_id=run_id, event=stored))
        if (surplus := len(log) - self._max_events) > self._max_events // 10:
            self._trimmed[tenant, thread_id] = log[surplus - 1].id
            del log[:surplus]
        async with self._changed:
            self._changed.notify_all()
        return ids

    async def close(
        self,
        thread_id: str,
        run_id: str,
        event: Mapping[str, Any],
        *,
        tenant: str = DEFAULT_TENANT,
    ) -> str:
        name = (tenant, thread_id, run_id)
        if name not in self._ends:
            self._ends[name] = f"{self._sequence + 1}-0"
            await self.append(thread_id, run_id, [event], tenant=tenant)
        return self._ends[name]

    async def read(
        self,
        thread_id: str,
        *,
        after: str = START,
        run_id: str | None = None,
        until_terminal: bool = True,
        tenant: str = DEFAULT_TENANT,
    ) -> AsyncIterator[Entry]:
        after = _absolute(after)
        if run_id is not None and after == _ORIGIN:
            now = f"{self._sequence}-0"
            after = self._starts.get((tenant, thread_id, run_id), now)
        while True:
            trimmed = self._trimmed.get((tenant, thread_id), START)
            if position(after) < position(trimmed):
                yield gap(after=after, trimmed=trimmed)
                after = trimmed
            log = self._entries.get((tenant, thread_id), [])
            batch = [entry for entry in log if position(entry.id) > position(after)]
            end = self._ends.get((tenant, thread_id, run_id or ""))
            if not batch and until_terminal and end and position(end) <= position(after):
                return
            for entry in batch:
                after = entry.id
                if run_id is None or entry.run_id == run_id:
                    yield entry
                    if until_terminal and entry.is_terminal:
                        return
            if not batch:
                async with self._changed:
                    await self._changed.wait()

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        self._entries.pop((tenant, thread_id), None)
        self._trimmed.pop((tenant, thread_id), None)
        for names in (self._starts, self._ends):
            for name in [name for name in names if name[:2] == (tenant, thread_id)]:
                del names[name]
