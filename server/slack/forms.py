"""A form in a dialog made from a tool's JSON Schema. Pure.

Texts, numbers, yes or no, and choices have a control of their own; lists, objects and whatever
else a schema may say are JSON. What is too long for Slack's controls stays as it is and says so.
``server.slack.filling`` reads it back, and the server checks edits from here as all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from server.slack import blocks, schemas, text
from server.slack.blocks import Block

VALUE = "value"
"""The action_id of every control; which one it is says its block_id."""
PREFIX = "arg:"
ALL = f"{PREFIX}all"

_MOST_FIELDS = 90
_MOST_INPUT = 3_000
_MOST_OPTIONS = 100
_MOST_LABEL = 200
_MOST_HINT = 300
_LONG = 80
_EXACT = 2**53
_ABSENT = "absent"
_NULL = "null"
_TRUE, _FALSE = "true", "false"
CHOICE = "choice:"


class Control(StrEnum):
    """How a value is typed."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    JSON = "json"
    KEPT = "kept"
    """It cannot be changed here: too long for Slack."""


class _Missing:
    """No value there."""


MISSING = _Missing()


@dataclass(frozen=True, kw_only=True)
class Field:
    """One argument. ``value`` is what stands there now, ``schema`` what may stand there."""

    name: str
    place: int
    control: Control
    schema: Mapping[str, Any]
    required: bool
    nullable: bool
    value: Any = MISSING

    @property
    def block_id(self) -> str:
        return f"{PREFIX}{self.place}"


def fields(schema: Mapping[str, Any] | None, args: Mapping[str, Any]) -> list[Field]:
    """The arguments in the order of the schema, then those that it does not know."""
    root = schema or {}
    known, _ = schemas.resolved(root, root)
    properties = known.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = known.get("required")
    needed = {*required} if isinstance(required, list | tuple) else set()
    names = [*properties, *(name for name in args if name not in properties)]
    if len(names) > _MOST_FIELDS:
        return []
    return [
        _field(
            name,
            place,
            properties.get(name, {}),
            root,
            required=name in needed,
            value=args.get(name, MISSING),
        )
        for place, name in enumerate(names)
    ]


def form(shown: Sequence[Field], args: Mapping[str, Any]) -> list[Block]:
    """The controls of a form; without fields all arguments are one piece of JSON."""
    if shown:
        return [_control(one) for one in shown]
    whole = text.as_json(args, indent=2)
    if len(whole) > _MOST_INPUT:
        return [blocks.section("The arguments are too long to be edited in Slack.")]
    return [
        _input(
            ALL,
            "Arguments as JSON",
            _text_input(whole, multiline=True),
            optional=False,
        )
    ]


def _field(
    name: str, place: int, given: Any, root: Mapping[str, Any], *, required: bool, value: Any
) -> Field:
    schema, nullable = schemas.resolved(given, root)
    return Field(
        name=name,
        place=place,
        control=_fitting(schema, value),
        schema=schema,
        required=required,
        nullable=nullable,
        value=value,
    )


def _fitting(schema: Mapping[str, Any], value: Any) -> Control:
    options = schemas.options(schema)
    there = value is not MISSING and value is not None
    if options and len(options) <= _MOST_OPTIONS - 2 and (not there or value in options):
        return Control.ENUM
    kind = schema.get("type")
    if kind is None and there and not schemas.is_composed(schema) and not options:
        kind = {bool: "boolean", str: "string", int: "integer", float: "number"}.get(type(value))
    control = {
        "string": Control.TEXT,
        "integer": Control.NUMBER,
        "number": Control.NUMBER,
        "boolean": Control.BOOLEAN,
    }.get(kind if isinstance(kind, str) else "", Control.JSON)
    if there and not _suits(control, value):
        control = Control.JSON
    if (
        there
        and control in {Control.TEXT, Control.JSON}
        and len(written(control, value)) > (_MOST_INPUT)
    ):
        return Control.KEPT
    return control


def _suits(control: Control, value: Any) -> bool:
    match control:
        case Control.TEXT:
            return isinstance(value, str)
        case Control.BOOLEAN:
            return isinstance(value, bool)
        case Control.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True


def written(control: Control, value: Any) -> str:
    """A value as a control shows it."""
    if value is MISSING or (value is None and control is not Control.JSON):
        return ""
    if control is Control.TEXT:
        return str(value)
    return text.as_json(value, indent=2 if control is Control.JSON else None)


def _control(one: Field) -> Block:
    label = f"{one.name}{' *' if one.required else ''}"
    hint = one.schema.get("description")
    hint = hint if isinstance(hint, str) else ""
    match one.control:
        case Control.KEPT:
            size = len(written(Control.JSON, one.value))
            return blocks.section(
                f"{text.bold(one.name, 200)}\nToo long to be edited in Slack ({size:,} "
                "characters): it stays as it is. The console edits it.",
                block_id=one.block_id,
            )
        case Control.BOOLEAN:
            element, optional = _select(one, [(_TRUE, "true"), (_FALSE, "false")]), False
        case Control.ENUM:
            options = [
                (f"{CHOICE}{place}", text.words(value))
                for place, value in enumerate(schemas.options(one.schema))
            ]
            element, optional = _select(one, options), False
        case Control.NUMBER:
            element, hint = _number_input(one), f"{hint} {schemas.bounds(one.schema)}".strip()
            optional = not one.required or one.nullable
        case Control.TEXT:
            shown = written(one.control, one.value)
            tall = (
                len(shown) > _LONG or "\n" in shown or schemas.count(one.schema, "maxLength") > 200
            )
            element = _text_input(
                shown, multiline=tall, most=schemas.count(one.schema, "maxLength")
            )
            # Slack takes no empty text where one is needed, though the tool may.
            optional = not one.required or one.nullable or one.value == ""
        case Control.JSON:
            hint = f"{hint} As JSON.".strip()
            element = _text_input(written(one.control, one.value), multiline=True)
            optional = not one.required
    return _input(one.block_id, label, element, optional=optional, hint=hint)


def _input(block_id: str, label: str, element: Block, *, optional: bool, hint: str = "") -> Block:
    made: Block = {
        "type": "input",
        "block_id": block_id,
        "label": blocks.plain(label, _MOST_LABEL),
        "element": element,
        "optional": optional,
    }
    if hint:
        made["hint"] = blocks.plain(hint, _MOST_HINT)
    return made


def _text_input(shown: str, *, multiline: bool, most: int = 0) -> Block:
    made: Block = {"type": "plain_text_input", "action_id": VALUE, "multiline": multiline}
    if shown:
        made["initial_value"] = shown
    if 0 < most <= _MOST_INPUT and len(shown) <= most:
        made["max_length"] = most
    return made


def _number_input(one: Field) -> Block:
    shown = written(one.control, one.value)
    if not _is_plain_number(one.value):
        # Slack's control would not take it as it is.
        return _text_input(shown, multiline=False)
    decimal = one.schema.get("type") != "integer"
    made: Block = {"type": "number_input", "action_id": VALUE, "is_decimal_allowed": decimal}
    if shown:
        made["initial_value"] = shown
    return made


def _select(one: Field, options: Sequence[tuple[str, str]]) -> Block:
    """A choice, with leaving out and null where they are possible."""
    more = []
    if one.nullable:
        more.append((_NULL, "null (none)"))
    if not one.required:
        more.append((_ABSENT, "(leave it out)"))
    made = [{"text": blocks.plain(words, 75), "value": value} for value, words in (*options, *more)]
    now = _chosen(one)
    element: Block = {"type": "static_select", "action_id": VALUE, "options": made}
    if now is not None:
        element["initial_option"] = next(each for each in made if each["value"] == now)
    return element


def _chosen(one: Field) -> str | None:
    if one.value is MISSING:
        return None if one.required else _ABSENT
    if one.value is None and one.nullable:
        return _NULL
    if one.control is Control.BOOLEAN:
        return {True: _TRUE, False: _FALSE}.get(one.value)
    places = [at for at, each in enumerate(schemas.options(one.schema)) if _same(each, one.value)]
    return f"{CHOICE}{places[0]}" if places else None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_plain_number(value: Any) -> bool:
    if value is MISSING or value is None:
        return True
    return abs(value) < _EXACT and "e" not in text.as_json(value).lower()
