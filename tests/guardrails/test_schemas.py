"""JSON Schema in three values: sure where JSON Schema agrees, and careful where it is too kind."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import schemas
from guardrails.truth import Truth
from tests import examples
from tests.guardrails.test_arguments import VALUES

YES, NO, UNKNOWN = Truth.YES, Truth.NO, Truth.UNKNOWN
CAPPED = {"properties": {"amount": {"maximum": 100}}}


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        (CAPPED, {"amount": 50}, YES),
        (CAPPED, {"amount": 500}, NO),
        (CAPPED, {}, UNKNOWN),
        (CAPPED, {"amount": "9999"}, UNKNOWN),
        (CAPPED, {"amount": None}, UNKNOWN),
        ({**CAPPED, "required": []}, {}, YES),
        ({**CAPPED, "required": ["to"]}, {"amount": 5}, UNKNOWN),
        ({**CAPPED, "additionalProperties": False}, {"amount": 5, "x": 1}, NO),
        ({"properties": {"n": {"type": ["number", "null"], "maximum": 5}}}, {"n": None}, YES),
        ({"properties": {"n": {"type": "integer"}}}, {"n": 5.5}, UNKNOWN),
        ({"properties": {"e": {"enum": ["a", "b"]}}}, {"e": "c"}, NO),
        ({"properties": {"e": {"enum": ["a", "b"]}}}, {"e": ["a"]}, UNKNOWN),
        ({"properties": {"e": {"const": 1}}}, {"e": True}, UNKNOWN),
        ({"properties": {"l": {"items": {"maximum": 5}}}}, {"l": [1, 9]}, NO),
        ({"properties": {"l": {"maxItems": 1}}}, {"l": [1, 9]}, NO),
        ({"not": CAPPED}, {"amount": 500}, YES),
        ({"not": CAPPED}, {"amount": 50}, NO),
        ({"not": CAPPED}, {}, UNKNOWN),
        ({"anyOf": [CAPPED, {"properties": {"ok": {"const": True}}}]}, {"ok": True}, YES),
        ({"anyOf": [CAPPED, {"properties": {"ok": {"const": True}}}]}, {"amount": 500}, UNKNOWN),
        ({"allOf": [CAPPED, True]}, {"amount": 50}, YES),
    ],
)
def test_what_is_missing_or_of_another_type_cannot_be_told(
    schema: dict[str, Any], value: Any, found: Truth
) -> None:
    schemas.check(schema)
    assert schemas.judge(schema, value) is found


LEAVES = st.sampled_from(
    [
        {"maximum": 3},
        {"minimum": 0, "type": "number"},
        {"multipleOf": 2},
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"minLength": 2},
        {"pattern": "^a"},
        {"enum": [1, "a", None]},
        {"const": False},
        {"maxItems": 1, "items": {"type": "number"}},
        {"uniqueItems": True},
        {},
    ]
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2)},
            optional={
                "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
                "additionalProperties": st.booleans() | inner,
            },
        ),
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda one: {"items": one}, inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda some: {"allOf": some}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)
INSTANCES = VALUES | st.dictionaries(
    st.sampled_from("abc"),
    st.sampled_from([0, 1, 2, 5, 2.5, "a", "ab", None, True, False, [], [1], [1, 1], {"a": 1}]),
    max_size=3,
)


@given(SCHEMAS, INSTANCES)
@settings(max_examples=examples.times(300))
def test_a_sure_answer_is_that_of_json_schema(schema: dict[str, Any], value: Any) -> None:
    schemas.check(schema)
    found = schemas.judge(schema, value)
    if found is not UNKNOWN:
        assert jsonschema.Draft202012Validator(schema).is_valid(value) == (found is YES)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"minmum": 3}, "minmum: not judged by the policy"),
        ({"properties": {"a": {"$ref": "http://x/y"}}}, r"properties.a.\$ref: not judged"),
        ({"if": {}, "then": {}}, "if: not judged"),
        ({"anyOf": [{"oneOf": [{}]}]}, "anyOf.0.oneOf: not judged"),
        ({"type": "numbr"}, "type: 'numbr'"),
        ({"maximum": "5"}, "maximum: '5'"),
        ({"pattern": "("}, "pattern: "),
    ],
)
def test_a_schema_that_is_not_judged_is_refused_with_the_place(
    schema: dict[str, Any], said: str
) -> None:
    with pytest.raises(schemas.SchemaError, match=said):
        schemas.check(schema)
