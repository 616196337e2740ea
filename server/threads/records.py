"""Thread records: made, found by metadata, changed, copied, deleted with all that hangs on them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from redis.asyncio import Redis

from graphs.event_log import ThreadLog
from graphs.keys import DEFAULT_TENANT, Keys, thread_name
from graphs.saver import RedisSaver
from server.artifacts.store import ThreadFiles
from server.threads.matching import contains, scalar
from server.threads.scripts import CLEAN, CREATE, DELETE, LATER, PATCH, SEARCH, SETTLE
from server.threads.thread import (
    NewThread,
    SortBy,
    Strategy,
    ThreadBusyError,
    ThreadExistsError,
    ThreadNotFoundError,
    ThreadQuery,
    ThreadRecord,
    ThreadStatus,
    TimeToLive,
    of_stored,
)

BATCH = 200
CLEANING_SECONDS = 60
"""How long one process may take to drop what a thread has left; then another one does."""
TRY_SECONDS = 0.05
TRIES = 100
# Within one status every thread has the same: what is left to sort by is the id.
_FIELDS = {
    SortBy.THREAD_ID: "thread_id",
    SortBy.STATUS: "thread_id",
    SortBy.STATE_UPDATED_AT: "state_updated_at",
}
_INDEXED = tuple(status for status in ThreadStatus if status is not ThreadStatus.IDLE)


class RedisThreads:
    """All thread records. Runs write theirs themselves: status, and the ids of their graph."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        saver: RedisSaver,
        log: ThreadLog,
        files: ThreadFiles | None = None,
        forget: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        """``forget`` drops what this process keeps of a deleted thread (tenant, thread) itself."""
        self._redis = redis
        self._keys = keys
        self._saver = saver
        self._log = log
        self._files = files
        self._forget = forget
        self._create = redis.register_script(CREATE)
        self._patch = redis.register_script(PATCH)
        self._settle = redis.register_script(SETTLE)
        self._delete = redis.register_script(DELETE)
        self._cleaning = redis.register_script(CLEAN)
        self._later = redis.register_script(LATER)
        self._search = redis.register_script(SEARCH)

    async def create(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        thread_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: TimeToLive | None = None,
    ) -> ThreadRecord:
        """A new idle thread. Raises ThreadExistsError, ThreadBusyError."""
        made = thread_id or str(uuid.uuid4())
        for _ in range(TRIES):
            reply = await self._create(
                keys=self._written(tenant, made), args=self._told(tenant, made, metadata or {}, ttl)
            )
            if reply == b"exists":
                raise ThreadExistsError(f"thread_id: there is a thread {made} already")
            if reply == b"ok":
                return await self.get(made, tenant=tenant)
            if not await self.clean(made, tenant=tenant):
                await asyncio.sleep(TRY_SECONDS)
        raise ThreadBusyError(f"thread {made} is being deleted; try again in a moment")

    async def get(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> ThreadRecord:
        """Raises ThreadNotFoundError."""
        found = await self.many([thread_id], tenant=tenant)
        if not found:
            raise _missing(thread_id)
        return found[0]

    async def many(
        self, thread_ids: Sequence[str], *, tenant: str = DEFAULT_TENANT
    ) -> Sequence[ThreadRecord]:
        """Those that there are, in the order of their ids."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for thread_id in thread_ids:
                pipeline.hgetall(self._keys.thread_record(tenant, thread_id))
            replies = await pipeline.execute()
        return [
            of_stored(thread_id, tenant, stored)
            for thread_id, stored in zip(thread_ids, replies, strict=True)
            if stored
        ]

    async def patch(
        self,
        thread_id: str,
        *,
        tenant: str = DEFAULT_TENANT,
        metadata: Mapping[str, Any] | None = None,
        ttl: TimeToLive | None = None,
    ) -> None:
        """Merge metadata, set the time to live. Raises ThreadNotFoundError."""
        reply = await self._patch(
            keys=self._written(tenant, thread_id),
            args=self._told(tenant, thread_id, metadata or {}, ttl),
        )
        if reply == b"missing":
            raise _missing(thread_id)

    async def settle(
        self, thread_id: str, status: ThreadStatus, *, tenant: str = DEFAULT_TENANT
    ) -> None:
        """The state was changed by no run; a run that has taken the thread since knows better."""
        await self._settle(
            keys=[
                self._keys.thread_record(tenant, thread_id),
                self._keys.threads_updated(tenant),
                self._keys.fence(thread_name(tenant, thread_id)),
                self._keys.thread_queue(tenant, thread_id),
            ],
            args=[thread_id, status.value, self._keys.threads_by(tenant)],
        )

    async def delete(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """With all that hangs on it. Raises ThreadNotFoundError, ThreadBusyError."""
        reply = await self._remove(thread_id, tenant=tenant, kept=[ThreadStatus.BUSY])
        if reply == "missing":
            raise _missing(thread_id)
        if reply != "ok":
            raise ThreadBusyError(
                f"thread {thread_id} is busy; cancel its runs, or wait for their end"
            )

    async def expire(
        self, thread_id: str, *, tenant: str = DEFAULT_TENANT, ttl: TimeToLive
    ) -> bool:
        """Delete a thread whose time is over and that nobody uses; replies whether it is gone."""
        reply = await self._remove(
            thread_id,
            tenant=tenant,
            kept=[ThreadStatus.BUSY, ThreadStatus.INTERRUPTED],
            older=ttl.microseconds,
        )
        return reply in {"ok", "missing"}

    async def look_later(self, record: ThreadRecord, *, microseconds: int) -> None:
        """When to see again whether its time is over, since the epoch; a deletion meanwhile has
        the last word."""
        await self._later(
            keys=[self._keys.threads_expiring], args=[record.checkpoint_thread, microseconds]
        )

    async def clean(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> bool:
        """Drop what a deleted thread has left; may be done again after a death in between.

        False where another process is at it. One at a time, and only while the thread is leaving:
        so nothing of the next thread of that id is dropped.
        """
        turn, name = self._keys.thread_cleaning(tenant, thread_id), thread_name(tenant, thread_id)
        if not await self._cleaning(keys=[turn], args=[CLEANING_SECONDS]):
            return False
        try:
            if await self._redis.sismember(self._keys.threads_leaving, name):
                await self._clean(thread_id, tenant=tenant)
        finally:
            await self._redis.delete(turn)
        return True

    async def _clean(self, thread_id: str, *, tenant: str) -> None:
        runs_name = self._keys.thread_runs(tenant, thread_id)
        runs = cast("list[bytes]", await self._redis.zrange(runs_name, 0, -1))
        name = thread_name(tenant, thread_id)
        indexes = [
            self._keys.runs_all,
            self._keys.runs_due,
            self._keys.runs_dead,
            self._keys.runs_untold,
            self._keys.runs_parked,
            self._keys.traces,
        ]
        if self._forget is not None:
            await self._forget(tenant, thread_id)
        if self._files is not None:
            await self._files.drop(thread_id, tenant=tenant)
        await self._saver.adelete_thread(name)
        await self._log.delete(thread_id, tenant=tenant)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for run_id in (word.decode() for word in runs):
                pipeline.delete(
                    self._keys.run(run_id), self._keys.run_ledger(run_id), self._keys.trace(run_id)
                )
                pipeline.srem(self._keys.checkpoint_run(run_id), name)
                for index in indexes:
                    pipeline.zrem(index, run_id)
            pipeline.delete(runs_name, self._keys.thread_effects(tenant, thread_id))
            pipeline.srem(self._keys.threads_leaving, name)
            await pipeline.execute()

    async def copy(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> ThreadRecord:
        """A new thread with the same metadata, history and files. Raises ThreadNotFoundError."""
        source = await self.get(thread_id, tenant=tenant)
        made = await self.create(tenant=tenant, metadata=source.metadata, ttl=source.ttl)
        await self._saver.acopy_thread(source.checkpoint_thread, made.checkpoint_thread)
        if self._files is not None:
            await self._files.copy(thread_id, to=made.thread_id, tenant=tenant)
        if source.status in {ThreadStatus.INTERRUPTED, ThreadStatus.ERROR}:
            await self.settle(made.thread_id, source.status, tenant=tenant)
        return await self.get(made.thread_id, tenant=tenant)

    async def prune(
        self, thread_ids: Sequence[str], strategy: Strategy, *, tenant: str = DEFAULT_TENANT
    ) -> int:
        """Replies how many threads were pruned; unknown and busy ones are left alone."""
        pruned = 0
        for record in await self.many(list(dict.fromkeys(thread_ids)), tenant=tenant):
            if strategy is Strategy.DELETE:
                kept = [ThreadStatus.BUSY]
                reply = await self._remove(record.thread_id, tenant=tenant, kept=kept)
                pruned += reply == "ok"
            elif record.status is not ThreadStatus.BUSY:
                await self._saver.aprune([record.checkpoint_thread], strategy=strategy.value)
                pruned += 1
        return pruned

    async def search(
        self,
        query: ThreadQuery,
        *,
        tenant: str = DEFAULT_TENANT,
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[Sequence[ThreadRecord], int]:
        """One page, and how many there are in all."""
        deep = {key: value for key, value in query.metadata.items() if scalar(value) is None}
        if not deep:
            ids, total = await self._page(query, tenant=tenant, limit=limit, offset=offset)
            return await self.many(ids, tenant=tenant), total
        # The index knows scalars; lists and objects are looked at one thread after the other.
        found: list[ThreadRecord] = []
        at, total = 0, 1
        while at < total:
            ids, total = await self._page(query, tenant=tenant, limit=BATCH, offset=at)
            records = await self.many(ids, tenant=tenant)
            found += [record for record in records if contains(record.metadata, deep)]
            at += BATCH
        return found[offset : offset + limit], len(found)

    async def _page(
        self, query: ThreadQuery, *, tenant: str, limit: int, offset: int
    ) -> tuple[list[str], int]:
        if query.ids is not None and not query.ids:
            return [], 0
        by_updated = query.sort_by is SortBy.UPDATED_AT
        if query.sort_by is SortBy.STATUS and query.status is None:
            return await self._by_status(query, tenant=tenant, limit=limit, offset=offset)
        ordered = by_updated or query.sort_by is SortBy.CREATED_AT
        # Two ids never end in the same way, so what stands before and behind them is known.
        start, _, tail = self._keys.thread_record(tenant, "~").rpartition("~")
        sets = [
            self._keys.thread_metadata(tenant, key, known)
            for key, value in query.metadata.items()
            if (known := scalar(value)) is not None
        ]
        without = []
        if query.without is not None:
            key, value = query.without
            without = [self._keys.thread_metadata(tenant, key, scalar(value) or b"")]
        if query.status is ThreadStatus.IDLE:
            without += [self._keys.threads_by_status(tenant, other) for other in _INDEXED]
        elif query.status is not None:
            sets.append(self._keys.threads_by_status(tenant, query.status))
        total, *page = await self._search(
            keys=[
                self._keys.threads_updated(tenant) if by_updated else self._keys.threads(tenant),
                *sets,
                *without,
            ],
            args=[
                start,
                tail,
                len(without),
                "" if ordered else _FIELDS[query.sort_by],
                "desc" if query.descending else "asc",
                offset,
                limit,
                *(query.ids or ()),
            ],
        )
        return [word.decode() for word in page], int(total)

    async def _by_status(
        self, query: ThreadQuery, *, tenant: str, limit: int, offset: int
    ) -> tuple[list[str], int]:
        """One status after the other; within one, threads stand in the order of their ids."""
        found: list[str] = []
        before = 0
        for status in sorted(ThreadStatus, reverse=query.descending):
            ids, total = await self._page(
                replace(query, status=status, sort_by=SortBy.THREAD_ID),
                tenant=tenant,
                limit=max(limit - len(found), 0),
                offset=max(offset - before, 0),
            )
            found += ids
            before += total
        return found, before

    async def _remove(
        self,
        thread_id: str,
        *,
        tenant: str,
        kept: Sequence[ThreadStatus],
        older: int | None = None,
    ) -> str:
        name = thread_name(tenant, thread_id)
        reply = await self._delete(
            keys=[
                self._keys.thread_record(tenant, thread_id),
                self._keys.threads(tenant),
                self._keys.threads_updated(tenant),
                self._keys.threads_expiring,
                self._keys.threads_leaving,
                self._keys.fence(name),
                self._keys.thread_queue(tenant, thread_id),
                self._keys.thread_runs(tenant, thread_id),
                self._keys.runs_due,
            ],
            args=[
                thread_id,
                self._keys.threads_by(tenant),
                name,
                f",{','.join(kept)},",
                "" if older is None else older,
                self._keys.run(""),
            ],
        )
        if reply == b"ok":
            await self.clean(thread_id, tenant=tenant)
        return cast("bytes", reply).decode()

    def _written(self, tenant: str, thread_id: str) -> list[str]:
        return [
            self._keys.thread_record(tenant, thread_id),
            self._keys.threads(tenant),
            self._keys.threads_updated(tenant),
            self._keys.tenants,
            self._keys.threads_expiring,
            self._keys.threads_leaving,
        ]

    def _told(
        self, tenant: str, thread_id: str, metadata: Mapping[str, Any], ttl: TimeToLive | None
    ) -> list[str | bytes | int]:
        told: list[str | bytes | int] = [
            thread_id,
            tenant,
            self._keys.threads_by(tenant),
            thread_name(tenant, thread_id),
        ]
        return [*told, *NewThread(metadata=metadata, ttl=ttl).told()]


def _missing(thread_id: str) -> ThreadNotFoundError:
    return ThreadNotFoundError(f"no thread {thread_id}; POST /threads makes one")
