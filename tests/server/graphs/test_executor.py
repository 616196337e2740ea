"""Users' graphs at work: what they see and tell, and how they fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from graphs.fence import FencedError
from graphs.keys import Keys
from tests.server.graphs import app
from tests.server.graphs.desk import LIMITS, SAID, Desk, failure, finished


async def test_a_run_ends_with_the_last_words_and_what_it_used(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    end = finished(await desk.run(SAID))
    assert end.answer == "hello world"
    assert (end.usage.model_calls, end.usage.input_tokens, end.usage.output_tokens) == (1, 7, 2)
    assert end.checkpoint_id
    assert end.values is None
    assert desk.told == [], "nobody asked for a stream"
    assert (await desk.ledgers.account("r")).spent.input_tokens == 7


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ("values", "values"),
        ("updates", "updates"),
        ("messages", "messages"),
        ("messages-tuple", "messages"),
        ("custom", "custom"),
        ("tasks", "tasks"),
        ("checkpoints", "checkpoints"),
        ("debug", "debug"),
        ("events", "events"),
    ],
)
async def test_only_what_was_asked_for_is_told_as_plain_json(
    desk: Desk, asked: str, mode: str
) -> None:
    desk.serve(app.talking(desk.witness))
    finished(await desk.run(SAID, stream_modes=[asked, "unheard-of"]))
    assert desk.modes() == {mode}
    for chunk in desk.told:
        dumped = chunk.model_dump(mode="json")
        assert orjson.loads(orjson.dumps(dumped)) == dumped
        assert "default:t" not in str(dumped), "no tenant is told"
        assert "__fence" not in str(dumped)
        assert "__pregel_runtime" not in str(dumped)


async def test_pieces_of_a_message_come_with_where_they_are_from(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    await desk.run(SAID, stream_modes=["messages-tuple"])
    pieces = [chunk.data for chunk in desk.told]
    assert "".join(message["content"] for message, _ in pieces) == "hello world"
    assert {message["type"] for message, _ in pieces} == {"AIMessageChunk"}
    assert len({message["id"] for message, _ in pieces}) == 1
    assert pieces[0][1]["langgraph_node"] == "speak"
    assert pieces[0][1]["run_id"] == "r"


async def test_events_come_beside_the_other_modes(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    await desk.run(SAID, stream_modes=["events", "updates", "custom"])
    assert desk.modes() == {"events", "updates", "custom"}
    kinds = {chunk.data["event"] for chunk in desk.told if chunk.mode == "events"}
    assert {"on_chain_start", "on_chat_model_stream", "on_chain_end"} <= kinds


@pytest.mark.parametrize("modes", [["updates"], ["updates", "events"]])
async def test_subgraphs_are_told_with_their_path_where_asked(desk: Desk, modes: list[str]) -> None:
    desk.serve(app.nested(desk.witness))
    await desk.run({"done": []}, stream_modes=modes, stream_subgraphs=True)
    paths = [chunk.ns for chunk in desk.told if chunk.mode == "updates"]
    assert [] in paths
    assert any(path and path[0].startswith("outer:") for path in paths)


async def test_nodes_see_the_public_thread_and_nothing_that_a_caller_forged(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    forged = {
        "thread_id": "another",
        "__pregel_checkpointer": "mine",
        "__fence": "-",
        "checkpoint_ns": "x",
        "say": "yes",
        "language": "de",
    }
    asked = {"configurable": forged, "tags": ["a"], "recursion_limit": 7}
    finished(await desk.run(SAID, config=asked, metadata={"team": "blue"}, user="ann"))
    seen = desk.witness.seen["config"]
    configurable = seen["configurable"]
    assert configurable["thread_id"] == "t"
    assert configurable["say"] == "yes"
    assert configurable["graph_id"] == "mine"
    assert configurable["assistant_id"] == "an-assistant"
    assert configurable["user_id"] == "ann"
    assert configurable["__pregel_checkpointer"] != "mine"
    assert "__fence" not in configurable
    assert seen["metadata"]["team"] == "blue"
    assert seen["metadata"]["run_id"] == "r"
    assert seen["recursion_limit"] == 7
    assert desk.witness.seen["context"] == app.Context(language="de")


async def test_a_context_is_the_graphs_own_class(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    finished(await desk.run(SAID, context={"language": "fr"}))
    assert desk.witness.seen["context"] == app.Context(language="fr")


async def test_a_temporary_run_brings_its_values_along(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one"))
    assert finished(await desk.run({"done": ["zero"]}, temporary=True)).values == {
        "done": ["zero", "one"]
    }


async def test_a_function_runs_as_a_graph_does(desk: Desk) -> None:
    desk.serve(app.doubled)
    assert finished(await desk.run(4, temporary=True)).values == {"twice": 8}


@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
async def test_how_often_steps_are_kept_is_the_callers_choice(desk: Desk, durability: str) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    finished(await desk.run({"done": []}, kwargs={"durability": durability}))
    listed = [one async for one in desk.saver.alist({"configurable": {"thread_id": "default:t"}})]
    assert len(listed) == (1 if durability == "exit" else 4)


async def test_older_clients_say_otherwise_how_often_steps_are_kept(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    finished(await desk.run({"done": []}, kwargs={"checkpoint_during": False}))
    listed = [one async for one in desk.saver.alist({"configurable": {"thread_id": "default:t"}})]
    assert len(listed) == 1


@pytest.mark.parametrize(
    ("graph", "error", "told"),
    [
        (lambda: app.failing(ValueError("no such order")), "ValueError", "no such order"),
        (lambda: app.failing(KeyError()), "KeyError", "said nothing more"),
        (lambda: app.failing(TimeoutError("theirs")), "TimeoutError", "theirs"),
        (app.endless, "GraphRecursionError", "Recursion limit of 5"),
    ],
)
async def test_a_graphs_own_error_is_told_by_class_and_words(
    desk: Desk, graph: Callable[[], Any], error: str, told: str
) -> None:
    desk.serve(graph())
    end = failure(await desk.run({"done": []}, config={"recursion_limit": 5}))
    assert end.error == error
    assert told in end.message
    assert "Traceback" not in end.message
    assert ".py" not in end.message


async def test_a_graph_that_is_not_served_fails_the_run_in_words(desk: Desk) -> None:
    end = failure(await desk.run({}))
    assert end.error == "UnknownGraphError"
    assert "team" in end.message


async def test_a_run_takes_no_longer_than_it_asked_for(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one"))
    desk.witness.hold = {"one"}
    end = failure(await desk.run({"done": []}, limits=replace(LIMITS, seconds=0.05)))
    assert end.error == "timeout"
    assert end.usage.seconds >= 0.05
    again = failure(await desk.run({"done": []}, limits=replace(LIMITS, seconds=0.05), token=2))
    assert again.error == "timeout", "what the first attempt took counts"
    assert desk.witness.ran == ["one"]


async def test_redis_that_is_away_and_a_lost_fence_are_not_the_graphs_failure(
    desk: Desk, redis: Redis, keys: Keys
) -> None:
    desk.serve(app.failing(RedisConnectionError("away")))
    with pytest.raises(RedisConnectionError):
        await desk.run({"done": []})
    desk.serve(app.chain(desk.witness, "one", "two"))
    desk.witness.hold = {"one"}
    work = asyncio.create_task(desk.run({"done": []}, run_id="r2"))
    async with asyncio.timeout(30):
        await desk.witness.holding.wait()
    await redis.set(keys.fence("default:t"), "another:1")
    desk.witness.go.set()
    with pytest.raises(FencedError):
        await work
    assert "two" not in desk.witness.ran


async def test_a_step_takes_no_longer_than_it_may(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "first", "second"))
    desk.witness.hold = {"second"}
    end = failure(await desk.run({"done": []}, limits=replace(LIMITS, step_seconds=0.2)))
    assert end.error == "max_step_seconds"
    assert "raise it" in end.message
    assert await desk.done() == ["first"]


async def test_a_nodes_own_time_limit_is_its_own_error(desk: Desk) -> None:
    desk.serve(app.failing(TimeoutError()))
    end = failure(await desk.run({"done": []}, limits=replace(LIMITS, step_seconds=20)))
    assert end.error == "TimeoutError"


async def test_of_branches_that_race_for_the_last_calls_each_limit_lets_its_number_through(
    desk: Desk,
) -> None:
    """Also where the graph's own code takes the refusal for an answer."""
    desk.serve(app.crowd(desk.witness, many=50))
    limits = replace(LIMITS, model_calls=10, tool_calls=7)
    await desk.run({"done": []}, limits=limits)
    assert Counter(desk.witness.ran) == {
        "model": 10,
        "max_model_calls": 40,
        "ring": 7,
        "max_tool_calls": 43,
    }


async def test_a_limit_that_the_graph_does_not_catch_is_the_end_and_its_name(desk: Desk) -> None:
    desk.serve(app.talking(desk.witness))
    end = failure(await desk.run(SAID, limits=replace(LIMITS, model_calls=0)))
    assert (end.error, end.usage.model_calls) == ("max_model_calls", 0)


async def test_what_a_node_in_a_thread_spends_is_counted_and_refused_as_anywhere(
    desk: Desk,
) -> None:
    desk.serve(app.muttering())
    end = failure(await desk.run(SAID, limits=replace(LIMITS, model_calls=0)))
    assert (end.error, end.usage.model_calls) == ("max_model_calls", 0)
    assert finished(await desk.run(SAID, run_id="r2", token=2)).usage.input_tokens == 7
    assert (await desk.ledgers.account("r2")).spent.input_tokens == 7
