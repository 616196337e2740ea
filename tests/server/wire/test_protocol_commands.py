"""Commands of the thread-centric protocol, checked field by field."""

from __future__ import annotations

from typing import Any

import pytest

from server.runs.asked import TEAM, Asked
from server.wire.protocol_commands import CommandError, Respond, read, resumed, resumes, run_of


def test_a_run_is_started_from_a_checkpoint_by_its_config() -> None:
    run = run_of(
        {
            "assistant_id": "mine",
            "input": {"n": 1},
            "config": {"configurable": {"checkpoint_id": "c1", "checkpoint_ns": "", "model": "m"}},
            "multitaskStrategy": "reject",
            "stream_mode": "values",
        }
    )
    assert run.fork == {"checkpoint_id": "c1"}
    assert run.config is not None
    assert run.config.configurable == {"model": "m"}
    assert run.multitask_strategy.value == "reject"
    modes, subgraphs = run.telling(graph="mine")
    assert {"values", "tasks", "messages-tuple"} <= set(modes)
    assert subgraphs


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "params.assistant_id"),
        ({"assistant_id": "mine", "metadata": 3}, "params.metadata"),
        (
            {"assistant_id": "mine", "config": {"recursion_limit": 0}},
            "params.config.recursion_limit",
        ),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(params: dict[str, Any], where: str) -> None:
    with pytest.raises(CommandError, match=where) as caught:
        run_of(params)
    assert caught.value.code == "invalid_argument"


def test_one_answer_or_several_are_read_alike() -> None:
    one = read(Respond, {"namespace": [], "interrupt_id": "i1", "response": "yes"})
    many = read(Respond, {"responses": [{"interrupt_id": "i1", "response": "yes"}]})
    assert one.answers == many.answers == {"i1": "yes"}
    config = {"configurable": {"model": "m"}}
    run = one.run(Asked(graph="mine", assistant_id="mine", kwargs={"config": config}))
    assert run.command is not None
    assert run.command.stored() == {"resume": {"i1": "yes"}}
    assert run.config is not None
    assert run.config.configurable == {"model": "m"}
    refused: list[dict[str, Any]] = [{}, {"responses": []}, {"responses": [{"response": 1}]}]
    for wrong in refused:
        with pytest.raises(CommandError, match=r"params\.responses"):
            read(Respond, wrong)


@pytest.mark.parametrize(
    ("graph", "given", "answers"),
    [
        ("mine", {"messages": []}, True),
        ("mine", "yes", True),
        ("mine", None, False),
        (TEAM, {"messages": []}, False),
        (TEAM, {"decisions": [{"type": "approve"}]}, True),
    ],
    ids=str,
)
def test_what_a_waiting_thread_is_given_answers_it(graph: str, given: Any, answers: bool) -> None:
    run = run_of({"assistant_id": graph, "input": given})
    assert resumes(run, paused=graph) is answers


def test_an_input_that_answers_is_the_answer_and_the_run_as_it_was_configured() -> None:
    paused = Asked(graph="mine", kwargs={"config": {"tags": ["a"]}})
    run = run_of({"assistant_id": "mine", "input": "yes", "metadata": {"who": "me"}})
    again = resumed(run, paused=paused)
    assert again.command is not None
    assert again.command.stored() == {"resume": "yes"}
    assert again.input is None
    assert again.config is not None
    assert (again.config.tags, again.metadata) == (["a"], {"who": "me"})
