"""States below the wire: who may write, what a write leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.assistants.records import GraphNotFoundError
from server.registry import GraphRegistry
from server.threads.records import RedisThreads
from server.threads.states import (
    CheckpointNotFoundError,
    Place,
    StateError,
    ThreadStates,
    Update,
)
from server.threads.thread import ThreadBusyError, ThreadRecord, ThreadStatus
from tests.server.threads.by_hand import put_status
from tests.server.threads.conftest import Ended


async def run(registry: GraphRegistry, record: ThreadRecord, given: Any) -> None:
    """What a run leaves, without a run."""
    name = str(record.metadata["graph_id"])
    async with registry.open(name, tenant=record.tenant, thread_id=record.thread_id) as graph:
        await graph.ainvoke(given, {"configurable": {"thread_id": record.thread_id}})


async def paused(
    threads: RedisThreads, registry: GraphRegistry, redis: Redis, keys: Keys, graph: str
) -> ThreadRecord:
    """A thread on which a run waits for a person."""
    made = await threads.create(metadata={"graph_id": graph})
    await run(registry, made, {"count": 1})
    await put_status(redis, keys, made, "interrupted")
    await redis.hset(keys.thread_record(made.tenant, made.thread_id), "paused", "run-1")
    return await threads.get(made.thread_id)


async def test_a_state_is_changed_on_top_of_the_last_one(
    threads: RedisThreads, states: ThreadStates, registry: GraphRegistry
) -> None:
    made = await threads.create(metadata={"graph_id": "talking"})
    assert (await states.get(made)).created_at is None
    await run(registry, made, {"messages": [("user", "hello")], "count": 1})
    await states.update(made, Update(values={"title": "greeting"}, as_node="answer"))
    after = await states.get(made)
    assert after.values["title"] == "greeting"
    assert after.values["messages"][-1].text == "You said hello."
    assert after.config["configurable"]["thread_id"] == made.thread_id
    settled = await threads.get(made.thread_id)
    assert settled.status is ThreadStatus.IDLE
    assert settled.state_updated_at > made.state_updated_at
    history = await states.history(made, limit=10)
    assert [one.metadata["source"] for one in history if one.metadata] == [
        "update",
        "loop",
        "loop",
        "input",
    ]
    assert len(await states.history(made, limit=2)) == 2
    before = history[1].config["configurable"]["checkpoint_id"]
    assert len(await states.history(made, limit=10, before=before)) == 2
    assert len(await states.history(made, limit=10, metadata={"source": "input"})) == 1


async def test_ignoring_what_waits_ends_the_run_and_the_thread_is_idle(
    threads: RedisThreads,
    states: ThreadStates,
    registry: GraphRegistry,
    redis: Redis,
    keys: Keys,
    ended: Ended,
) -> None:
    made = await paused(threads, registry, redis, keys, "asking")
    (look,) = await states.looks([made])
    ((interrupt,),) = look.interrupts.values()
    assert interrupt.value == {"question": "May I?"}
    assert look.values == {"messages": [], "count": 1}
    await states.update(made, Update(values=None, as_node="__end__"))
    after = await threads.get(made.thread_id)
    assert (after.status, after.paused) == (ThreadStatus.IDLE, "")
    assert ended.threads == [made.thread_id]
    state = await states.get(made)
    assert (state.next, state.interrupts) == ((), ())


async def test_a_change_that_leaves_a_step_to_do_leaves_the_thread_waiting(
    threads: RedisThreads,
    states: ThreadStates,
    registry: GraphRegistry,
    redis: Redis,
    keys: Keys,
    ended: Ended,
) -> None:
    made = await paused(threads, registry, redis, keys, "asking")
    await states.update(made, Update(values={"count": 3}, as_node="__start__"))
    after = await threads.get(made.thread_id)
    assert (after.status, after.paused, ended.threads) == (ThreadStatus.INTERRUPTED, "run-1", [])


@pytest.mark.parametrize("as_node", ["answer", "__copy__", "__end__"])
async def test_nobody_writes_while_a_run_holds_the_thread(
    threads: RedisThreads,
    states: ThreadStates,
    registry: GraphRegistry,
    redis: Redis,
    keys: Keys,
    as_node: str,
) -> None:
    made = await threads.create(metadata={"graph_id": "talking"})
    await run(registry, made, {"messages": [("user", "hello")], "count": 1})
    await redis.set(keys.fence(made.checkpoint_thread), "run:1")
    change = Update(values={"title": "x"} if as_node == "answer" else None, as_node=as_node)
    with pytest.raises(ThreadBusyError, match="is busy"):
        await states.update(made, change)
    with pytest.raises(ThreadBusyError):
        await states.annotate(made, {"seen": True})
    await put_status(redis, keys, made, "busy")
    await redis.delete(keys.fence(made.checkpoint_thread))
    with pytest.raises(ThreadBusyError):
        await states.update(await threads.get(made.thread_id), change)
    assert len(await states.history(made, limit=10)) == 3


async def test_what_does_not_fit_is_refused_in_words(
    threads: RedisThreads, states: ThreadStates, registry: GraphRegistry
) -> None:
    made = await threads.create(metadata={"graph_id": "talking"})
    for change in (
        Update(values={"title": "x"}, as_node="nobody"),
        Update(values={"count": "many"}, as_node="answer"),
        Update(values="text", as_node="answer"),
    ):
        with pytest.raises(StateError, match=r"^values: "):
            await states.update(made, change)
    at = Place(checkpoint_id="1ef4f797-8335-6428-8001-8a1503f9b875")
    for asking in (states.get(made, at), states.update(made, Update(values={}), at)):
        with pytest.raises(CheckpointNotFoundError):
            await asking
    foreign = await threads.create(metadata={"graph_id": "gone"})
    with pytest.raises(GraphNotFoundError, match="'gone', which is not served"):
        await states.get(foreign)


async def test_a_list_shows_states_of_graphs_that_are_gone_and_of_none(
    threads: RedisThreads, states: ThreadStates, registry: GraphRegistry
) -> None:
    made = [
        await threads.create(metadata={"graph_id": name})
        for name in ("talking", "asking", "nested")
    ]
    for record in made:
        await run(registry, record, {"messages": [("user", "hi")], "count": 2})
    await threads.patch(made[1].thread_id, metadata={"graph_id": "gone"})
    empty = await threads.create()
    records = await threads.many([*(one.thread_id for one in made), empty.thread_id])
    looks = await states.looks(records)
    assert [look.values and look.values["count"] for look in looks] == [3, 2, 2, None]
    assert len(looks[1].interrupts) == 1
    assert set(looks[1].values or {}) == {"messages", "count"}
    for record, look in zip(records, looks, strict=True):
        if record.metadata.get("graph_id") in {"talking", "nested"}:
            assert look.values == (await states.get(record)).values
    assert all(look.values is None for look in await states.looks(records, values=False))


async def test_metadata_of_a_state_is_merged_and_its_values_stay(
    threads: RedisThreads, states: ThreadStates, registry: GraphRegistry
) -> None:
    made = await threads.create(metadata={"graph_id": "talking"})
    with pytest.raises(CheckpointNotFoundError):
        await states.annotate(made, {"seen": True})
    await run(registry, made, {"messages": [("user", "hello")], "count": 1})
    before = await states.history(made, limit=10)
    await states.annotate(made, {"seen": True, "step": 99})
    after = await states.history(made, limit=10)
    assert [one.values for one in after] == [one.values for one in before]
    assert [one.parent_config for one in after] == [one.parent_config for one in before]
    metadata: Any = after[0].metadata
    assert (metadata["seen"], metadata["step"]) == (True, 1)


async def test_the_graph_of_a_thread_without_metadata_is_that_of_its_checkpoint(
    threads: RedisThreads, states: ThreadStates, registry: GraphRegistry, saver: RedisSaver
) -> None:
    made = await threads.create()
    config: Any = {
        "configurable": {"thread_id": made.thread_id},
        "metadata": {"graph_id": "talking"},
    }
    async with registry.open("talking", tenant=made.tenant, thread_id=made.thread_id) as graph:
        await graph.ainvoke({"messages": [("user", "hello")], "count": 1}, config)
    assert (await states.get(made)).values["count"] == 2
