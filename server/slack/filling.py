"""What was typed into a form, read back as arguments. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.slack import schemas, text
from server.slack.forms import ALL, CHOICE, MISSING, VALUE, Control, Field, written


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What came of a form: all arguments, or what is wrong by ``block_id``."""

    args: Mapping[str, Any]
    errors: Mapping[str, str]


def filled(shown: Sequence[Field], state: Mapping[str, Any], *, args: Mapping[str, Any]) -> Filled:
    """What was typed. ``state`` is the view's ``state.values``; what was not touched stays
    exactly as it is in ``args``."""
    if not shown:
        return _whole(state, args)
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for one in shown:
        try:
            value = _value(one, _typed(state, one.block_id))
        except ValueError as error:
            errors[one.block_id] = text.clipped(str(error), 150)
            continue
        if value is not MISSING:
            found[one.name] = value
    return Filled(args=found, errors=errors)


def _whole(state: Mapping[str, Any], args: Mapping[str, Any]) -> Filled:
    typed = _typed(state, ALL)
    if typed is None or typed == text.as_json(args, indent=2):
        return Filled(args=args, errors={})
    try:
        found = _json(typed)
    except ValueError as error:
        return Filled(args={}, errors={ALL: text.clipped(str(error), 150)})
    if not isinstance(found, dict):
        return Filled(args={}, errors={ALL: "Write an object: {…}"})
    return Filled(args=found, errors={})


def place_of(shown: Sequence[Field], where: str) -> str | None:
    """The block of what an error names, as ``args.amount`` or ``args.lines.0.price``."""
    open_ = [one for one in shown if one.control is not Control.KEPT]
    if not shown and where:
        return ALL
    path = where.removeprefix("args").removeprefix(".")
    fit = [one for one in open_ if path == one.name or path.startswith(f"{one.name}.")]
    if fit:
        return str(max(fit, key=lambda one: len(one.name)).block_id)
    return open_[0].block_id if open_ else None


def _value(one: Field, typed: str | None) -> Any:
    """What was typed, as the tool would get it. Raises ValueError with words for people."""
    match one.control:
        case Control.KEPT:
            return one.value
        case Control.BOOLEAN | Control.ENUM:
            return _option(one, typed)
    before = written(one.control, one.value)
    if (typed or "") == before:
        # Not touched. Slack has one way to show none, an empty text and no value.
        if one.value is MISSING and one.required:
            raise ValueError("Fill this in.")
        return one.value
    if typed is None or (typed == "" or (one.control is not Control.TEXT and not typed.strip())):
        return _emptied(one)
    if one.control is Control.TEXT:
        return typed
    if one.control is Control.NUMBER:
        return _number(typed)
    return _json(typed)


def _emptied(one: Field) -> Any:
    if not one.required:
        return MISSING
    if one.nullable:
        return None
    if one.control is Control.TEXT:
        return ""
    raise ValueError("Fill this in.")


def _option(one: Field, typed: str | None) -> Any:
    match typed:
        case None:
            if one.required:
                raise ValueError("Choose one.")
            return MISSING
        case "absent":
            return MISSING
        case "null":
            return None
        case "true":
            return True
        case "false":
            return False
    options = schemas.options(one.schema)
    place = typed.removeprefix(CHOICE)
    if not place.isdecimal() or int(place) >= len(options):
        raise ValueError("Choose one of the list.")
    return options[int(place)]


def _typed(state: Mapping[str, Any], block_id: str) -> str | None:
    """What stands in a control; anything else than Slack sends reads as nothing."""
    block = state.get(block_id)
    element = block.get(VALUE) if isinstance(block, Mapping) else None
    if not isinstance(element, Mapping):
        return None
    option = element.get("selected_option")
    found = option.get("value") if isinstance(option, Mapping) else element.get("value")
    return found if isinstance(found, str) else None


def _number(typed: str) -> Any:
    word = typed.strip()
    try:
        value = json.loads(word, parse_constant=_refuse)
    except ValueError:
        value = None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("Write a number like 12 or 0.5.")
    return value


def _json(typed: str) -> Any:
    try:
        return json.loads(typed, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("This is nested too deep.") from None
    except ValueError as error:
        if any(mark in typed for mark in "“”„"):
            raise ValueError('Not JSON: write straight quotes ("), not “curly” ones.') from None
        raise ValueError(f"Not JSON: {error}") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
