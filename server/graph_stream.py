"""The seam where LangGraph's chunks become our events: only what somebody asked for is streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import StreamMode

from graphs import events
from graphs.plain import plain

MESSAGES = frozenset({"messages", "messages-tuple"})
EVENTS: Final = "events"
CHECKPOINT_REFS: Final = "checkpoint-refs"
"""A checkpoint by its id and step alone: for readers who are told the state of each step anyway."""
_SAME = frozenset({"values", "updates", "custom", "tasks", "checkpoints", "debug", "tools"})


def modes_of(asked: Sequence[str]) -> list[StreamMode]:
    """LangGraph's own modes behind what callers ask for."""
    modes = [mode for mode in dict.fromkeys(asked) if mode in _SAME]
    if MESSAGES & set(asked):
        modes.append("messages")
    if CHECKPOINT_REFS in asked and "checkpoints" not in modes:
        modes.append("checkpoints")
    return cast("list[StreamMode]", modes)


class Chunks:
    """Turns raw chunks of one run into events; ``asked`` are the modes that callers named."""

    def __init__(self, asked: Sequence[str] = ()) -> None:
        self._metadata: tuple[Any, Any] = (None, None)
        self._refs = CHECKPOINT_REFS in asked and "checkpoints" not in asked

    def chunk(self, mode: str, namespace: Sequence[str], data: Any) -> events.GraphChunk:
        told: Any
        match mode:
            case "messages":
                message, metadata = data
                # One model call has one metadata for its thousand pieces.
                if self._metadata[0] is not metadata:
                    self._metadata = (metadata, plain(metadata))
                told = [plain(message), self._metadata[1]]
            case "checkpoints" if self._refs:
                mode, told = CHECKPOINT_REFS, checkpoint_of(data)
            case "checkpoints":
                told = _named_checkpoints(plain(data))
            case "debug":
                told = plain(data)
                if told.get("type") == "checkpoint":
                    told["payload"] = _named_checkpoints(told["payload"])
            case _:
                told = plain(data)
        # It was just made plain: to be checked again would cost as much as all the rest.
        return events.GraphChunk.model_construct(mode=mode, ns=list(namespace), data=told)


async def stream(
    graph: Pregel[Any, Any, Any, Any],
    given: Any,
    config: RunnableConfig,
    *,
    modes: Sequence[StreamMode],
    subgraphs: bool = False,
    with_events: bool = False,
    **options: Any,
) -> AsyncIterator[tuple[str, tuple[str, ...], Any]]:
    """Raw chunks as mode, namespace and data, to the graph's end or pause.

    ``options`` are those of ``astream``. Raises whatever the graph raises.
    """
    wanted = list(modes)
    if with_events:
        found = graph.astream_events(
            given, config, version="v2", stream_mode=wanted, subgraphs=subgraphs, **options
        )
        async with aclosing(cast("Any", found)) as raw_events:
            async for event in raw_events:
                if not event["parent_ids"] and event["event"] == "on_chain_stream" and wanted:
                    yield _split(event["data"]["chunk"], subgraphs=subgraphs)
                yield EVENTS, (), event
        return
    chunks = graph.astream(given, config, stream_mode=wanted, subgraphs=subgraphs, **options)
    async with aclosing(cast("Any", chunks)) as raw:
        async for chunk in raw:
            yield _split(chunk, subgraphs=subgraphs)


def _split(chunk: Any, *, subgraphs: bool) -> tuple[str, tuple[str, ...], Any]:
    if subgraphs:
        namespace, mode, data = chunk
        return mode, namespace, data
    mode, data = chunk
    return mode, (), data


def checkpoint_of(data: Any) -> dict[str, Any] | None:
    """A checkpoint by id, parent, step and source, out of what LangGraph tells of one."""
    if not isinstance(data, Mapping):
        return None
    checkpoint_id, about = _id_of(data.get("config")), data.get("metadata")
    if checkpoint_id is None or not isinstance(about, Mapping):
        return None
    parent = _id_of(data.get("parent_config"))
    return {
        "id": checkpoint_id,
        **({} if parent is None else {"parent_id": parent}),
        "step": about.get("step", 0),
        "source": about.get("source", "loop"),
    }


def _id_of(config: Any) -> str | None:
    place = config.get("configurable") if isinstance(config, Mapping) else None
    return place.get("checkpoint_id") if isinstance(place, Mapping) else None


def _named_checkpoints(told: Any) -> Any:
    """Clients know where a task's own state is kept as its ``checkpoint``."""
    if not isinstance(told, Mapping) or not isinstance(told.get("tasks"), list):
        return told
    tasks = []
    for task in told["tasks"]:
        state = task.get("state")
        if isinstance(state, Mapping) and "configurable" in state:
            task = {**task, "state": None, "checkpoint": state["configurable"]}
        tasks.append(task)
    return {**told, "tasks": tasks}
