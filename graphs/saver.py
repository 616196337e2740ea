"""Our checkpoint saver: LangGraph's state on plain Redis, atomic, one round trip a step.

A thread is two keys. A channel's value is stored once, under its version, however many
checkpoints have it; a value that no checkpoint has any more is dropped with the last one.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from graphs.keys import Keys
from graphs.saver_scripts import DROP, GET, PUT, PUT_WRITES, RECORD, SURVEY, UNIT

PAGE = 20
_ASYNC_ONLY = "this checkpoint saver is asynchronous: use ainvoke, astream and the a... methods"


def plain_serializer() -> JsonPlusSerializer:
    """Plain data and LangChain messages only: no class outside the allow-list is ever imported."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


def _joined(*names: str) -> str:
    for name in names:
        if UNIT in name or RECORD in name:
            raise ValueError(f"a name may not hold separator characters: {name!r}")
    return UNIT.join(names)


def _framed(typed: tuple[str, bytes]) -> bytes:
    return typed[0].encode() + b":" + typed[1]


def _unframed(stored: bytes) -> tuple[str, bytes]:
    kind, _, data = stored.partition(b":")
    return kind.decode(), data


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def _place(config: RunnableConfig) -> tuple[str, str]:
    """Thread and namespace."""
    given = config["configurable"]
    return str(given["thread_id"]), str(given.get("checkpoint_ns") or "")


class RedisSaver(BaseCheckpointSaver[str]):
    """Checkpoints of any graph. ``redis`` answers in bytes; it is the caller's to close."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        super().__init__(serde=plain_serializer())
        self._redis = redis
        self._keys = keys
        self._get = redis.register_script(GET)
        self._put = redis.register_script(PUT)
        self._put_writes = redis.register_script(PUT_WRITES)
        self._survey = redis.register_script(SURVEY)
        self._drop = redis.register_script(DROP)

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Grows, and differs between two branches of one thread, so that values never collide."""
        last = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{last + 1:010d}.{secrets.token_hex(4)}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, namespace = _place(config)
        reply = await self._get(
            keys=self._names(thread_id), args=[namespace, get_checkpoint_id(config) or ""]
        )
        return self._tuple(thread_id, reply) if reply else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the interface's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        if config is not None:
            threads = [str(config["configurable"]["thread_id"])]
        else:
            threads = await self._threads()
        given = config["configurable"] if config is not None else {}
        latest = get_checkpoint_id(before) if before is not None else None
        left = limit if limit is not None else float("inf")
        for thread_id in threads:
            names = [
                (namespace, checkpoint_id)
                for namespace, checkpoint_id in await self._checkpoints(thread_id)
                if given.get("checkpoint_ns") in (None, namespace)
                and given.get("checkpoint_id") in (None, "", checkpoint_id)
                and (latest is None or checkpoint_id < latest)
            ]
            names.sort(key=lambda name: name[1], reverse=True)
            for start in range(0, len(names), PAGE):
                if left <= 0:
                    return
                for found in await self._many(thread_id, names[start : start + PAGE]):
                    metadata = cast("dict[str, Any]", found.metadata)
                    if filter and any(metadata.get(k) != v for k, v in filter.items()):
                        continue
                    if left <= 0:
                        return
                    left -= 1
                    yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace = _place(config)
        values = checkpoint["channel_values"]
        versions = checkpoint["channel_versions"]
        bare = {key: value for key, value in checkpoint.items() if key != "channel_values"}
        about = get_checkpoint_metadata(config, metadata)
        run_id = str(about.get("run_id") or "")
        record = ormsgpack.packb(
            [
                get_checkpoint_id(config),
                _framed(self.serde.dumps_typed(bare)),
                _framed(self.serde.dumps_typed(about)),
            ]
        )
        args: list[str | bytes] = [
            _joined(namespace, checkpoint["id"]),
            record,
            RECORD.join(
                _joined(namespace, channel, str(versions[channel]))
                for channel in values
                if channel in versions
            ),
            run_id,
        ]
        for channel, version in new_versions.items():
            if channel in values:
                args.append(_joined(namespace, channel, str(version)))
                args.append(_framed(self.serde.dumps_typed(values[channel])))
        try:
            await self._put_indexed(thread_id, run_id, args)
        except NoScriptError:
            # Redis was restarted since; asking each time whether it knows the script costs a trip.
            await self._redis.script_load(PUT)
            await self._put_indexed(thread_id, run_id, args)
        return _config(thread_id, namespace, checkpoint["id"])

    async def _put_indexed(self, thread_id: str, run_id: str, args: Sequence[str | bytes]) -> None:
        names = self._names(thread_id)
        async with self._redis.pipeline(transaction=False) as pipeline:
            # First what leads to the thread: an index may name too much, never too little.
            pipeline.sadd(self._keys.checkpoint_threads, thread_id)
            if run_id:
                pipeline.sadd(self._keys.checkpoint_run(run_id), thread_id)
            pipeline.evalsha(self._put.sha, len(names), *names, *args)
            await pipeline.execute()

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if not writes:
            return
        thread_id, namespace = _place(config)
        args: list[str | bytes | int] = [
            _joined(namespace, str(config["configurable"]["checkpoint_id"]))
        ]
        for number, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, number)
            packed = ormsgpack.packb([task_path, channel, _framed(self.serde.dumps_typed(value))])
            args += [_joined(task_id, str(index)), int(index < 0), packed]
        await self._put_writes(keys=self._names(thread_id), args=args)

    async def adelete_thread(self, thread_id: str) -> None:
        names = self._names(thread_id)
        runs = {run.decode() for _, run, _ in await self._survey(keys=names) if run}
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(*names)
            for run_id in runs:
                pipeline.srem(self._keys.checkpoint_run(run_id), thread_id)
            pipeline.srem(self._keys.checkpoint_threads, thread_id)
            await pipeline.execute()

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            name = self._keys.checkpoint_run(run_id)
            threads = cast("set[bytes]", await self._redis.smembers(name))
            for thread_id in (member.decode() for member in threads):
                surveyed = await self._survey(keys=self._names(thread_id))
                doomed = [at for at, run, _ in surveyed if run.decode() == run_id]
                await self._forget(thread_id, doomed)
            await self._redis.delete(name)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy the whole history; the target must be new. Raises ValueError."""
        sources, targets = self._names(source_thread_id), self._names(target_thread_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            for source in sources:
                pipeline.dump(source)
            dumps = await pipeline.execute()
        if None in dumps:
            return
        if await self._redis.exists(*targets):
            raise ValueError(f"thread {target_thread_id} has checkpoints already")
        async with self._redis.pipeline(transaction=True) as pipeline:
            for target, dump in zip(targets, dumps, strict=True):
                pipeline.restore(target, 0, dump)
            await pipeline.execute()
        runs = {run.decode() for _, run, _ in await self._survey(keys=targets) if run}
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.sadd(self._keys.checkpoint_threads, target_thread_id)
            for run_id in runs:
                pipeline.sadd(self._keys.checkpoint_run(run_id), target_thread_id)
            await pipeline.execute()

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep each namespace's latest checkpoint (``keep_latest``) or nothing (``delete``).

        What the latest one's delta channels are rebuilt from is kept too.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise ValueError(f"unknown strategy {strategy!r}: use keep_latest or delete")
        for thread_id in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread_id)
                continue
            latest: dict[str, str] = {}
            names = await self._checkpoints(thread_id)
            for namespace, checkpoint_id in names:
                latest[namespace] = max(latest.get(namespace, ""), checkpoint_id)
            kept = {
                name
                for namespace, checkpoint_id in latest.items()
                for name in await self._lineage(thread_id, namespace, checkpoint_id)
            }
            await self._forget(thread_id, [_joined(*name) for name in names if name not in kept])

    async def size(self, thread_id: str) -> int:
        """Bytes of Redis memory that the thread's checkpoints take."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in self._names(thread_id):
                pipeline.memory_usage(name, samples=0)
            return sum(found or 0 for found in await pipeline.execute())

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        raise NotImplementedError(_ASYNC_ONLY)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        raise NotImplementedError(_ASYNC_ONLY)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        raise NotImplementedError(_ASYNC_ONLY)

    def _names(self, thread_id: str) -> list[str]:
        start = self._keys.checkpoints(thread_id)
        return [start + "data", start + "index"]

    async def _threads(self) -> list[str]:
        found = cast("set[bytes]", await self._redis.smembers(self._keys.checkpoint_threads))
        return sorted(member.decode() for member in found)

    async def _checkpoints(self, thread_id: str) -> list[tuple[str, str]]:
        """Namespace and id of each, in that order."""
        index = self._names(thread_id)[1]
        found = await self._redis.zrangebylex(index, f"[c{UNIT}", b"[c\x1f\xff")
        names = (cast("bytes", field).decode().split(UNIT) for field in found)
        return [(namespace, checkpoint_id) for _, namespace, checkpoint_id in names]

    async def _many(
        self, thread_id: str, names: Sequence[tuple[str, str]]
    ) -> list[CheckpointTuple]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for namespace, checkpoint_id in names:
                await self._get(
                    keys=self._names(thread_id), args=[namespace, checkpoint_id], client=pipeline
                )
            replies = await pipeline.execute()
        return [self._tuple(thread_id, reply) for reply in replies if reply]

    async def _lineage(
        self, thread_id: str, namespace: str, checkpoint_id: str
    ) -> list[tuple[str, str]]:
        """A checkpoint, and its ancestors as far as its delta channels need them."""
        kept: list[tuple[str, str]] = []
        wanted: set[str] | None = None
        cursor: str | None = checkpoint_id
        while cursor is not None:
            found = await self.aget_tuple(_config(thread_id, namespace, cursor))
            if found is None:
                break
            kept.append((namespace, cursor))
            if wanted is None:
                wanted = set(found.metadata.get("counters_since_delta_snapshot") or ())
            wanted -= set(found.checkpoint["channel_values"])
            if not wanted:
                break
            parent = found.parent_config
            cursor = parent["configurable"]["checkpoint_id"] if parent is not None else None
        return kept

    async def _forget(self, thread_id: str, names: Sequence[str | bytes]) -> None:
        if not names:
            return
        left, *runs = await self._drop(keys=self._names(thread_id), args=names)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for run_id in (run.decode() for run in runs if run):
                pipeline.srem(self._keys.checkpoint_run(run_id), thread_id)
            if not left:
                pipeline.srem(self._keys.checkpoint_threads, thread_id)
            await pipeline.execute()

    def _tuple(self, thread_id: str, reply: Sequence[Any]) -> CheckpointTuple:
        name, record, values, writes = reply
        namespace, checkpoint_id = name.decode().split(UNIT)
        parent, bare, about = ormsgpack.unpackb(record)
        checkpoint = cast("Checkpoint", self.serde.loads_typed(_unframed(bare)))
        checkpoint["channel_values"] = {
            ref.decode().split(UNIT)[1]: self.serde.loads_typed(_unframed(value))
            for ref, value in _pairs(values)
            if value
        }
        pending = []
        for at, packed in _pairs(writes):
            task_id, index = at.decode().split(UNIT)
            task_path, channel, value = ormsgpack.unpackb(packed)
            order = writes_sort_key(task_path, task_id, int(index))
            pending.append((order, (task_id, channel, self.serde.loads_typed(_unframed(value)))))
        pending.sort(key=lambda write: write[0])
        return CheckpointTuple(
            config=_config(thread_id, namespace, checkpoint_id),
            checkpoint=checkpoint,
            metadata=self.serde.loads_typed(_unframed(about)),
            parent_config=_config(thread_id, namespace, parent) if parent else None,
            pending_writes=[write for _, write in pending],
        )


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    words = iter(flat)
    return zip(words, words, strict=True)
