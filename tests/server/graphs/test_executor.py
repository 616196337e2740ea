"""Users' graphs at work: what they tell, how they stop, and how they go on where a worker died."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from graphs import events
from graphs.fence import FencedError
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.store import RedisStore
from guardrails.limits import Limits
from server.executor import GraphExecutor
from server.graph_types import classes_of
from server.registry import GraphRegistry, Served
from server.runs.asked import Asked
from server.runs.ledger import RedisRunLedgers
from server.runs.record import RunRecord
from tests.server.graphs import app

LIMITS = Limits(steps=10, tokens=1000, cost=1, seconds=30)


class Desk:
    """One server's graphs, and what a run tells."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis, self._keys = redis, keys
        self.saver = RedisSaver(redis, keys)
        self.registry = GraphRegistry(saver=self.saver, store=RedisStore(redis, keys))
        self.ledgers = RedisRunLedgers(redis, keys)
        self.witness = app.Witness()
        self.told: list[Any] = []

    def serve(self, graph: Any) -> None:
        """Under the name ``mine``."""
        made = graph.compile() if hasattr(graph, "compile") else graph
        saver = self.saver.with_allowlist(classes_of(made))
        self.registry._served["mine"] = Served(name="mine", description="", made=made, saver=saver)

    async def run(
        self,
        given: Any = None,
        *,
        run_id: str = "r",
        token: int = 1,
        resume: Any = None,
        resumes: int = 0,
        result: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        **asked: Any,
    ) -> events.Outcome:
        record = RunRecord(
            run_id=run_id,
            thread_id="t",
            asked=Asked(graph="mine", assistant_id="an-assistant", input=given, **asked),
            token=token,
            resume=resume,
            resumes=resumes,
            result=result,
        )
        await self._redis.set(self._keys.fence(record.checkpoint_thread), record.fence)
        executor = GraphExecutor(registry=self.registry, ledgers=self.ledgers, limits=limits)
        return await executor(record, self.told.append)

    async def dies(self, given: Any = None, **options: Any) -> None:
        """A run whose worker dies while a node is held."""
        work = asyncio.create_task(self.run(given, **options))
        async with asyncio.timeout(5):
            await self.witness.holding.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        self.witness.hold.clear()

    async def done(self) -> list[str]:
        async with self.registry.open("mine", tenant="default") as graph:
            state = await graph.aget_state({"configurable": {"thread_id": "t"}})
        return cast("list[str]", state.values["done"])

    def modes(self) -> set[str]:
        return {chunk.mode for chunk in self.told}


@pytest.fixture
async def desk(redis: Redis, keys: Keys) -> Desk:
    return Desk(redis, keys)


def paused(outcome: events.Outcome) -> events.RunInterrupted:
    assert isinstance(outcome, events.RunInterrupted), outcome
    return outcome


def finished(outcome: events.Outcome) -> events.RunFinished:
    assert isinstance(outcome, events.RunFinished), outcome
    return outcome


def failure(outcome: events.Outcome) -> events.RunFailed:
    assert isinstance(outcome, events.RunFailed), outcome
    return outcome


SAID = {"messages": [{"role": "user", "content": "hi"}]}


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


async def test_a_question_pauses_the_run_and_a_decision_goes_on(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "ask", "two"))
    pause = paused(await desk.run({"done": []}))
    assert [one.value for one in pause.interrupts] == [{"question": "ask"}]
    assert pause.interrupts[0].id
    finished(await desk.run({"done": []}, token=2, resume="yes", resumes=1))
    assert await desk.done() == ["one", "ask", "yes", "two"]
    assert desk.witness.ran == ["one", "ask", "two"]


@pytest.mark.parametrize("answer", ["yes", False, {"a": 1}, [1]])
async def test_another_run_answers_with_a_command(desk: Desk, answer: Any) -> None:
    desk.serve(app.chain(desk.witness, "one", "ask"))
    paused(await desk.run({"done": []}))
    finished(await desk.run({}, run_id="r2", command={"resume": answer}))
    assert await desk.done() == ["one", "ask", str(answer)]


async def test_classes_of_the_graphs_schemas_come_back_as_what_they_were(desk: Desk) -> None:
    desk.serve(app.shopping())
    paused(await desk.run({}))
    end = finished(await desk.run(run_id="r2", command={"resume": True}, temporary=True))
    assert end.values["kinds"] == ["Basket", "Price", "Colour"]
    assert end.values["prices"] == {"a": {"amount": 1.5, "colour": "red"}}


async def test_a_graph_that_a_node_calls_on_another_thread_stays_with_the_tenant(
    desk: Desk,
) -> None:
    desk.serve(app.calling(desk.witness))
    finished(await desk.run({"done": []}))
    assert desk.witness.ran == ["other"]
    threads = {one.config["configurable"]["thread_id"] async for one in desk.saver.alist(None)}
    assert threads <= {"default:t", "default:side"}
    assert "default:t" in threads


async def test_several_questions_are_answered_by_their_ids(desk: Desk) -> None:
    desk.serve(app.broad(desk.witness))
    pause = paused(await desk.run({"done": []}))
    answers = {one.id: one.value["question"] for one in pause.interrupts}
    assert len(answers) == 2
    finished(await desk.run(run_id="r2", command={"resume": answers}))
    assert sorted(await desk.done()) == ["ask_left", "ask_left", "ask_right", "ask_right"]


async def test_a_command_may_go_elsewhere_with_an_update(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    finished(await desk.run({"done": []}))
    command: dict[str, Any] = {"goto": "two", "update": [["done", ["update"]]]}
    finished(await desk.run(run_id="r2", command=command))
    assert await desk.done() == ["one", "two", "update", "two"]
    command = {"goto": [{"node": "two", "input": {}}]}
    finished(await desk.run(run_id="r3", command=command))
    assert desk.witness.ran == ["one", "two", "two", "two"]


@pytest.mark.parametrize("command", [{"goto": 1}, {"goto": [{}]}, {"update": [["a"]]}])
async def test_a_command_that_says_nothing_fails_the_run_in_words(
    desk: Desk, command: Mapping[str, Any]
) -> None:
    desk.serve(app.chain(desk.witness, "one"))
    end = failure(await desk.run(command=command))
    assert end.error == "BadCommandError"
    assert "command." in end.message


async def test_what_a_dead_worker_had_finished_is_not_done_again(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "two", "three"))
    desk.witness.hold = {"two"}
    await desk.dies({"done": []})
    finished(await desk.run({"done": []}, token=2))
    assert desk.witness.ran == ["one", "two", "two", "three"]
    assert await desk.done() == ["one", "two", "three"]


async def test_a_run_that_ended_before_its_worker_could_say_so_is_not_run_again(
    desk: Desk,
) -> None:
    desk.serve(app.talking(desk.witness))
    first = finished(await desk.run(SAID))
    desk.witness.seen.clear()
    again = finished(await desk.run(SAID, token=2))
    assert (again.answer, again.checkpoint_id) == (first.answer, first.checkpoint_id)
    assert again.usage.input_tokens == 7
    assert desk.witness.seen == {}


async def test_a_pause_that_was_not_told_is_told_without_running_anything(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "ask"))
    first = paused(await desk.run({"done": []}))
    again = paused(await desk.run({"done": []}, token=2))
    assert again.interrupts == first.interrupts
    assert desk.witness.ran == ["one"]


async def test_a_worker_that_dies_behind_an_answer_does_not_ask_again(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "ask", "slow", "last"))
    paused(await desk.run({"done": []}))
    desk.witness.hold = {"slow"}
    await desk.dies({"done": []}, token=2, resume="yes", resumes=1)
    finished(await desk.run({"done": []}, token=3, resume="yes", resumes=1))
    assert desk.witness.ran == ["ask", "slow", "slow", "last"]
    assert await desk.done() == ["ask", "yes", "slow", "last"]


async def test_a_worker_that_dies_within_an_answered_step_gives_the_answer_again(
    desk: Desk,
) -> None:
    desk.serve(app.chain(desk.witness, "ask", "last"))
    paused(await desk.run({"done": []}))
    desk.witness.hold = {"ask"}
    await desk.dies({"done": []}, token=2, resume="yes", resumes=1)
    finished(await desk.run({"done": []}, token=3, resume="yes", resumes=1))
    assert await desk.done() == ["ask", "yes", "last"]


@pytest.mark.parametrize("way", ["decision", "command"])
async def test_an_answer_to_the_first_question_never_answers_the_second(
    desk: Desk, way: str
) -> None:
    """The worker dies when the second question was asked and nobody knew of it yet."""
    desk.serve(app.chain(desk.witness, "twice"))
    paused(await desk.run({"done": []}))
    options: dict[str, Any] = (
        {"resume": "one", "resumes": 1}
        if way == "decision"
        else {"run_id": "r2", "command": {"resume": "one"}}
    )
    pause = paused(await desk.run({"done": []}, token=2, **options))
    assert [one.value for one in pause.interrupts] == ["second"]
    again = paused(await desk.run({"done": []}, token=3, **options))
    assert again.interrupts == pause.interrupts
    if way == "decision":
        options = {"resume": "two", "resumes": 2}
    else:
        options = {"run_id": "r3", "command": {"resume": "two"}}
    finished(await desk.run({"done": []}, token=4, **options))
    assert await desk.done() == ["one", "two"]


async def test_a_decision_about_a_question_that_is_gone_decides_nothing(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "ask", "ask_more"))
    pause = paused(await desk.run({"done": []}))
    paused(await desk.run({}, run_id="r2", command={"resume": "theirs"}))
    told = pause.model_dump(mode="json")
    late = await desk.run({"done": []}, token=2, resume="late", resumes=1, result=told)
    end = failure(late)
    assert end.error == "overtaken"
    assert await desk.done() == ["ask", "theirs"]


@pytest.mark.parametrize(
    "breakpoint_",
    [
        {"interrupt_before": ["two"]},
        {"interrupt_after": ["one"]},
        {"interrupt_after": "*"},
    ],
)
async def test_a_breakpoint_holds_also_where_a_worker_died_at_it(
    desk: Desk, breakpoint_: dict[str, Any]
) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    for token in (1, 2):
        pause = paused(await desk.run({"done": []}, token=token, **breakpoint_))
        assert pause.interrupts == []
    assert desk.witness.ran == ["one"]
    finished(await desk.run(run_id="r2"))
    assert desk.witness.ran == ["one", "two"]


async def test_a_breakpoint_elsewhere_does_not_stop_who_goes_on(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "two", "three"))
    desk.witness.hold = {"two"}
    await desk.dies({"done": []}, interrupt_after=["two"])
    paused(await desk.run({"done": []}, token=2, interrupt_after=["two"]))
    assert desk.witness.ran == ["one", "two", "two"]


async def test_a_run_goes_on_from_an_earlier_checkpoint(desk: Desk) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    finished(await desk.run({"done": []}))
    async with desk.registry.open("mine", tenant="default") as graph:
        history = [
            state async for state in graph.aget_state_history({"configurable": {"thread_id": "t"}})
        ]
    before_two = next(state for state in history if state.next == ("two",))
    checkpoint = {"checkpoint_id": before_two.config["configurable"]["checkpoint_id"]}
    finished(await desk.run(run_id="r2", checkpoint=checkpoint))
    assert desk.witness.ran == ["one", "two", "two"]
    configurable = {"configurable": checkpoint}
    finished(await desk.run(run_id="r3", config=configurable))
    assert desk.witness.ran == ["one", "two", "two", "two"]


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
    async with asyncio.timeout(5):
        await desk.witness.holding.wait()
    await redis.set(keys.fence("default:t"), "another:1")
    desk.witness.go.set()
    with pytest.raises(FencedError):
        await work
    assert "two" not in desk.witness.ran
