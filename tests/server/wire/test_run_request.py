"""Runs as LangGraph's clients ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, HumanMessageChunk, message_to_dict
from pydantic import ValidationError

from server.errors import BadRequest, Invalid
from server.runs.asked import TEAM, Asked, MultitaskStrategy
from server.wire.run_request import RunRequest, asked

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
QUESTION = {"messages": [{"type": "human", "content": "How long?", "id": "a"}]}


def request(**fields: Any) -> RunRequest:
    return RunRequest.model_validate({"assistant_id": "echo", **fields})


def come_to(given: RunRequest, *, graph: str = "echo", **options: Any) -> Asked:
    known: dict[str, Any] = {
        "assistant_id": "an id",
        "config": {},
        "context": None,
        "collection": "handbook",
        "stateless": False,
        "user": "somebody",
    }
    return asked(given, graph=graph, **{**known, **options})


def test_a_request_of_nothing_but_an_assistant_is_a_run() -> None:
    run = come_to(request(unknown=1, strict_resume=True))
    assert (run.graph, run.assistant_id, run.input, run.user) == ("echo", "an id", None, "somebody")
    assert run.stream_modes == ("values",)
    assert run.multitask is MultitaskStrategy.ENQUEUE
    assert run.collection == "handbook"
    assert run.keep_on_disconnect
    assert not run.temporary


def test_everything_that_was_asked_is_in_the_run() -> None:
    given = request(
        input={"x": 1},
        config={"tags": ["b"], "recursion_limit": 7, "configurable": {"model": "m"}, "run_name": 1},
        metadata={"m": 1},
        stream_mode=["messages-tuple", "values", "values"],
        stream_subgraphs=True,
        interrupt_before="*",
        interrupt_after=["node"],
        webhook="https://example.org/hook",
        checkpoint={"thread_id": THREAD, "checkpoint_id": "c", "checkpoint_ns": ""},
        multitask_strategy="rollback",
        on_disconnect="cancel",
    )
    run = come_to(given, config={"tags": ["a"], "configurable": {"collection": "own", "n": 1}})
    assert run.input == {"x": 1}
    assert run.config["tags"] == ["a", "b"]
    assert run.config["recursion_limit"] == 7
    assert run.configurable == {"collection": "own", "n": 1, "model": "m"}
    assert run.metadata == {"m": 1}
    assert run.stream_modes == ("messages-tuple", "values")
    assert run.stream_subgraphs
    assert (run.interrupt_before, run.interrupt_after) == ("*", ["node"])
    assert run.webhook == "https://example.org/hook"
    assert run.checkpoint == {"checkpoint_id": "c", "checkpoint_ns": ""}
    assert run.multitask is MultitaskStrategy.ROLLBACK
    assert not run.keep_on_disconnect
    assert run.kwargs["input"] == {"x": 1}


def test_a_context_is_laid_over_the_assistants_own() -> None:
    run = come_to(request(context={"b": 2}), context={"a": 1, "b": 1})
    assert run.context == {"a": 1, "b": 2}


def test_fields_that_are_null_were_not_given() -> None:
    nothing = dict.fromkeys(
        "command config context metadata stream_mode webhook checkpoint multitask_strategy"
        " if_not_exists on_disconnect after_seconds stream_subgraphs interrupt_before".split()
    )
    assert come_to(request(**nothing)) == come_to(request())


@pytest.mark.parametrize(("kept", "temporary"), [("keep", False), ("delete", True)])
def test_a_run_of_its_own_takes_its_thread_with_it_unless_it_is_kept(
    kept: str, temporary: bool
) -> None:
    assert come_to(request(on_completion=kept), stateless=True).temporary is temporary
    assert not come_to(request(on_completion=kept)).temporary


@pytest.mark.parametrize("told", [{}, {"goto": None}, {"goto": []}, {"update": {}}, {"no": 1}])
def test_a_command_that_says_nothing_is_none(told: dict[str, Any]) -> None:
    run = come_to(request(input={"steps": ["a"]}, command=told))
    assert (run.command, run.input) == (None, {"steps": ["a"]})
    with pytest.raises(Invalid, match=r"input\.messages is missing"):
        come_to(request(command=told), graph=TEAM)


def test_a_command_holds_what_was_given_and_no_more() -> None:
    assert come_to(request(command={"resume": None, "goto": "a"})).command == {
        "resume": None,
        "goto": "a",
    }
    update = [["a", 1], ["b", 2]]
    assert come_to(request(command={"update": update})).command == {"update": update}


def test_the_team_reads_messages_of_either_wire() -> None:
    single = {"messages": QUESTION["messages"][0], "more": 1}
    for given in (QUESTION, single):
        run = come_to(request(input=given), graph=TEAM)
        assert run.messages == [{"role": "user", "content": "How long?", "id": "a"}]
        assert set(run.stream_modes) == {"values", "custom"}


def test_the_team_reads_messages_that_are_written_briefly() -> None:
    hi = {"role": "user", "content": "Hi"}
    said = {"role": "assistant", "content": "Hello."}
    for given, read in (("Hi", [hi]), ([["human", "Hi"], ["ai", "Hello."], "Hi"], [hi, said, hi])):
        assert come_to(request(input={"messages": given}), graph=TEAM).messages == read
    with pytest.raises(Invalid, match=r"input\.messages\.0\.role"):
        come_to(request(input={"messages": [["robot", "Hi"]]}), graph=TEAM)


def test_the_team_reads_messages_as_langchain_writes_them() -> None:
    """The first is what JavaScript's client sends of a `HumanMessage`."""
    class_path = ["langchain_core", "messages", "HumanMessage"]
    inner = {"content": "Hi", "additional_kwargs": {}, "id": "a"}
    for given in (
        {"lc": 1, "type": "constructor", "id": class_path, "kwargs": inner},
        message_to_dict(HumanMessage("Hi", id="a")),
        HumanMessageChunk(content="Hi", id="a").model_dump(),
    ):
        run = come_to(request(input={"messages": [given]}), graph=TEAM)
        assert run.messages == [{"role": "user", "content": "Hi", "id": "a"}]
    with pytest.raises(Invalid, match=r"input\.messages\.0\.role"):
        come_to(request(input={"messages": {"type": "constructor", "kwargs": {}}}), graph=TEAM)


@pytest.mark.parametrize("given", [{}, None])
def test_the_team_goes_on_without_messages_where_it_is_told_how(given: Any) -> None:
    run = come_to(request(input=given, command={"resume": {"decisions": []}}), graph=TEAM)
    assert run.input is None
    assert come_to(request(input=given, checkpoint_id="c"), graph=TEAM).input is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (None, "input.messages"),
        ({}, "input.messages"),
        ("text", "input"),
        ([1], "input"),
        ({"messages": []}, "input.messages"),
        ({"messages": [{"type": "x", "content": ""}]}, "input.messages.0.role"),
    ],
)
def test_what_the_team_cannot_read_names_the_field(given: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        come_to(request(input=given), graph=TEAM)
    assert refused.value.param == field
    assert field in str(refused.value.detail)


@pytest.mark.parametrize(
    ("fields", "thread", "field"),
    [
        ({"context": {"a": 1}, "config": {"configurable": {"b": 1}}}, THREAD, "context"),
        ({"command": {"resume": 1}}, None, "command.resume"),
        ({"checkpoint_id": "c"}, None, "checkpoint"),
    ],
)
def test_fields_that_do_not_go_together_are_told(
    fields: dict[str, Any], thread: str | None, field: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        request(**fields).checked(thread_id=thread)
    assert refused.value.param == field


def test_fields_that_go_together_pass() -> None:
    request(context={"a": 1}, config={"configurable": {}}).checked(thread_id=None)
    request(command={"resume": 1}, checkpoint_id="c").checked(thread_id=THREAD)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"assistant_id": ""},
        {"assistant_id": 5},
        {"assistant_id": None},
        {"command": {"goto": 5}},
        {"command": {"goto": [{"no": "node"}]}},
        {"command": {"update": 5}},
        {"command": {"update": [["a"]]}},
        {"command": "resume"},
        {"config": []},
        {"config": {"recursion_limit": 0}},
        {"config": {"tags": "x"}},
        {"config": {"configurable": 1}},
        {"config": {"configurable": {"collection": "no such/name"}}},
        {"context": 1},
        {"metadata": []},
        {"stream_mode": "x"},
        {"stream_mode": ["values", "x"]},
        {"stream_mode": 5},
        {"stream_subgraphs": "perhaps"},
        {"interrupt_before": "node"},
        {"interrupt_after": [1]},
        {"webhook": "ftp://x"},
        {"checkpoint": "c"},
        {"checkpoint_id": 5},
        {"multitask_strategy": "x"},
        {"if_not_exists": "x"},
        {"on_disconnect": "x"},
        {"on_completion": "x"},
        {"after_seconds": -1},
        {"after_seconds": 10**9},
        {"durability": "x"},
        {"feedback_keys": "x"},
        {"input": 10**30},
        {"input": nested(100)},
        {"input": float("nan")},
    ],
)
def test_a_known_field_with_a_wrong_value_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**fields)


def test_text_that_no_json_holds_is_mended() -> None:
    assert come_to(request(input={"a\ud800": ["b\udfff"]})).input == {"a?": ["b?"]}
