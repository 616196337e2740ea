"""What happened in a thread, in order, for good: written before anyone is told, read by anybody.

``EventLog`` keeps one Redis stream per thread; ``graphs/event_log_memory.py`` has its twin.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphs.event_fanout import Fanout
from graphs.event_log_scripts import APPEND, CLOSE, PAUSE, PROCEED, READ, SLOTS
from graphs.fence import obeyed
from graphs.keys import DEFAULT_TENANT, Keys, thread_name

START = "0"
ORIGIN = "0-0"
MAX_EVENTS = 20_000
RETENTION_SECONDS = 7 * 24 * 3600
PAGE = 500
OUTAGE_SECONDS = 15.0
GAP = "log.gap"
TERMINAL = frozenset({"run.finished", "run.failed"})
PAUSED = "run.interrupted"


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

    @property
    def is_pause(self) -> bool:
        return self.event.get("type") == PAUSED


class ThreadLog(Protocol):
    """The log of every thread. Ids grow; a write returns once it is done.

    ``fence`` is the stamp of the writer (``graphs/fence.py``); each write raises FencedError where
    the thread listens to another one. ``run_id`` names the run that an event belongs to.
    """

    async def append(
        self,
        thread_id: str,
        run_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        tenant: str = DEFAULT_TENANT,
        fence: str = "",
    ) -> list[str]:
        """Write a batch in one go and give each event its id. A paused run goes on with it."""
        ...

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
        """Write a run's terminal event, once: a second call gives back the first one's id.

        The thread's log is kept for ``retention_seconds`` from then on (the log's own measure
        where not given), longer as long as any of its runs has begun and not ended. Raises
        FencedError where the run's record is in another state than ``status``.
        """
        ...

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
        """Write that a run waits for a person, once. Keeps the log for good.

        ``number``: how many pauses it had before. One that is over is not told any more; then, as
        for a run that is over, the id of what stands in its place is given, or ''. Raises
        FencedError where the run's record is in another state than ``status``.
        """
        ...

    async def proceed(
        self, thread_id: str, run_id: str, *, number: int = 0, tenant: str = DEFAULT_TENANT
    ) -> None:
        """A run goes on behind that pause: from now on its readers wait for what comes."""
        ...

    def read(
        self,
        thread_id: str,
        *,
        after: str = START,
        run_id: str | None = None,
        until_terminal: bool = True,
        begun: bool = False,
        tenant: str = DEFAULT_TENANT,
    ) -> AsyncIterator[Entry]:
        """Replay what came after an id, then follow.

        With ``run_id``, that run's events only. Ends behind the terminal event (with no
        ``run_id``, behind the first one of any run) and behind a pause that still holds, unless
        told otherwise. Ends when the log is deleted or expires, for a run that has ``begun`` also
        when nothing of it is there.
        """
        ...

    async def newest(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> str:
        """The id of the thread's last event; that of the start where there is none."""
        ...

    async def size(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> int:
        """Bytes of memory that the thread's events take."""
        ...

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Forget the thread's events."""
        ...


def position(entry_id: str) -> tuple[int, int]:
    """An id as a pair that sorts. Raises ValueError for what is no id."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def absolute(after: str) -> str:
    """An id with both its parts. Raises ValueError for what is no id."""
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
        self._pause = redis.register_script(PAUSE)
        self._proceed = redis.register_script(PROCEED)
        self._read = redis.register_script(READ)
        # Names each batch, for a client that sends it again because the reply was lost.
        self._writer = secrets.token_hex(6)
        self._batches = itertools.count()
        self._fanout: Fanout[Entry] = Fanout(redis, decode=_entry)

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
        names = self._names(tenant, thread_id)
        number = next(self._batches)
        before, first, count = await obeyed(
            self._append,
            keys=names,
            args=[
                fence,
                run_id,
                number % SLOTS,
                f"{self._writer}{number:x}",
                self._max_events,
                *(orjson.dumps(event) for event in events),
            ],
        )
        milliseconds, sequence = position(first.decode())
        ids = [f"{milliseconds}-{sequence + place}" for place in range(int(count))]
        batch = [
            Entry(id=entry_id, run_id=run_id, event=event)
            for entry_id, event in zip(ids, events, strict=True)
        ]
        self._fanout.publish(names[0], after=before.decode(), batch=batch)
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
        kept = self._retention if retention_seconds is None else retention_seconds
        names = [*self._names(tenant, thread_id), self._keys.run(run_id)]
        # No time at all would delete the log before its readers have seen the end.
        return await self._last(self._close, names, [fence, run_id, event, max(1, kept), status])

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
        names = [*self._names(tenant, thread_id), self._keys.run(run_id)]
        return await self._last(self._pause, names, [fence, run_id, event, number, status])

    async def proceed(
        self, thread_id: str, run_id: str, *, number: int = 0, tenant: str = DEFAULT_TENANT
    ) -> None:
        names = [self._keys.events_meta(tenant, thread_id)]
        await self._proceed(keys=names, args=[run_id, number])

    async def _last(self, script: AsyncScript, names: Sequence[str], args: Sequence[Any]) -> str:
        """Write the event that a run stops with, for good or for now."""
        _, run_id, event, *_ = args
        stored = [orjson.dumps(arg) if arg is event else arg for arg in args]
        before, entry_id = (word.decode() for word in await obeyed(script, keys=names, args=stored))
        if before:
            batch = [Entry(id=entry_id, run_id=run_id, event=event)]
            self._fanout.publish(names[0], after=before, batch=batch, last=True)
        return str(entry_id)

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
        after = absolute(after)
        names = self._names(tenant, thread_id)
        life, whose, told = "", run_id or "", False
        with self._fanout.topic(names[0]) as topic:
            while True:
                # Taken before the read, so that a write in between is not slept through.
                changed = topic.changed
                batch = topic.following(after)
                if batch is None and told and topic.tail == after:
                    # All that this process knows of was read; the store is asked after a silence.
                    told = False
                    await changed.wait(1.0)
                    continue
                told = batch is not None
                if batch is None:
                    reply = await self._page(names, [run_id or "", after, PAGE, whose, int(begun)])
                    after, trimmed, end, born, gone = (word.decode() for word in reply[:5])
                    if life and born != life:
                        return
                    life = born
                    if trimmed and position(after) < position(trimmed):
                        yield gap(after=after, trimmed=trimmed)
                        after = trimmed
                    batch = [_entry(entry_id, fields) for entry_id, fields in reply[5]]
                    if not batch:
                        if gone:
                            return
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
                        if entry.is_pause:
                            # Whether it holds, the store knows.
                            whose, told = entry.run_id, False

    async def newest(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> str:
        stream = self._keys.events(tenant, thread_id)
        last: Any = await self._redis.xrevrange(stream, count=1)
        return str(last[0][0].decode()) if last else ORIGIN

    async def size(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> int:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in self._names(tenant, thread_id)[:2]:
                pipeline.memory_usage(name, samples=0)
            return sum(found or 0 for found in await pipeline.execute())

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        stream, meta, _ = self._names(tenant, thread_id)
        await self._redis.delete(stream, meta)
        self._fanout.forget(stream)

    async def _page(self, names: Sequence[str], args: Sequence[Any]) -> Any:
        """Read on, over an outage of Redis that a restart would cause."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return await self._read(keys=names, args=args)
            except (RedisConnectionError, RedisTimeoutError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.25)

    @property
    def followed(self) -> int:
        """How many threads are being read in this process."""
        return len(self._fanout)

    def _names(self, tenant: str, thread_id: str) -> list[str]:
        return [
            self._keys.events(tenant, thread_id),
            self._keys.events_meta(tenant, thread_id),
            self._keys.fence(thread_name(tenant, thread_id)),
        ]


def _entry(entry_id: bytes, fields: Any) -> Entry:
    run_id, event = (fields[1], fields[3]) if isinstance(fields, list) else fields.values()
    return Entry(id=entry_id.decode(), run_id=run_id.decode(), event=orjson.loads(event))
