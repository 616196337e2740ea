"""Users' graphs that stop and go on: pauses, decisions, breakpoints, deaths of workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langgraph.types import Command, Interrupt, PregelTask, StateSnapshot

from server import starting
from server.runs.record import RunRecord
from tests.server.graphs import app
from tests.server.graphs.desk import SAID, Desk, failure, finished, paused


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


IDS = [f"{number:032x}" for number in range(3)]


@pytest.mark.parametrize(
    ("answered", "left", "given"),
    [
        (IDS, IDS[1:2], IDS[1:2]),
        (IDS, IDS[1:], IDS[1:]),
        # Answered in part, and what is left of it, or nothing, was not yet heard.
        (IDS[:2], IDS[1:], IDS[1:2]),
        (IDS[:2], IDS[2:], None),
    ],
)
def test_a_death_between_answers_gives_each_question_its_own_answer_or_none(
    answered: list[str], left: list[str], given: list[str] | None
) -> None:
    """A worker that is killed leaves no note of the answer in the task that it was in."""
    answers = {one: {"decisions": [one]} for one in answered}
    asked = tuple(Interrupt(value="?", id=one) for one in left)
    head = StateSnapshot(
        values={},
        next=("ask",),
        config={},
        metadata={"run_id": "r"},
        created_at=None,
        parent_config=None,
        tasks=(PregelTask(id="t", name="ask", path=(), interrupts=asked),),
        interrupts=asked,
    )
    record = RunRecord(run_id="r", thread_id="t", token=3, resumes=1, resume=answers)
    noted = starting.answered(Command(resume=answers), IDS)
    start = starting.decide(record, head, answering=noted)
    if given is None:
        assert isinstance(start, starting.Paused)
    else:
        assert isinstance(start, starting.Begin)
        assert start.given.resume == {one: answers[one] for one in given}


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


async def test_a_run_does_not_begin_anew_where_the_checkpoint_to_go_on_from_is_gone(
    desk: Desk,
) -> None:
    desk.serve(app.chain(desk.witness, "one", "two"))
    finished(await desk.run({"done": []}))
    gone = {"checkpoint_id": "1f1ed7bb-e3d5-68df-bfff-714daadcc1f0"}
    inputs: list[Any] = [{"done": []}, None]
    for given in inputs:
        end = failure(await desk.run(given, run_id="r2", checkpoint=gone))
        assert end.error == "checkpoint_gone"
        end = failure(await desk.run(given, run_id="r3", config={"configurable": gone}))
        assert end.error == "checkpoint_gone"
    assert desk.witness.ran == ["one", "two"]
    assert await desk.done() == ["one", "two"]
