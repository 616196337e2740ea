"""Arguments that came back from a form as text, as the values that they stand for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from graphs.questions import properties


def coerced(
    args: Mapping[str, Any], *, schema: Mapping[str, Any] | None, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Edited arguments with texts turned into what the schema says, or what was asked was."""
    known = properties(schema)
    return {name: _coerced(value, known.get(name), asked.get(name)) for name, value in args.items()}


def _types(schema: Any, asked: Any) -> set[str]:
    """Which JSON types an argument may have, by its schema, else by what was asked."""
    if isinstance(schema, Mapping):
        found: set[str] = set()
        for one in [schema, *(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]:
            kind = one.get("type") if isinstance(one, Mapping) else None
            found |= {kind} if isinstance(kind, str) else set(kind or ())
        return found
    match asked:
        case bool():
            return {"boolean"}
        case int() | float():
            return {"number"}
        case Mapping():
            return {"object"}
        case list() | tuple():
            return {"array"}
        case _:
            return {"string"}


def _coerced(value: Any, schema: Any, asked: Any) -> Any:
    kinds = _types(schema, asked)
    if not isinstance(value, str) or not kinds or "string" in kinds:
        return value
    text = value.strip()
    if "null" in kinds and text in {"", "null"}:
        return None
    if "boolean" in kinds and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value
    fits = (
        (isinstance(found, bool) and "boolean" in kinds)
        or (_is_integer(found) and kinds & {"integer", "number"})
        or (isinstance(found, float) and "number" in kinds)
        or (isinstance(found, float) and found.is_integer() and "integer" in kinds)
        or (isinstance(found, dict) and "object" in kinds)
        or (isinstance(found, list) and "array" in kinds)
    )
    return found if fits else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
