"""How graphs ask and are answered: every dialect in, every dialect out, nothing lost between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import dialects
from graphs.coercion import coerced
from graphs.dialects import Dialect, DialectError, Given
from guardrails.policy import Choice

ARGS = {"to": "ada", "copies": 2, "urgent": True, "tags": ["a"], "more": {"x": 1}, "note": None}
SCHEMA = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "copies": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array"},
        "more": {"type": "object"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=10)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20)
objects = st.dictionaries(names, scalars, max_size=4)


def hitl(*actions: tuple[str, dict[str, Any]], camel: bool = False) -> dict[str, Any]:
    requests = [{"name": name, "args": args} for name, args in actions]
    reviews = [
        {
            ("actionName" if camel else "action_name"): name,
            ("allowedDecisions" if camel else "allowed_decisions"): [one.value for one in Choice],
        }
        for name, _ in actions
    ]
    if camel:
        return {"actionRequests": requests, "reviewConfigs": reviews}
    return {"action_requests": requests, "review_configs": reviews}


def inbox(name: str, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "action_request": {"action": name, "args": args},
        "config": {
            "allow_accept": True,
            "allow_edit": True,
            "allow_ignore": True,
            "allow_respond": True,
        },
    }


@st.composite
def decisions(draw: st.DrawFn, tool: str) -> Given:
    choice = draw(st.sampled_from(Choice))
    message = draw(st.text(min_size=1, max_size=20).filter(str.strip))
    match choice:
        case Choice.EDIT:
            # What the schema does not speak of stays as it was sent.
            return Given(choice=choice, tool=tool, args=draw(objects))
        case Choice.RESPOND | Choice.REJECT:
            return Given(choice=choice, message=message)
        case _:
            return Given(choice=choice)


@given(st.data(), st.lists(st.tuples(names, objects), min_size=1, max_size=3), st.booleans())
def test_decisions_survive_the_way_out_and_back_in_every_dialect(
    data: st.DataObject, actions: list[tuple[str, dict[str, Any]]], camel: bool
) -> None:
    questions: list[Any] = [
        hitl(*actions, camel=camel),
        [inbox(name, args) for name, args in actions],
    ]
    if len(actions) == 1:
        name, args = actions[0]
        questions += [
            inbox(name, args),
            {"type": "tool_approval", "name": name, "args": args, "tool_call_id": "c"},
        ]
    told = [data.draw(decisions(name)) for name, _ in actions]
    for question in questions:
        reading = dialects.read(question)
        assert [(one.tool, one.args) for one in reading.requests] == actions
        for dialect in (reading.dialect, Dialect.HITL, Dialect.INBOX):
            if dialect is Dialect.PER_CALL and len(told) > 1:
                continue
            raw = dialects.answer(dialect, told, tools=[name for name, _ in actions])
            back = dialects.parse(reading, json.loads(json.dumps(raw)))
            for meant, got in zip(told, back, strict=True):
                assert got.choice is meant.choice
                assert got.message == meant.message
                if meant.choice is Choice.EDIT:
                    assert got.args is not None
                    assert set(got.args) == set(meant.args or {})


@given(st.recursive(scalars, lambda one: st.lists(one) | st.dictionaries(names, one), max_leaves=8))
def test_whatever_a_graph_asks_is_read_and_whatever_it_is_told_bare_is_handed_over(
    value: Any,
) -> None:
    reading = dialects.read(value)
    assert len(reading.requests) >= 1
    bare = dialects.read({"question": "?"})
    assert bare.dialect is Dialect.BARE
    assert dialects.answer(Dialect.BARE, dialects.parse(bare, value)) == value


@given(st.recursive(scalars, lambda one: st.lists(one) | st.dictionaries(names, one), max_leaves=8))
def test_what_is_no_decision_is_refused_by_name_and_never_taken_for_one(value: Any) -> None:
    reading = dialects.read(hitl(("mail", ARGS)))
    with pytest.raises(DialectError):
        dialects.parse(reading, value)


@pytest.mark.parametrize(
    ("answer", "choice", "args"),
    [
        ({"decisions": [{"type": "approve"}]}, Choice.APPROVE, None),
        ({"type": "approve"}, Choice.APPROVE, None),
        ("approve", Choice.APPROVE, None),
        ([{"type": "accept", "args": None}], Choice.APPROVE, None),
        ([{"type": "ignore", "args": None}], Choice.REJECT, None),
        (
            {
                "decisions": [
                    {"type": "edit", "editedAction": {"name": "mail", "args": {"to": "b"}}}
                ]
            },
            Choice.EDIT,
            {"to": "b"},
        ),
        (
            [{"type": "edit", "args": {"action": "mail", "args": {"copies": "3"}}}],
            Choice.EDIT,
            {"copies": 3},
        ),
        ([{"type": "edit", "args": {"copies": "3"}}], Choice.EDIT, {"copies": 3}),
    ],
)
def test_clients_answer_in_their_own_way(answer: Any, choice: Choice, args: Any) -> None:
    (one,) = dialects.parse(dialects.read(hitl(("mail", ARGS))), answer)
    assert (one.choice, one.args) == (choice, args)


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({"decisions": []}, "decisions"),
        ({"decisions": "approve"}, "decisions"),
        ({"decisions": [{"type": "perhaps"}]}, "decisions[0].type"),
        ({"decisions": [{}]}, "decisions[0].type"),
        ({"decisions": [{"type": "respond"}]}, "decisions[0].message"),
        ({"decisions": [{"type": "edit"}]}, "decisions[0].edited_action"),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "other", "args": {}}}]},
            "decisions[0].edited_action.name",
        ),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "mail", "args": 1}}]},
            "decisions[0].edited_action.args",
        ),
        ([{"type": "accept"}, {"type": "accept"}], ""),
    ],
)
def test_a_wrong_answer_names_its_field(answer: Any, field: str) -> None:
    with pytest.raises(DialectError) as raised:
        dialects.parse(dialects.read(hitl(("mail", ARGS))), answer)
    assert raised.value.field == field


def test_what_is_not_open_is_refused() -> None:
    asked = hitl(("mail", ARGS))
    asked["review_configs"][0]["allowed_decisions"] = ["approve", "reject"]
    with pytest.raises(DialectError, match="edit is not open here; choose approve, reject"):
        dialects.parse(dialects.read(asked), {"type": "edit"})


@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_edited_values_that_came_back_as_text_become_what_they_were(schema: Any) -> None:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in ARGS.items()
    }
    found = coerced(texts, schema=schema, asked=ARGS)
    assert found == {**ARGS, "note": "null"}


@given(objects)
def test_values_that_are_no_text_are_never_touched(args: dict[str, Any]) -> None:
    kept = {name: value for name, value in args.items() if not isinstance(value, str)}
    assert coerced(kept, schema=SCHEMA, asked=ARGS) == kept


@pytest.mark.parametrize("text", ["NaN", "1e999", "[1", "{", "tru", "1" * 5000, "[" * 2000])
def test_what_is_no_value_stays_text_for_the_schema_to_refuse(text: str) -> None:
    assert coerced({"copies": text}, schema=SCHEMA, asked=ARGS) == {"copies": text}


@pytest.mark.parametrize("dialect", [Dialect.INBOX, Dialect.HITL])
def test_an_expiry_is_told_apart_from_a_refusal(dialect: Dialect) -> None:
    raw = dialects.answer(dialect, [Given(choice=None)], tools=["mail"])
    (one,) = dialects.parse(dialects.read(hitl(("mail", ARGS))), raw)
    assert one.choice is None
    assert "Nobody decided in time" in json.dumps(raw)
