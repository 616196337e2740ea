"""JSON Schema over the arguments of a call, judged in three values.

JSON Schema alone is too kind to guard anything: ``{"properties": {"amount": {"maximum": 100}}}``
accepts a call without an amount, and one whose amount is the text "9999". Here what is missing or
of another type is UNKNOWN. So the keywords are a known part of JSON Schema (2020-12), and a name in
``properties`` has to be there unless ``required`` is given and does not list it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardrails import truth
from guardrails.truth import Truth

Schema = Mapping[str, Any] | bool

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTS = ("minLength", "maxLength", "pattern")
_LISTS = ("items", "minItems", "maxItems", "uniqueItems")
_OBJECTS = ("properties", "required", "additionalProperties")
_NOTES = ("title", "description", "$comment", "examples", "$schema", "default")
_LOGIC = ("allOf", "anyOf", "not")
_KNOWN = frozenset(
    (*_NUMBERS, *_TEXTS, *_LISTS, *_OBJECTS, *_NOTES, *_LOGIC, "type", "enum", "const")
)
_TYPES_OF = {
    "number": _NUMBERS,
    "string": _TEXTS,
    "array": _LISTS,
    "object": _OBJECTS,
}


class SchemaError(ValueError):
    """A schema that no call can be judged by; the message names the place and the remedy."""


def check(schema: Mapping[str, Any]) -> None:
    """Raises SchemaError for what is no JSON Schema, or has a keyword that is not judged here."""
    from jsonschema import SchemaError as NoSchema

    try:
        _draft().check_schema(dict(schema))
    except NoSchema as error:
        place = ".".join(str(part) for part in error.absolute_path)
        raise SchemaError(f"{place + ': ' if place else ''}{error.message}") from None
    _check_keywords(schema, "")


def judge(schema: Schema, value: Any) -> Truth:
    """Whether a value fits a checked schema; UNKNOWN for what is missing or of another type."""
    if isinstance(schema, bool):
        return truth.of(schema)
    return truth.every(_judgements(schema, value))


def _draft() -> Any:
    # Late: a tenth of the start of a command, and most rules have no schema.
    from jsonschema import Draft202012Validator

    return Draft202012Validator


def _check_keywords(schema: Schema, place: str) -> None:
    if isinstance(schema, bool):
        return
    for keyword in schema:
        if keyword not in _KNOWN:
            known = ", ".join(sorted(_KNOWN - set(_NOTES)))
            raise SchemaError(f"{place}{keyword}: not judged by the policy; it knows {known}")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            raise SchemaError(f"{place}pattern: {error}") from None
    for name, inner in schema.get("properties", {}).items():
        _check_keywords(inner, f"{place}properties.{name}.")
    for keyword in ("items", "additionalProperties", "not"):
        _check_keywords(schema.get(keyword, True), f"{place}{keyword}.")
    for keyword in ("allOf", "anyOf"):
        for at, inner in enumerate(schema.get(keyword, ())):
            _check_keywords(inner, f"{place}{keyword}.{at}.")


def _judgements(schema: Mapping[str, Any], value: Any) -> Iterator[Truth]:
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", ())
    if types and not any(_is(value, name) for name in types):
        yield Truth.UNKNOWN
    for name, keywords in _TYPES_OF.items():
        if any(keyword in schema for keyword in keywords):
            if _is(value, name):
                yield from _of_type(name, schema, value)
            elif not (types and any(_is(value, other) for other in types)):
                yield Truth.UNKNOWN
    for wanted in (schema["const"],) if "const" in schema else ():
        yield _equal_to_one(value, [wanted])
    if "enum" in schema:
        yield _equal_to_one(value, schema["enum"])
    yield from (judge(inner, value) for inner in schema.get("allOf", ()))
    if "anyOf" in schema:
        yield truth.some(judge(inner, value) for inner in schema["anyOf"])
    if "not" in schema:
        yield truth.negated(judge(schema["not"], value))


def _of_type(name: str, schema: Mapping[str, Any], value: Any) -> Iterator[Truth]:
    if name == "object":
        yield from _properties(schema, value)
        return
    if name == "array" and "items" in schema:
        yield truth.every(judge(schema["items"], one) for one in value)
    plain = {word: schema[word] for word in _TYPES_OF[name] if word in schema and word != "items"}
    yield truth.of(_draft()(plain).is_valid(value))


def _properties(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[Truth]:
    properties = schema.get("properties", {})
    for name in schema.get("required", properties):
        if name not in value:
            yield Truth.UNKNOWN
    for name, inner in properties.items():
        if name in value:
            yield judge(inner, value[name])
    others = schema.get("additionalProperties", True)
    yield truth.every(judge(others, value[name]) for name in value if name not in properties)


def _equal_to_one(value: Any, wanted: Sequence[Any]) -> Truth:
    if any(_is_json_equal(value, one) for one in wanted):
        return Truth.YES
    return Truth.NO if _kind(value) in {_kind(one) for one in wanted} else Truth.UNKNOWN


def _is_json_equal(value: Any, other: Any) -> bool:
    return bool(_draft()({"const": other}).is_valid(value))


def _is(value: Any, name: str) -> bool:
    return bool(_draft().TYPE_CHECKER.is_type(value, name))


def _kind(value: Any) -> str:
    names = ("null", "boolean", "number", "string", "array", "object")
    return next((name for name in names if _is(value, name)), "")
