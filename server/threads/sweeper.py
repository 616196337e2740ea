"""Threads whose time to live is over go, or shrink to their latest state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from redis.asyncio import Redis

from graphs.keys import Keys, thread_name
from server import patience
from server.threads.records import RedisThreads
from server.threads.thread import Strategy, ThreadNotFoundError, ThreadRecord, ThreadStatus

EVERY_SECONDS = 60.0
_PAGE = 100
_USED = frozenset({ThreadStatus.BUSY, ThreadStatus.INTERRUPTED})

_log = logging.getLogger(__name__)


class ThreadSweeper:
    """Looks at the threads that are due, by Redis' clock; any number may sweep at the same time.

    A thread that a run holds or that waits for a person is left, and looked at again later.
    """

    def __init__(self, redis: Redis, keys: Keys, *, threads: RedisThreads) -> None:
        self._redis = redis
        self._keys = keys
        self._threads = threads

    async def sweep(self) -> int:
        """Prune what is due and finish what a deletion left; replies how many were pruned."""
        left = cast("set[bytes]", await self._redis.smembers(self._keys.threads_leaving))
        for member in sorted(left):
            tenant, thread_id = _parts(member)
            await self._threads.clean(thread_id, tenant=tenant)
        pruned = 0
        while True:
            now = await self._now()
            due = cast(
                "list[bytes]",
                await self._redis.zrangebyscore(
                    self._keys.threads_expiring, "-inf", _microseconds(now), start=0, num=_PAGE
                ),
            )
            for member in due:
                pruned += await self._look(*_parts(member), now=now)
            if len(due) < _PAGE:
                return pruned

    async def _look(self, tenant: str, thread_id: str, *, now: datetime) -> bool:
        try:
            record = await self._threads.get(thread_id, tenant=tenant)
        except ThreadNotFoundError:
            record = None
        if record is None or record.ttl is None or record.expires_at is None:
            await self._redis.zrem(self._keys.threads_expiring, thread_name(tenant, thread_id))
            return False
        if record.expires_at > now:
            await self._again(record, record.expires_at)
            return False
        if record.status in _USED:
            await self._again(record, _later(record, now))
            return False
        if record.ttl.strategy is Strategy.DELETE:
            gone = await self._threads.expire(thread_id, tenant=tenant, ttl=record.ttl)
            if not gone:
                await self._again(record, _later(record, now))
            return gone
        pruned = await self._threads.prune([thread_id], Strategy.KEEP_LATEST, tenant=tenant)
        await self._again(record, _later(record, now))
        return pruned > 0

    async def _again(self, record: ThreadRecord, moment: datetime) -> None:
        await self._threads.look_later(record, microseconds=_microseconds(moment))

    async def _now(self) -> datetime:
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, tz=UTC) + timedelta(microseconds=microseconds)


class Sweeper(Protocol):
    """What is looked after again and again."""

    async def sweep(self) -> int:
        """Reply how much there was to do."""
        ...


@asynccontextmanager
async def swept(sweeper: Sweeper, *, every_seconds: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Sweep in the background, until the context is left."""

    async def forever() -> None:
        while True:
            try:
                await sweeper.sweep()
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("threads whose time is over cannot be pruned; trying again")
            await asyncio.sleep(every_seconds)

    task = asyncio.create_task(forever(), name="thread sweeper")
    try:
        yield
    finally:
        await patience.over(task)


def _later(record: ThreadRecord, now: datetime) -> datetime:
    """A whole life from now, at least as long as until the next look."""
    minutes = record.ttl.minutes if record.ttl is not None else 0
    return now + max(timedelta(minutes=minutes), timedelta(seconds=EVERY_SECONDS))


def _parts(member: bytes) -> tuple[str, str]:
    tenant, _, thread_id = member.decode().rpartition(":")
    return tenant, thread_id


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
