"""The checkpoint saver: LangGraph's own conformance suite, and what it does not ask."""

from __future__ import annotations

import operator
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from tests.doubles.redis_kinds import Server
from tests.doubles.trips import counted_trips


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    """Every kind of server that we promise to run on."""
    return redis_of_kind(redis_kind).url


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    document: str
    steps: Annotated[list[str], operator.add]


def graph(saver: RedisSaver) -> Any:
    def answer(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage("hello", id=str(uuid4()))], "steps": ["answer"]}

    def ask(state: State) -> dict[str, Any]:
        return {"steps": [f"told {interrupt('may I?')}"]}

    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_node("ask", ask)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


def at(thread_id: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread_id}}


async def history(saver: RedisSaver, thread_id: str) -> list[CheckpointTuple]:
    return [found async for found in saver.alist(generate_config(thread_id))]


async def test_it_passes_the_conformance_suite_with_every_capability(saver: RedisSaver) -> None:
    async def factory() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        yield saver

    report = await validate(checkpointer_test(name="redis")(factory))
    failures = [failure for result in report.results.values() for failure in result.failures]
    assert failures == []
    assert {name for name, result in report.results.items() if result.passed} == {
        capability.value for capability in ALL_CAPABILITIES
    }


async def test_a_paused_graph_goes_on_in_another_process(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    start = {"messages": [HumanMessage("hi", id="1")], "document": "long " * 500, "steps": []}
    await graph(saver).ainvoke(start, at("t"))
    state = await graph(RedisSaver(redis, keys)).ainvoke(Command(resume="yes"), at("t"))
    assert [message.content for message in state["messages"]] == ["hi", "hello"]
    assert isinstance(state["messages"][0], HumanMessage)
    assert state["steps"] == ["answer", "told yes"]


async def test_what_does_not_change_is_stored_once(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    start = {"messages": [], "document": "long " * 5000, "steps": []}
    await graph(saver).ainvoke(start, at("t"))
    await graph(saver).ainvoke(Command(resume="yes"), at("t"))
    assert len(await history(saver, "t")) >= 4
    fields = await redis.hkeys(keys.checkpoints("t") + "data")
    assert len([field for field in fields if b"document" in field]) == 1


async def test_a_thread_is_two_keys_and_a_deleted_one_leaves_none(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    config: Any = {**at("t"), "metadata": {"run_id": "r"}}
    await graph(saver).ainvoke({"messages": [], "document": "", "steps": []}, config)
    assert len([key async for key in redis.scan_iter(keys.checkpoints("t") + "*")]) == 2
    assert await saver.size("t") > 0
    await saver.adelete_thread("t")
    assert [key async for key in redis.scan_iter(keys.prefix + "*")] == []
    assert await saver.size("t") == 0


async def test_pruning_drops_the_values_that_nobody_has_any_more(saver: RedisSaver) -> None:
    config = generate_config("t")
    for step in range(10):
        checkpoint = generate_checkpoint(
            channel_values={"big": "x" * 10_000 + str(step), "same": "y" * 10_000},
            channel_versions={"big": step + 1, "same": 1},
        )
        changed: Any = {"big": step + 1, **({"same": 1} if step == 0 else {})}
        config = await saver.aput(config, checkpoint, generate_metadata(step=step), changed)
    assert await saver.size("t") > 100_000
    await saver.aprune(["t"])
    assert await saver.size("t") < 30_000
    found = await saver.aget_tuple(generate_config("t"))
    assert found is not None
    values = found.checkpoint["channel_values"]
    assert values == {"big": "x" * 10_000 + "9", "same": "y" * 10_000}


async def test_pruning_keeps_what_delta_channels_are_rebuilt_from(saver: RedisSaver) -> None:
    config = generate_config("t")
    for step in range(4):
        checkpoint = generate_checkpoint(
            channel_values={"delta": [0]} if step == 1 else {},
            channel_versions={"delta": step + 1},
        )
        about = generate_metadata(step=step, counters_since_delta_snapshot={"delta": (step, step)})
        config = await saver.aput(config, checkpoint, about, {"delta": step + 1})
        await saver.aput_writes(config, [("delta", [step])], "task")
    latest = config
    before = await saver.aget_delta_channel_history(config=latest, channels=["delta"])
    asked: Any = {"config": latest, "channels": ["delta", "other"]}
    # As LangGraph itself goes back, one checkpoint after the other.
    assert await saver.aget_delta_channel_history(
        **asked
    ) == await BaseCheckpointSaver.aget_delta_channel_history(saver, **asked)
    await saver.aprune(["t"])
    assert await saver.aget_delta_channel_history(config=latest, channels=["delta"]) == before
    assert len(await history(saver, "t")) == 3


async def test_two_branches_of_a_thread_keep_their_own_values(saver: RedisSaver) -> None:
    app = graph(saver)
    await app.ainvoke({"messages": [], "document": "a", "steps": []}, at("t"))
    past = [state async for state in app.aget_state_history(at("t"))]
    fork = next(state.config for state in past if state.next == ("answer",))
    one = await app.aupdate_state(fork, {"document": "one"}, as_node=START)
    two = await app.aupdate_state(fork, {"document": "two"}, as_node=START)
    assert (await app.aget_state(one)).values["document"] == "one"
    assert (await app.aget_state(two)).values["document"] == "two"


async def test_the_writes_of_parallel_tasks_come_in_the_order_of_their_paths(
    saver: RedisSaver,
) -> None:
    config = await saver.aput(generate_config("t"), generate_checkpoint(), generate_metadata(), {})
    await saver.aput_writes(config, [("ch", 3), ("ch", 4)], "a", task_path="~2")
    await saver.aput_writes(config, [("ch", 1), ("ch", 2)], "z", task_path="~1")
    found = await saver.aget_tuple(config)
    assert found is not None
    assert [value for _, _, value in found.pending_writes or ()] == [1, 2, 3, 4]


async def test_every_step_is_one_round_trip_also_after_redis_forgot_its_scripts(
    saver: RedisSaver, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def step(config: Any) -> Any:
        checkpoint = generate_checkpoint(channel_values={"a": 1}, channel_versions={"a": 1})
        config = await saver.aput(config, checkpoint, generate_metadata(run_id="r"), {"a": 1})
        await saver.aput_writes(config, [("a", 2), ("b", 3)], "task")
        assert await saver.aget_tuple(config)
        return config

    config = await step(generate_config("t"))
    await redis.script_flush()
    config = await step(config)
    with counted_trips(monkeypatch) as trips:
        await step(config)
    assert len(trips) == 3


@dataclass
class Sneaky:
    word: str


async def test_a_class_outside_the_allow_list_is_never_brought_back_to_life(
    saver: RedisSaver,
) -> None:
    checkpoint = generate_checkpoint(
        channel_values={"plain": {"a": [1, None, b"x"]}, "odd": Sneaky(word="x")},
        channel_versions={"plain": 1, "odd": 1},
    )
    config = await saver.aput(
        generate_config("t"), checkpoint, generate_metadata(), {"plain": 1, "odd": 1}
    )
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"]["plain"] == {"a": [1, None, b"x"]}
    assert not isinstance(found.checkpoint["channel_values"]["odd"], Sneaky)


async def test_a_copy_never_overwrites_a_thread(saver: RedisSaver) -> None:
    for thread_id in ("a", "b"):
        await saver.aput(generate_config(thread_id), generate_checkpoint(), generate_metadata(), {})
    with pytest.raises(ValueError, match="thread b has checkpoints already"):
        await saver.acopy_thread("a", "b")


async def test_odd_names_do_no_harm(saver: RedisSaver) -> None:
    odd = "a:{b}*\n/ü"
    await saver.aput(
        generate_config(odd, checkpoint_ns="x|y:z"), generate_checkpoint(), generate_metadata(), {}
    )
    found = [f async for f in saver.alist(generate_config(odd, checkpoint_ns="x|y:z"))]
    assert found[0].config["configurable"]["thread_id"] == odd
    with pytest.raises(ValueError, match="separator"):
        await saver.aput(
            generate_config("t", checkpoint_ns="x\x1fy"),
            generate_checkpoint(),
            generate_metadata(),
            {},
        )


async def test_all_threads_are_listed_when_none_is_named(saver: RedisSaver) -> None:
    for thread_id in ("a", "b"):
        await saver.aput(generate_config(thread_id), generate_checkpoint(), generate_metadata(), {})
    found = [f.config["configurable"]["thread_id"] async for f in saver.alist(None)]
    assert found == ["a", "b"]


def test_the_blocking_interface_says_what_to_use(saver: RedisSaver) -> None:
    with pytest.raises(NotImplementedError, match="use ainvoke"):
        saver.get_tuple(generate_config("t"))
    with pytest.raises(NotImplementedError, match="use ainvoke"):
        saver.put_writes(generate_config("t"), [], "task")
