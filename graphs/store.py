"""Long-term memory of graphs on plain Redis: LangGraph's store, apart for each tenant.

Without an index a search's ``query`` ranks nothing, as in LangGraph's own stores: items come
latest first. With one, they come by likeness.
"""

from __future__ import annotations

import asyncio
import copy
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import orjson
import ormsgpack
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)
from redis.asyncio import Redis

from graphs.keys import DEFAULT_TENANT, Keys
from graphs.plain import plain
from graphs.store_match import lies_in, matches
from graphs.store_scripts import DELETE, DUE, EXPIRE, PUT, READ

_UNIT, _RECORD = "\x1f", "\x1e"
_HEAD = struct.Struct("<ddd")
_SWEEP_SECONDS = 60.0
_SWEPT = 500
_MINUTE = 60_000_000


@dataclass(frozen=True, kw_only=True)
class _Found:
    item: Item
    lives: bool
    """Whether it has a time to live."""
    vectors: Sequence[bytes]


class RedisStore(BaseStore):
    """Items by namespace and key, for one tenant. ``redis`` answers in bytes; the caller closes it.

    Made on the event loop that it serves. The synchronous methods work from other threads, such as
    those in which LangGraph runs synchronous nodes; on the loop they raise RuntimeError.
    """

    supports_ttl = True

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        tenant: str = DEFAULT_TENANT,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._tenant = tenant
        self._index = index
        self._embeddings = ensure_embeddings(index["embed"]) if index is not None else None
        self.ttl_config = ttl
        self._loop = asyncio.get_running_loop()
        self._swept = time.monotonic()
        self._put = redis.register_script(PUT)
        self._delete = redis.register_script(DELETE)
        self._read = redis.register_script(READ)
        self._due = redis.register_script(DUE)
        self._expire = redis.register_script(EXPIRE)

    def for_tenant(self, tenant: str) -> RedisStore:
        """The same store, as another tenant sees it."""
        made = copy.copy(self)
        made._tenant = tenant
        return made

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            raise RuntimeError("on the event loop use aget, aput, asearch, adelete of the store")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Reads see what was there before the writes of the same batch; a key's last write wins."""
        results: list[Result] = []
        puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
        for op in ops:
            match op:
                case GetOp():
                    found = await self._items(op.namespace, [op.key], refresh=op.refresh_ttl)
                    results.append(found[0].item if found else None)
                case SearchOp():
                    results.append(await self._search(op))
                case ListNamespacesOp():
                    results.append(await self._list(op))
                case PutOp():
                    puts[op.namespace, op.key] = op
                    results.append(None)
                case _:
                    raise ValueError(f"the store has no operation {type(op).__name__}")
        if puts:
            await self._write(list(puts.values()))
        return results

    async def sweep(self) -> int:
        """Drop items whose time is over; gives how many. Nobody sees them anyway."""
        due = cast(
            "list[bytes]",
            await self._due(keys=[self._keys.store(self._tenant) + "expiries"], args=[_SWEPT]),
        )
        for member in due:
            namespace, _, key = member.decode().rpartition(_RECORD)
            await self._expire(keys=self._names(namespace), args=[namespace, key])
        return len(due)

    async def _write(self, puts: Sequence[PutOp]) -> None:
        vectors = await self._vectors(puts)
        async with self._redis.pipeline(transaction=False) as pipeline:
            client = pipeline if len(puts) > 1 else self._redis
            for op, vector in zip(puts, vectors, strict=True):
                namespace = _joined(op.namespace)
                if op.value is None:
                    await self._delete(
                        keys=self._names(namespace), args=[namespace, op.key], client=client
                    )
                    continue
                packed = ormsgpack.packb([orjson.dumps(plain(op.value)), vector])
                lives = int((op.ttl or 0) * _MINUTE)
                await self._put(
                    keys=self._names(namespace),
                    args=[namespace, op.key, lives, packed],
                    client=client,
                )
            if client is pipeline:
                await pipeline.execute()
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            await self.sweep()

    async def _vectors(self, puts: Sequence[PutOp]) -> list[list[bytes]]:
        """What each item's texts look like to the index."""
        if self._index is None or self._embeddings is None:
            return [[] for _ in puts]
        default = self._index.get("fields") or ["$"]
        texts: list[list[str]] = []
        for op in puts:
            paths = default if op.index is None else op.index or []
            texts.append(
                []
                if op.value is None
                else [
                    text
                    for path in paths
                    for text in get_text_at_path(
                        op.value, path if path == "$" else tokenize_path(path)
                    )
                ]
            )
        flat = [text for some in texts for text in some]
        made = iter(await self._embeddings.aembed_documents(flat) if flat else [])
        return [[_unit(next(made)).tobytes() for _ in some] for some in texts]

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        found = [
            one
            for namespace in await self._namespaces(op.namespace_prefix)
            for one in await self._items(namespace, (), refresh=False)
            if matches(one.item.value, op.filter)
        ]
        found.sort(key=lambda one: (one.item.updated_at, one.item.key), reverse=True)
        ranked: list[tuple[_Found, float | None]] = [(one, None) for one in found]
        if op.query and self._embeddings is not None:
            asked = _unit(await self._embeddings.aembed_query(op.query))
            ranked = [(one, _likeness(asked, one.vectors)) for one in found]
            # What has no vector comes behind all that has one.
            ranked.sort(key=lambda pair: -2.0 if pair[1] is None else pair[1], reverse=True)
        page = ranked[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            for one, _ in page:
                if one.lives:
                    await self._items(one.item.namespace, [one.item.key], refresh=True)
        return [
            SearchItem(
                namespace=one.item.namespace,
                key=one.item.key,
                value=one.item.value,
                created_at=one.item.created_at,
                updated_at=one.item.updated_at,
                score=score,
            )
            for one, score in page
        ]

    async def _list(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        await self.sweep()
        found = [
            namespace
            for namespace in await self._namespaces(())
            if all(lies_in(namespace, condition) for condition in op.match_conditions or ())
        ]
        if op.max_depth is not None:
            found = sorted({namespace[: op.max_depth] for namespace in found})
        return found[op.offset : op.offset + op.limit]

    async def _namespaces(self, prefix: tuple[str, ...]) -> list[tuple[str, ...]]:
        index = self._keys.store(self._tenant) + "namespaces"
        start = _joined(prefix).encode()
        low, high = (b"[" + start, b"[" + start + b"\xff") if prefix else (b"-", b"+")
        members = cast("list[bytes]", await self._redis.zrangebylex(index, low, high))
        found = sorted(tuple(member.decode().split(_UNIT)) for member in members)
        return [namespace for namespace in found if namespace[: len(prefix)] == prefix]

    async def _items(
        self, namespace: tuple[str, ...], only: Sequence[str], *, refresh: bool
    ) -> list[_Found]:
        """The items with these keys; with all keys where none is named."""
        name = _joined(namespace)
        reply = cast(
            "list[bytes]",
            await self._read(keys=self._names(name), args=[name, int(refresh), *only]),
        )
        found = []
        for key, stored in zip(reply[::2], reply[1::2], strict=True):
            created, updated, ttl = _HEAD.unpack_from(stored)
            value, vectors = ormsgpack.unpackb(stored[_HEAD.size :])
            item = Item(
                value=orjson.loads(value),
                key=key.decode(),
                namespace=namespace,
                created_at=_time(created),
                updated_at=_time(updated),
            )
            found.append(_Found(item=item, lives=ttl > 0, vectors=vectors))
        return found

    def _names(self, namespace: str) -> list[str]:
        start = self._keys.store(self._tenant)
        return [start + "items:" + namespace, start + "namespaces", start + "expiries"]


def _joined(namespace: Sequence[str]) -> str:
    for label in namespace:
        if _UNIT in label or _RECORD in label:
            raise ValueError(f"a namespace may not hold control characters: {label!r}")
    return _UNIT.join(namespace)


def _time(microseconds: float) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, tz=UTC)


def _unit(vector: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vector at length one; nothing stays nothing."""
    made = np.asarray(vector, dtype=np.float32)
    return made / (np.linalg.norm(made) or np.float32(1))


def _likeness(
    asked: np.ndarray[Any, np.dtype[np.float32]], vectors: Sequence[bytes]
) -> float | None:
    """The cosine to the nearest of an item's texts."""
    if not vectors:
        return None
    return max(float(np.frombuffer(one, dtype=np.float32) @ asked) for one in vectors)
