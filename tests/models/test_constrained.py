"""Steps as JSON objects: their schema, how they are asked for, how they are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel, Field, field_validator

from models.constrained import Constrained, alternating, read
from models.dialect import Malformed, Read
from models.schema import Step, inlined, wire_schema
from tests.models.chatting import SEARCH, Cited


class Task(BaseModel):
    agent: Literal["researcher", "coder"]
    instruction: str


class Plan(BaseModel):
    tasks: list[Task] = Field(min_length=1)
    reply: str | None = None

    @field_validator("reply")
    @classmethod
    def polite(cls, value: str | None) -> str | None:
        if value == "no":
            raise ValueError("a reply is never just no")
        return value


class Tree(BaseModel):
    children: list[Tree]


PLAIN = Step()
TOOLS = Step(tools=(SEARCH,))


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


@pytest.mark.parametrize(
    "step",
    [TOOLS, Step(tools=(SEARCH,), answer=Plan, thought=True), Step(answer=Plan)],
    ids=["tools", "all", "answer"],
)
def test_nothing_in_a_schema_is_without_an_end(step: Step) -> None:
    schema = wire_schema(step)
    Draft202012Validator.check_schema(schema)
    for node in nodes(schema):
        assert "$ref" not in node
        if node.get("type") == "string" and "enum" not in node:
            assert node["maxLength"] <= 1900
        if node.get("type") == "array":
            assert node["maxItems"] <= 16


def test_a_thought_comes_first_and_the_action_before_its_arguments() -> None:
    [call, answer] = wire_schema(Step(tools=(SEARCH,), thought=True))["anyOf"]
    assert list(call["properties"]) == call["required"] == ["thought", "action", "args"]
    assert list(answer["properties"]) == ["thought", "action", "text"]


def test_a_step_that_must_call_has_no_answer() -> None:
    schema = wire_schema(Step(tools=(SEARCH,), must_call=True))
    assert schema["properties"]["action"] == {"const": "search_documents"}


def test_an_answer_alone_is_its_own_object() -> None:
    assert list(wire_schema(Step(answer=Cited))["properties"]) == ["text", "sources"]


def test_a_schema_that_holds_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="refers to itself"):
        Step(answer=Tree)


def test_a_tool_whose_arguments_hold_themselves_is_refused() -> None:
    tree = {"tree": {"$ref": "#/$defs/Tree"}}
    parameters = {"properties": tree, "$defs": Tree.model_json_schema()["$defs"]}
    tool = {"type": "function", "function": {"name": "a", "parameters": parameters}}
    with pytest.raises(ValueError, match="refers to itself"):
        wire_schema(Step(tools=(tool,)))


def test_a_tool_named_answer_is_refused() -> None:
    tool = {"type": "function", "function": {"name": "answer", "parameters": {}}}
    with pytest.raises(ValueError, match="answer"):
        Step(tools=(tool,))


def test_references_are_replaced_where_they_stand() -> None:
    schema = inlined(Plan.model_json_schema())
    assert schema["properties"]["tasks"]["items"]["properties"]["agent"]["enum"] == [
        "researcher",
        "coder",
    ]


def test_the_choices_are_written_in_few_words_after_the_agents_own() -> None:
    request = Constrained().request([SystemMessage("You research."), HumanMessage("Hi")], TOOLS)
    system = str(request.messages[0].text)
    assert system.startswith("You research.\n\nReply with one JSON object on one line, one of:\n")
    assert '{"action": "search_documents", "args": {"query": ..., "limit": ...}}' in system
    assert "query (string): What to look for." in system
    assert "limit (integer, optional)" in system
    assert len(system) < 400


def test_the_prompt_begins_the_same_from_step_to_step() -> None:
    first: list[BaseMessage] = [SystemMessage("You research."), HumanMessage("Plans?")]
    call = {"name": "search_documents", "args": {"query": "plan"}, "id": "c"}
    later = [*first, AIMessage("", tool_calls=[call]), ToolMessage("[1] 30", tool_call_id="c")]
    before = Constrained().request(first, TOOLS).messages
    after = Constrained().request(later, TOOLS).messages
    assert [m.text for m in after[: len(before)]] == [m.text for m in before]


MESSAGES = st.lists(
    st.one_of(
        st.builds(SystemMessage, st.text(min_size=1)),
        st.builds(HumanMessage, st.text()),
        st.builds(AIMessage, st.text()),
        st.builds(ToolMessage, st.text(), tool_call_id=st.just("c"), name=st.just("search")),
        st.builds(
            lambda q: AIMessage(
                "", tool_calls=[{"name": "search_documents", "args": {"query": q}, "id": "c"}]
            ),
            st.text(),
        ),
    )
)


@given(messages=MESSAGES, step=st.sampled_from([PLAIN, TOOLS]))
def test_roles_alternate_and_the_user_speaks_last(messages: list[BaseMessage], step: Step) -> None:
    turns = [m.type for m in alternating(messages, step)]
    assert turns.count("system") == min(1, sum(m.type == "system" for m in messages))
    if turns[0] == "system":
        turns = turns[1:]
    assert turns[0] == turns[-1] == "human"
    assert all(one != other for one, other in pairwise(turns))


@given(query=st.text(max_size=200), limit=st.integers(1, 10), around=st.sampled_from(["", "```"]))
def test_any_call_is_read_back_as_it_was_written(query: str, limit: int, around: str) -> None:
    args = {"query": query, "limit": limit}
    written = json.dumps({"action": "search_documents", "args": args})
    found = read(f"{around}\n{written}\n{around}", TOOLS)
    assert isinstance(found, Read)
    assert found.message.tool_calls[0]["args"] == args


@given(text=st.text())
def test_no_reply_breaks_the_reader(text: str) -> None:
    for step in (PLAIN, TOOLS, Step(answer=Plan), Step(tools=(SEARCH,), must_call=True)):
        assert isinstance(read(text, step), Read | Malformed)


@given(end=st.integers(0, 60))
def test_half_a_reply_is_never_taken_for_a_whole_one(end: int) -> None:
    whole = '{"action": "search_documents", "args": {"query": "annual plan"}}'
    found = read(whole[:end], TOOLS, cut=True)
    assert isinstance(found, Malformed)
    assert "cut" in found.problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"action": "delete", "args": {}}', "action must be one of search_documents, answer"),
        ('{"action": "search_documents", "args": {"limit": 2}}', "'query' is a required"),
        ('{"action": "search_documents", "args": {"query": "x", "limit": 99}}', "limit: 99"),
        ('{"action": "answer", "text": " "}', "no text"),
        ('["answer"]', "no JSON object"),
        ("Sure, I will search.", "no JSON object"),
    ],
)
def test_what_is_wrong_is_told_in_words_for_the_model(text: str, problem: str) -> None:
    found = read(text, TOOLS)
    assert isinstance(found, Malformed)
    assert problem in found.problem


def test_bounds_that_only_we_set_do_not_fail_a_reply() -> None:
    found = read(json.dumps({"action": "answer", "text": "long " * 1000}), TOOLS)
    assert isinstance(found, Read)


def test_a_models_own_validators_are_asked_too() -> None:
    task = {"agent": "coder", "instruction": "count"}
    assert isinstance(read(json.dumps({"tasks": [task]}), Step(answer=Plan)), Read)
    found = read(json.dumps({"tasks": [task], "reply": "no"}), Step(answer=Plan))
    assert isinstance(found, Malformed)
    assert "never just no" in found.problem


def test_a_thought_is_kept_beside_the_call() -> None:
    text = '{"thought": "look", "action": "search_documents", "args": {"query": "x"}}'
    found = read(text, Step(tools=(SEARCH,), thought=True))
    assert isinstance(found, Read)
    assert found.message.additional_kwargs == {"thought": "look"}
