"""The states of threads: read, changed, followed back, through the graph that made them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate, LastValue
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import StateSnapshot, StateUpdate
from redis.exceptions import RedisError

from graphs.fence import IDLE, FencedError
from graphs.plain import plain
from graphs.saver import RedisSaver
from graphs.scoped_saver import ScopedSaver
from server.assistants.records import TEAM, Graph, GraphNotFoundError, Graphs
from server.starting import STEERED, BadCommandError, command_of
from server.threads.matching import contains
from server.threads.records import BATCH, RedisThreads
from server.threads.thread import (
    ThreadBusyError,
    ThreadError,
    ThreadQuery,
    ThreadRecord,
    ThreadStatus,
)

GRAPH_ID = "graph_id"
_AT_ONCE = 16
_OWN = frozenset({"source", "step", "parents", STEERED})
_SIMPLE = (LastValue, BinaryOperatorAggregate)

EndPaused = Callable[[ThreadRecord], Awaitable[None]]


class StateError(ThreadError):
    """A state cannot be changed in this way; the message names the field."""


class CheckpointNotFoundError(ThreadError):
    """A thread has no such checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A checkpoint of a thread: the latest one without an id, the root's without a namespace."""

    checkpoint_id: str = ""
    namespace: str = ""
    checkpoints: Mapping[str, Any] | None = None
    """Per namespace the checkpoint to read there, as LangGraph's ``checkpoint_map``."""


LATEST = Place()


@dataclass(frozen=True, kw_only=True)
class Update:
    """One change of a state: values, or a command, as if a node had written them."""

    values: Any = None
    as_node: str | None = None
    command: Mapping[str, Any] | None = None

    @property
    def given(self) -> Any:
        """What the graph is given. Raises StateError."""
        if self.command is None:
            return self.values
        try:
            return command_of(self.command)
        except BadCommandError as error:
            raise StateError(f"supersteps: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a list of threads shows of a state; None where the thread has none yet."""

    values: Mapping[str, Any] | None = None
    interrupts: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class ThreadStates:
    """States through the graph's own eyes; every write is refused while a run holds the thread."""

    def __init__(
        self,
        *,
        graphs: Graphs,
        saver: RedisSaver,
        threads: RedisThreads,
        end_paused: EndPaused,
    ) -> None:
        self._graphs = graphs
        self._saver = saver
        self._threads = threads
        self._end_paused = end_paused

    async def get(
        self, record: ThreadRecord, at: Place = LATEST, *, subgraphs: bool = False
    ) -> StateSnapshot:
        """Raises CheckpointNotFoundError, GraphNotFoundError, StateError."""
        async with self._graph(record) as (_, graph):
            try:
                found = await graph.aget_state(_config(record, at), subgraphs=subgraphs)
            except ValueError as error:
                raise _no_namespace(at, error) from None
        if at.checkpoint_id and found.created_at is None:
            raise CheckpointNotFoundError(
                f"thread {record.thread_id} has no checkpoint {at.checkpoint_id[:100]}; "
                "POST /threads/{thread_id}/history lists those that there are"
            )
        return found

    async def history(
        self,
        record: ThreadRecord,
        *,
        limit: int,
        before: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        at: Place = LATEST,
    ) -> Sequence[StateSnapshot]:
        """The newest first; ``before`` is a checkpoint's id. Raises as ``get``."""
        async with self._graph(record) as (_, graph):
            earlier: RunnableConfig | None = (
                {"configurable": {"checkpoint_id": before}} if before is not None else None
            )
            try:
                return [
                    snapshot
                    async for snapshot in graph.aget_state_history(
                        _config(record, at),
                        filter=dict(metadata) if metadata else None,
                        before=earlier,
                        limit=limit,
                    )
                ]
            except ValueError as error:
                raise _no_namespace(at, error) from None

    async def update(
        self, record: ThreadRecord, update: Update, at: Place = LATEST
    ) -> RunnableConfig:
        """Write a state on top of a checkpoint, as a node; replies where it is.

        A thread whose next step is gone by that is idle again, and no run waits there for a person.
        Raises ThreadBusyError, StateError, GraphNotFoundError, CheckpointNotFoundError.
        """
        if at.checkpoint_id:
            await self.check(record, at)
        async with self._graph(record, fence=IDLE) as (name, graph):
            async with _writing(record):
                written = await graph.aupdate_state(
                    _writes(record, at, graph=name), update.given, as_node=update.as_node
                )
            await self._settle(record, graph)
        return written

    async def check(self, record: ThreadRecord, at: Place) -> None:
        """Raises CheckpointNotFoundError for one that the thread has not, or has no more."""
        if await self._scoped(record).aget_tuple(_config(record, at)) is None:
            raise CheckpointNotFoundError(
                f"checkpoint_id: thread {record.thread_id} has no checkpoint "
                f"{at.checkpoint_id[:100]}; POST /threads/{{thread_id}}/history lists those that "
                "there are"
            )

    async def replay(
        self, record: ThreadRecord, supersteps: Sequence[Sequence[Update]]
    ) -> RunnableConfig:
        """Write the states of a whole history, one step after the other. Raises as ``update``."""
        steps = [
            [StateUpdate(values=one.given, as_node=one.as_node) for one in step]
            for step in supersteps
        ]
        async with self._graph(record, fence=IDLE) as (name, graph):
            async with _writing(record):
                written = await graph.abulk_update_state(_writes(record, LATEST, graph=name), steps)
            await self._settle(record, graph)
        return written

    async def annotate(
        self, record: ThreadRecord, metadata: Mapping[str, Any], at: Place = LATEST
    ) -> RunnableConfig:
        """Merge metadata into a checkpoint's. Raises ThreadBusyError, CheckpointNotFoundError."""
        found = await self._scoped(record).aget_tuple(_config(record, at))
        if found is None:
            raise CheckpointNotFoundError(f"thread {record.thread_id} has no such state yet")
        ours = {name: value for name, value in metadata.items() if name not in _OWN}
        before = (found.parent_config or {}).get("configurable", {})
        config = _writes(
            record,
            Place(checkpoint_id=before.get("checkpoint_id", ""), namespace=at.namespace),
            graph=str(found.metadata.get(GRAPH_ID) or _named(record)),
        )
        merged: Any = {**found.metadata, **ours}
        async with _writing(record):
            return await self._scoped(record).aput(config, found.checkpoint, merged, {})

    async def search(
        self,
        query: ThreadQuery,
        *,
        tenant: str,
        values: Mapping[str, Any] | None = None,
        limit: int,
        offset: int,
    ) -> tuple[Sequence[ThreadRecord], int]:
        """One page of those whose state holds ``values``, and how many there are in all."""
        if not values:
            return await self._threads.search(query, tenant=tenant, limit=limit, offset=offset)
        found: list[ThreadRecord] = []
        at, total = 0, 1
        while at < total:
            records, total = await self._threads.search(
                query, tenant=tenant, limit=BATCH, offset=at
            )
            looks = await self.looks(records, interrupts=False)
            found += [
                record
                for record, look in zip(records, looks, strict=True)
                if look.values is not None and contains(plain(look.values), values)
            ]
            at += BATCH
        return found[offset : offset + limit], len(found)

    async def looks(
        self, records: Sequence[ThreadRecord], *, values: bool = True, interrupts: bool = True
    ) -> Sequence[Look]:
        """What a list of threads shows of each."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(record: ThreadRecord, graph: Graph | None) -> Look:
            paused = interrupts and record.status is ThreadStatus.INTERRUPTED
            if not values and not paused:
                return Look()
            async with turns:
                return await self._look(record, graph)

        async with AsyncExitStack() as stack:
            opened: dict[tuple[str, str], Graph] = {}
            for name, tenant in {(_named(record), record.tenant) for record in records}:
                if name in self._graphs.names:
                    opened[name, tenant] = await stack.enter_async_context(
                        self._graphs.open(name, tenant=tenant, access="threads.read")
                    )
            return await asyncio.gather(
                *(look(one, opened.get((_named(one), one.tenant))) for one in records)
            )

    async def _look(self, record: ThreadRecord, graph: Graph | None) -> Look:
        # A graph's own saver knows the classes that its state may hold.
        saver: Any = graph.checkpointer if graph is not None else self._scoped(record)
        found = await saver.aget_tuple(_config(record, LATEST))
        if found is None:
            return Look()
        if graph is None:
            return _raw(found)
        keys = graph.stream_channels_asis
        names = [keys] if isinstance(keys, str) else list(keys)
        channels = {
            name: channel
            for name in names
            if isinstance(channel := graph.channels.get(name), _SIMPLE)
        }
        if not found.pending_writes and len(channels) == len(names):
            # What such a channel has stored is its value: nothing needs to be computed.
            stored = found.checkpoint["channel_values"]
            return Look(
                values={
                    name: stored[name] if name in stored else channel.get()
                    for name, channel in channels.items()
                    if name in stored or channel.is_available()
                }
            )
        snapshot = await graph.aget_state(_config(record, LATEST))
        return Look(values=snapshot.values, interrupts=interrupts_of(snapshot))

    async def _settle(self, record: ThreadRecord, graph: Graph) -> None:
        after = await graph.aget_state(_config(record, LATEST))
        waits = bool(after.next or after.interrupts)
        if not waits and record.paused:
            await self._end_paused(record)
        status = ThreadStatus.INTERRUPTED if waits else ThreadStatus.IDLE
        await self._threads.settle(record.thread_id, status, tenant=record.tenant)

    def _scoped(self, record: ThreadRecord) -> ScopedSaver:
        """Refuses every write while a run holds the thread."""
        return ScopedSaver(
            self._saver, tenant=record.tenant, thread_id=record.thread_id, fence=IDLE
        )

    @asynccontextmanager
    async def _graph(
        self, record: ThreadRecord, *, fence: str = ""
    ) -> AsyncIterator[tuple[str, Graph]]:
        """The graph that the thread's states are of, with its name; a ``fence`` is to write."""
        name = record.metadata.get(GRAPH_ID)
        if not isinstance(name, str):
            found = await self._scoped(record).aget_tuple(_config(record, LATEST))
            told: Any = found.metadata if found is not None else {}
            name = str(told.get(GRAPH_ID) or TEAM)
        if name not in self._graphs.names:
            raise GraphNotFoundError(
                f"thread {record.thread_id} belongs to the graph {name[:100]!r}, which is not "
                f"served; those that are: {', '.join(self._graphs.names)}"
            )
        async with self._graphs.open(
            name,
            tenant=record.tenant,
            thread_id=record.thread_id,
            fence=fence,
            access="threads.update" if fence else "threads.read",
        ) as graph:
            yield name, graph


def interrupts_of(snapshot: StateSnapshot) -> Mapping[str, Sequence[Any]]:
    """What each task of a state waits for."""
    return {task.id: list(task.interrupts) for task in snapshot.tasks if task.interrupts}


@asynccontextmanager
async def _writing(record: ThreadRecord) -> AsyncIterator[None]:
    """Turns what a write can fail of into our errors."""
    busy = f"thread {record.thread_id} is busy; try again once its run is over, or cancel the run"
    if record.status is ThreadStatus.BUSY:
        raise ThreadBusyError(busy)
    try:
        yield
    except FencedError:
        raise ThreadBusyError(busy) from None
    except (RedisError, OSError, ThreadError):
        raise
    except Exception as error:  # noqa: BLE001 - reducers are the user's; they refuse as they like
        told = " ".join(str(error).split())[:300]
        raise StateError(
            f"values: the state does not take this ({type(error).__name__}: {told})"
        ) from None


def _named(record: ThreadRecord) -> str:
    return str(record.metadata.get(GRAPH_ID) or TEAM)


def _config(record: ThreadRecord, at: Place) -> RunnableConfig:
    """For a scoped saver, under the name that the user's code may see."""
    return {"configurable": {**_placed(at), "thread_id": record.thread_id}}


def _writes(record: ThreadRecord, at: Place, *, graph: str) -> RunnableConfig:
    return {**_config(record, at), "metadata": {GRAPH_ID: graph}}


def _placed(at: Place) -> dict[str, Any]:
    given: dict[str, Any] = {"checkpoint_ns": at.namespace}
    if at.checkpoint_id:
        given["checkpoint_id"] = at.checkpoint_id
    if at.checkpoints:
        given["checkpoint_map"] = dict(at.checkpoints)
    return given


def _no_namespace(at: Place, error: ValueError) -> CheckpointNotFoundError | StateError:
    if at.namespace:
        return CheckpointNotFoundError(
            f"checkpoint_ns: the graph has no subgraph {at.namespace[:200]!r}"
        )
    return StateError(f"checkpoint: {error}")


def _raw(found: CheckpointTuple) -> Look:
    """A state whose graph is no longer served: what is not LangGraph's own."""
    values = {
        name: value
        for name, value in found.checkpoint["channel_values"].items()
        if not name.startswith(("__", "branch:"))
    }
    interrupts: dict[str, list[Any]] = {}
    for task_id, channel, value in found.pending_writes or []:
        if channel == "__interrupt__":
            interrupts.setdefault(task_id, []).extend(value)
    return Look(values=values, interrupts=interrupts)
