"""Our checkpoint saver: LangGraph's state on plain Redis, atomic, one round trip a step.

A thread is two keys. A channel's value is stored once, under its version, however many
checkpoints have it, a long list in pieces of which a step stores the last anew
(``graphs/saver_codec.py``); what no checkpoint has any more is dropped with the last one.
Nothing expires by time. A run's writes carry its stamp in ``config["configurable"][FENCE]``.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from redis.asyncio import Redis

from graphs import retention, saver_codec
from graphs.fence import obeyed
from graphs.keys import Keys
from graphs.retention import KeepAll, Name, Retention, Stored
from graphs.saver_async_only import AsyncOnlySaver
from graphs.saver_clock import catch_up
from graphs.saver_codec import UNIT, Field, config_of, framed, joined, place_of, unframed
from graphs.saver_scripts import COPY, DROP, GET, NOT_ALL, PUT, PUT_WRITES, SURVEY, UNDO
from graphs.saver_steps import KnownSteps, StepsLostError

PAGE = 20
TRIES = 5


def _runs(stored: Iterable[Stored]) -> set[str]:
    """The runs that wrote any of it."""
    return {run_id for each in stored for run_id in (each.run_id, *each.writers) if run_id}


class RedisSaver(AsyncOnlySaver):
    """Checkpoints of any graph. ``redis`` answers in bytes; it is the caller's to close.

    With ``KeepLast`` as retention, old checkpoints go while new ones are put, a good many at a
    time. ``allowed``: classes of users' states that may be brought back, by module and name.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        retention: Retention | None = None,
        allowed: Collection[tuple[str, str]] = (),
    ) -> None:
        super().__init__(serde=saver_codec.plain_serializer(allowed))
        self._redis = redis
        self._keys = keys
        self._retention = retention or KeepAll()
        self._pieces = saver_codec.Pieces()
        self._steps = KnownSteps()
        self._get = redis.register_script(GET)
        self._put = redis.register_script(PUT)
        self._put_writes = redis.register_script(PUT_WRITES)
        self._survey = redis.register_script(SURVEY)
        self._drop = redis.register_script(DROP)
        self._undo = redis.register_script(UNDO)
        self._copy = redis.register_script(COPY)

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Grows, and differs between two branches of one thread, so that values never collide."""
        last = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{last + 1:010d}.{secrets.token_hex(4)}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, namespace, stamp = place_of(config)
        reply = await self._get(
            keys=self._names(thread_id), args=[namespace, get_checkpoint_id(config) or ""]
        )
        found = self._tuple(thread_id, reply) if reply else None
        here = found.checkpoint["id"] if found else ""
        self._steps.find(thread_id, namespace, stamp, here, latest=not get_checkpoint_id(config))
        if found:
            catch_up(here)
        return found

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

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        thread_id, namespace, _ = place_of(config)
        stored, _ = await self._surveyed(thread_id)
        names = retention.ancestors(stored, (namespace, get_checkpoint_id(config) or ""), channels)
        found: list[CheckpointTuple] = []
        for start in range(0, len(names), PAGE):
            found += await self._many(thread_id, names[start : start + PAGE])
        return {channel: saver_codec.delta_history(found, channel) for channel in channels}

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a step. Raises FencedError, StepsLostError."""
        thread_id, namespace, stamp = place_of(config)
        values = checkpoint["channel_values"]
        versions = checkpoint["channel_versions"]
        bare = {key: value for key, value in checkpoint.items() if key != "channel_values"}
        about = cast("dict[str, Any]", get_checkpoint_metadata(config, metadata))
        head = Stored(
            namespace=namespace,
            checkpoint_id=checkpoint["id"],
            parent=get_checkpoint_id(config) or "",
            root=str((about.get("parents") or {}).get("") or ""),
            run_id=str(about.get("run_id") or ""),
            deltas=frozenset(about.get("counters_since_delta_snapshot") or ()),
        )
        refs = [
            joined(channel, str(versions[channel])) for channel in values if channel in versions
        ]
        args: list[str | bytes] = [
            stamp,
            thread_id,
            head.run_id,
            joined(namespace),
            joined(head.checkpoint_id),
            ormsgpack.packb(
                [framed(self.serde.dumps_typed(bare)), framed(self.serde.dumps_typed(about))]
            ),
            saver_codec.packed_head(head, refs),
            head.parent if self._steps.has(thread_id, namespace, stamp, head.parent) else "",
        ]
        names = [
            *self._names(thread_id),
            self._keys.fence(thread_id),
            self._keys.checkpoint_threads,
            self._keys.checkpoint_run(head.run_id),
        ]
        fields = saver_codec.fields_under(namespace, values, new_versions, serde=self.serde)
        count = await self._put_with(self._pieces.new(thread_id, fields), keys=names, args=args)
        if count == NOT_ALL:
            fields = saver_codec.fields_under(namespace, values, versions, serde=self.serde)
            count = await self._put_with(fields, keys=names, args=args)
        if count < 0:
            raise StepsLostError(f"{thread_id}: Redis has lost steps of {head.run_id}")
        self._steps.see(thread_id, namespace, stamp, head.checkpoint_id)
        if retention.is_due(count, self._retention):
            await self.retain(thread_id, fence=stamp)
        return config_of(thread_id, namespace, head.checkpoint_id)

    async def _put_with(
        self, fields: Sequence[Field], *, keys: Sequence[str], args: Sequence[str | bytes]
    ) -> int:
        words = [word for field in fields for word in field]
        return int(await obeyed(self._put, keys=keys, args=[*args, *words]))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if not writes:
            return
        thread_id, namespace, stamp = place_of(config)
        checkpoint_id = str(config["configurable"]["checkpoint_id"])
        # A run that goes on from another one's checkpoint writes there too (LangGraph's resume).
        run_id = str((config.get("metadata") or {}).get("run_id") or "")
        name = joined(namespace, checkpoint_id)
        args: list[str | bytes | int] = [stamp, thread_id, name, joined(task_id), joined(run_id)]
        for number, (channel, value) in enumerate(writes):
            value_bytes = framed(self.serde.dumps_typed(value))
            args.append(WRITES_IDX_MAP.get(channel, number))
            args.append(ormsgpack.packb([task_path, channel, value_bytes]))
        names = [
            *self._names(thread_id),
            self._keys.fence(thread_id),
            self._keys.checkpoint_run(run_id),
        ]
        await obeyed(self._put_writes, keys=names, args=args)

    @property
    def prunes_at_end(self) -> bool:
        return isinstance(self._retention, retention.KeepLatestAtEnd)

    async def retain(
        self, thread_id: str, policy: Retention | None = None, *, fence: str = ""
    ) -> int:
        """Forget what the policy (the saver's own, where none is given) keeps no longer.

        To be called when a run has ended. Replies how many checkpoints went. Raises FencedError.
        """
        chosen = policy or self._retention
        if isinstance(chosen, KeepAll):
            return 0
        for _ in range(TRIES):
            stored, size = await self._surveyed(thread_id)
            doomed = retention.superfluous(stored, chosen)
            # What was written since the survey may lean on what was to go: decide again.
            if await self._forget(thread_id, doomed, stored=stored, fence=fence, size=size):
                return len(doomed)
        return 0

    async def adelete_thread(self, thread_id: str) -> None:
        stored, _ = await self._surveyed(thread_id)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(*self._names(thread_id))
            for run_id in _runs(stored):
                pipeline.srem(self._keys.checkpoint_run(run_id), thread_id)
            pipeline.srem(self._keys.checkpoint_threads, thread_id)
            await pipeline.execute()

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            name = self._keys.checkpoint_run(run_id)
            threads = cast("set[bytes]", await self._redis.smembers(name))
            for thread_id in (member.decode() for member in threads):
                stored, _ = await self._surveyed(thread_id)
                doomed = [each.name for each in stored if each.run_id == run_id]
                touched = [joined(*each.name) for each in stored if run_id in each.writers]
                if touched:
                    await self._undo(keys=self._names(thread_id), args=[run_id, *touched])
                await self._forget(thread_id, doomed, stored=stored)
            await self._redis.delete(name)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy the whole history; the target must be new. Raises ValueError.

        The copy stays whole, also where a run of the source is taken back.
        """
        names = [*self._names(source_thread_id), *self._names(target_thread_id)]
        match await self._copy(keys=names, args=[secrets.token_hex(6)]):
            case 0:
                raise ValueError(f"thread {target_thread_id} has checkpoints already")
            case 1:
                await self._redis.sadd(self._keys.checkpoint_threads, target_thread_id)

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
            forgotten = False
            while not forgotten:
                stored, size = await self._surveyed(thread_id)
                kept = retention.latest(stored)
                doomed = [each.name for each in stored if each.name not in kept]
                forgotten = await self._forget(thread_id, doomed, stored=stored, size=size)

    async def size(self, thread_id: str) -> int:
        """Bytes of Redis memory that the thread's checkpoints take."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in self._names(thread_id):
                pipeline.memory_usage(name, samples=0)
            return sum(found or 0 for found in await pipeline.execute())

    def _names(self, thread_id: str) -> list[str]:
        start = self._keys.checkpoints(thread_id)
        return [start + "data", start + "index"]

    async def _threads(self) -> list[str]:
        found = cast("set[bytes]", await self._redis.smembers(self._keys.checkpoint_threads))
        return sorted(member.decode() for member in found)

    async def _checkpoints(self, thread_id: str) -> list[Name]:
        """Namespace and id of each, in that order."""
        index = self._names(thread_id)[1]
        found = await self._redis.zrangebylex(index, f"[c{UNIT}", b"[c\x1f\xff")
        names = (cast("bytes", field).decode().split(UNIT) for field in found)
        return [(namespace, checkpoint_id) for _, namespace, checkpoint_id in names]

    async def _surveyed(self, thread_id: str) -> tuple[list[Stored], int]:
        """What is there, and the size of its index."""
        size, *found = await self._survey(keys=self._names(thread_id))
        stored = [
            saver_codec.unpacked_head(name, head, writers=writers, paused=bool(paused))
            for name, head, paused, writers in found
        ]
        return stored, size

    async def _many(self, thread_id: str, names: Sequence[Name]) -> list[CheckpointTuple]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for namespace, checkpoint_id in names:
                await self._get(
                    keys=self._names(thread_id), args=[namespace, checkpoint_id], client=pipeline
                )
            replies = await pipeline.execute()
        return [self._tuple(thread_id, reply) for reply in replies if reply]

    async def _forget(
        self,
        thread_id: str,
        doomed: Iterable[Name],
        *,
        stored: Sequence[Stored],
        fence: str = "",
        size: int | None = None,
    ) -> bool:
        """Whether it was done: with a size, only while the index has that size."""
        gone = set(doomed)
        if not gone:
            return True
        names = [*self._names(thread_id), self._keys.fence(thread_id)]
        args = [fence, "" if size is None else size, *(joined(*name) for name in sorted(gone))]
        left = int(await obeyed(self._drop, keys=names, args=args))
        if left < 0:
            return False
        runs = _runs(each for each in stored if each.name in gone)
        runs -= _runs(each for each in stored if each.name not in gone)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for run_id in runs:
                pipeline.srem(self._keys.checkpoint_run(run_id), thread_id)
            if not left:
                pipeline.srem(self._keys.checkpoint_threads, thread_id)
            if runs or not left:
                await pipeline.execute()
        return True

    def _tuple(self, thread_id: str, reply: Sequence[Any]) -> CheckpointTuple:
        name, parent, record, values, writes = reply
        namespace, checkpoint_id = name.decode().split(UNIT)
        bare, about = ormsgpack.unpackb(record)
        checkpoint = cast("Checkpoint", self._loaded(bare))
        checkpoint["channel_values"] = {
            ref.decode().split(UNIT)[0]: self._loaded(value)
            for ref, value in saver_codec.pairs(values)
        }
        pending = []
        for task, packed in saver_codec.pairs(writes):
            task_id = task.decode()
            for number, write in saver_codec.unpacked_writes(packed):
                task_path, channel, value = ormsgpack.unpackb(write)
                order = writes_sort_key(task_path, task_id, number)
                pending.append((order, (task_id, channel, self._loaded(value))))
        pending.sort(key=lambda write: write[0])
        return CheckpointTuple(
            config=config_of(thread_id, namespace, checkpoint_id),
            checkpoint=checkpoint,
            metadata=self._loaded(about),
            parent_config=config_of(thread_id, namespace, parent.decode()) if parent else None,
            pending_writes=[write for _, write in pending],
        )

    def _loaded(self, stored: bytes) -> Any:
        return self.serde.loads_typed(unframed(stored))
