"""What is held by what, as PostgreSQL's containment of JSON has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.threads.matching import contains, scalar

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_holds_itself(value: Any) -> None:
    assert contains(value, value)


OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_an_object_holds_what_it_was_merged_of_last(
    first: dict[str, Any], last: dict[str, Any]
) -> None:
    assert contains({**first, **last}, last)


@given(SCALARS, SCALARS)
def test_the_index_finds_two_scalars_equal_where_the_comparison_does(a: Any, b: Any) -> None:
    assert (scalar(a) == scalar(b)) is contains(a, b)


@pytest.mark.parametrize(
    ("whole", "part", "held"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ({"a": [1, {"b": 2, "c": 3}]}, {"a": [{"c": 3}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": "one"}, {"a": ["o"]}, False),
        (1, True, False),
        (1, 1.0, True),
        ({}, {"a": None}, False),
    ],
)
def test_parts(whole: Any, part: Any, held: bool) -> None:
    assert contains(whole, part) is held
