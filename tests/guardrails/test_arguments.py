"""The canonical text and the hash that a decision is bound to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import arguments

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
ARGS = st.dictionaries(TEXTS, VALUES, max_size=5)


def turned(value: Any) -> Any:
    """The same in another spelling: keys in the other order, whole numbers the other way."""
    match value:
        case dict():
            return {key: turned(value[key]) for key in reversed(value)}
        case list():
            return tuple(turned(one) for one in value)
        case bool() | None | str():
            return value
        case int():
            return float(value) if abs(value) < 2**53 else value
        case _:
            return int(value) if value.is_integer() else value


@given(ARGS)
def test_another_spelling_of_the_same_call_has_the_same_hash(args: dict[str, Any]) -> None:
    assert arguments.digest("pay", turned(args)) == arguments.digest("pay", args)
    spaced = json.loads(json.dumps(args, indent=3))
    assert arguments.canonical(spaced) == arguments.canonical(args)


@given(ARGS)
def test_the_canonical_text_is_json_that_means_the_same_and_is_its_own_canonical_text(
    args: dict[str, Any],
) -> None:
    text = arguments.canonical(args)
    assert json.loads(text) == args
    assert arguments.canonical(json.loads(text)) == text


@given(ARGS, ARGS)
def test_calls_that_differ_have_different_texts(
    args: dict[str, Any], other: dict[str, Any]
) -> None:
    same = arguments.canonical(args) == arguments.canonical(other)
    assert same == (typed(args) == typed(other))


def typed(value: Any) -> Any:
    """Python takes true for 1; JSON does not."""
    match value:
        case dict():
            return {key: typed(one) for key, one in value.items()}
        case list():
            return [typed(one) for one in value]
        case _:
            return (isinstance(value, bool), value)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"b": 1.0, "a": [1e0, -0.0, 1e2]}, '{"a":[1,0,100],"b":1}'),
        ({"x": 0.1, "y": 1e-7}, '{"x":0.1,"y":1e-07}'),
        ({"x": True, "y": None}, '{"x":true,"y":null}'),
        ({"é": "ü", "z": "e\u0301"}, '{"z":"e\u0301","é":"ü"}'),
        ({}, "{}"),
    ],
)
def test_the_text_is_fixed_for_good(args: dict[str, Any], text: str) -> None:
    assert arguments.canonical(args) == text


def test_the_hash_is_over_tool_and_arguments() -> None:
    expected = hashlib.sha256(b'["refund",{"amount":50}]').hexdigest()
    assert arguments.digest("refund", {"amount": 50.0}) == expected
    assert arguments.digest("refunds", {"amount": 50}) != expected


def test_texts_that_look_alike_are_two_calls() -> None:
    """The approval of one file must not run another of the same look."""
    assert arguments.canonical({"f": "\u00e9"}) != arguments.canonical({"f": "e\u0301"})


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"a": float("nan")}, "arguments.a: nan is no number of JSON"),
        ({"a": [1, float("inf")]}, r"arguments.a\[1\]: inf"),
        ({1: 2}, "the key 1 is no string"),
        ({"a": b"x"}, "arguments.a: bytes"),
        ({"a": {1, 2}}, "arguments.a: set"),
        ({"a": "\ud800"}, "half of a surrogate pair"),
        ({"a": 10**5000}, "arguments: "),
    ],
)
def test_what_is_no_plain_json_has_no_hash(args: Any, said: str) -> None:
    with pytest.raises(arguments.ArgumentsError, match=said):
        arguments.digest("x", args)


def test_arguments_of_any_depth_end_in_an_answer() -> None:
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(arguments.ArgumentsError, match="100 levels"):
        arguments.canonical({"a": deep})
