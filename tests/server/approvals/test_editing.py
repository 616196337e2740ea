"""Edited arguments: texts read as the schema wants them, nothing let through that it refuses."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.approvals.editing import EditError, edited

NESTED = {
    "type": "object",
    "properties": {
        "order": {"$ref": "#/$defs/Order"},
        "tags": {"type": "array", "items": {"type": "integer"}},
        "mode": {"enum": ["fast", "1"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    },
    "$defs": {
        "Order": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "amount": {"type": "number"}},
            "required": ["id"],
        }
    },
}
KINDS = {
    "integer": st.integers(-(10**12), 10**12),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.lists(st.integers(), max_size=3),
    "object": st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    "string": st.text(max_size=8),
}


def of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}}


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind])))
def test_a_value_sent_as_text_is_the_value_again(sample: tuple[str, Any]) -> None:
    kind, value = sample
    text = value if kind == "string" else json.dumps(value)
    assert edited({"x": text}, schema=of({"type": kind}), before={}) == {"x": value}
    optional = {"anyOf": [{"type": kind}, {"type": "null"}]}
    assert edited({"x": value}, schema=of(optional), before={}) == {"x": value}


@given(
    st.dictionaries(
        st.sampled_from(["x", "y"]),
        st.one_of(*KINDS.values()),
        max_size=2,
    ),
    st.sampled_from(sorted(KINDS)),
)
def test_whatever_is_sent_what_comes_out_fits_the_schema(args: dict[str, Any], kind: str) -> None:
    schema = of({"type": kind})
    try:
        found = edited(args, schema=schema, before={})
    except EditError:
        return
    jsonschema.validate(found, schema)
    assert set(found) <= {"x"}


def test_texts_within_objects_and_lists_are_read_too() -> None:
    given = {"order": {"id": "007", "amount": "9.5"}, "tags": ["1", "2"], "mode": "1", "note": "3"}
    assert edited(given, schema=NESTED, before={}) == {
        "order": {"id": "007", "amount": 9.5},
        "tags": [1, 2],
        "mode": "1",
        "note": "3",
    }
    whole = {"order": '{"id": "7", "amount": "2"}', "tags": "[1]"}
    assert edited(whole, schema=NESTED, before={}) == {
        "order": {"id": "7", "amount": 2},
        "tags": [1],
    }


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"order": {"amount": 1}}, "args.order"),
        ({"tags": ["1", "x"]}, "args.tags.1"),
        ({"mode": "slow"}, "args.mode"),
        ({"more": 1}, "args.more"),
        ({"tags": "[" * 100_000}, "args.tags"),
    ],
    ids=["incomplete", "item", "choice", "unknown", "deep"],
)
def test_what_does_not_fit_is_named(args: dict[str, Any], field: str) -> None:
    with pytest.raises(EditError) as refused:
        edited(args, schema=NESTED, before={})
    assert refused.value.field == field


def test_a_schema_that_leads_outside_is_not_followed_and_lets_nothing_through() -> None:
    schema = of({"$ref": "https://schemas.example/x.json"})
    with pytest.raises(EditError, match="cannot be checked"):
        edited({"x": 1}, schema=schema, before={})


def test_without_a_schema_what_stood_there_says_how_to_read_a_text() -> None:
    before = {"amount": 5, "on": True, "name": "a", "list": [1]}
    given = {"amount": "7", "on": "false", "name": "8", "list": "[2]", "new": "9"}
    assert edited(given, schema=None, before=before) == {
        "amount": 7,
        "on": False,
        "name": "8",
        "list": [2],
        "new": "9",
    }
    assert edited({"amount": "much"}, schema=None, before=before) == {"amount": "much"}
