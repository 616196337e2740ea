"""Arguments as a person edited them: texts read as the tool's schema wants them, then checked.
Pure: no schema leads anywhere outside itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
from referencing import Registry
from referencing.exceptions import Unresolvable

_DEEPEST = 32
_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


class EditError(ValueError):
    """Arguments that the tool does not take; ``field`` names the place, as ``args.amount``."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def edited(
    args: Mapping[str, Any], *, schema: Mapping[str, Any] | None, before: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments as the tool gets them.

    Interfaces of approvers send every value as text: it is read as what the schema wants there,
    and where there is no schema as what stood there before. Raises EditError.
    """
    if schema is None:
        return {name: _like(value, before.get(name)) for name, value in args.items()}
    read: dict[str, Any] = _read(dict(args), schema, root=schema, depth=0)
    _check(read, schema)
    return read


def _check(args: dict[str, Any], schema: Mapping[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(dict(schema), registry=Registry())
    try:
        problem = jsonschema.exceptions.best_match(validator.iter_errors(args))
    except (Unresolvable, TypeError, ValueError, RecursionError, re.error) as error:
        # A schema of somebody's own that cannot be followed; nothing is let run by it.
        raise EditError(f"cannot be checked: {error}", field="args") from None
    if problem is not None:
        place = ".".join(["args", *(str(part) for part in problem.absolute_path)])
        message = problem.message if len(problem.message) <= 300 else problem.message[:300] + "…"
        raise EditError(message, field=place)
    unknown = set(args) - set(schema.get("properties", args))
    if unknown and not _is_open(schema):
        known = ", ".join(schema["properties"]) or "none"
        raise EditError(
            f"the tool has no such argument; it has {known}", field=f"args.{min(unknown)}"
        )


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Whether the schema says that there may be more than it names."""
    return (
        any(
            schema.get(word)
            for word in ("additionalProperties", "patternProperties", "anyOf", "allOf")
        )
        or "$ref" in schema
    )


def _read(value: Any, schema: Any, *, root: Mapping[str, Any], depth: int) -> Any:
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return value
    forms = list(_forms(schema, root=root, depth=depth))
    if isinstance(value, str):
        wanted = {word for form in forms for word in _types(form)}
        if not wanted or "string" in wanted or any("enum" in form for form in forms):
            return value
        value = _parsed(value, wanted)
    if isinstance(value, dict):
        named = {
            name: inner for form in forms for name, inner in (form.get("properties") or {}).items()
        }
        return {
            name: _read(one, named.get(name), root=root, depth=depth + 1)
            for name, one in value.items()
        }
    if isinstance(value, list):
        items = next((form["items"] for form in forms if "items" in form), None)
        return [_read(one, items, root=root, depth=depth + 1) for one in value]
    return value


def _forms(schema: Any, *, root: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The schema and all that it is made of, on one level."""
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(word) or ():
            yield from _forms(inner, root=root, depth=depth + 1)
    if isinstance(schema.get("$ref"), str):
        yield from _forms(_referred(schema["$ref"], root), root=root, depth=depth + 1)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """What ``#/$defs/Name`` leads to; None for anything outside."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for part in reference[1:].split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _types(form: Mapping[str, Any]) -> list[str]:
    said = form.get("type")
    if isinstance(said, str):
        return [said]
    if isinstance(said, list):
        return [word for word in said if isinstance(word, str)]
    if "const" in form:
        return [_TYPES.get(type(form["const"]), "string")]
    return []


def _parsed(text: str, wanted: set[str]) -> Any:
    """The text as JSON, if that gives what is wanted; else the text, which the check refuses."""
    word = text.strip()
    if "boolean" in wanted and word.lower() in {"true", "false"}:
        return word.lower() == "true"
    if "null" in wanted and word.lower() in {"", "null", "none"}:
        return None
    try:
        value = json.loads(word, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text
    kind = _TYPES.get(type(value), "string")
    return value if kind in wanted or (kind == "integer" and "number" in wanted) else text


def _like(value: Any, before: Any) -> Any:
    if not isinstance(value, str) or before is None or isinstance(before, str):
        return value
    kind = _TYPES.get(type(before))
    wanted = {"integer", "number"} if kind in {"integer", "number"} else {kind or "string"}
    return _parsed(value, wanted)
