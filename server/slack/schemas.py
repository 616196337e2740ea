"""A JSON Schema as far as a form needs it. Pure: no reference leads anywhere outside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_DEEPEST = 32


def resolved(given: Any, root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """A schema with references, single wrappers and "or null" looked through; null is fine too."""
    found: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    nullable = False
    for _ in range(_DEEPEST):
        if isinstance(found.get("$ref"), str):
            rest = {word: one for word, one in found.items() if word != "$ref"}
            found = {**_pointed(found["$ref"], root), **rest}
            continue
        many = next(
            (found[word] for word in ("anyOf", "oneOf", "allOf") if _listed(found, word)), None
        )
        kept = [one for one in many or () if _kind(one) != "null"]
        if many is not None and len(kept) == 1 and isinstance(kept[0], Mapping):
            nullable = nullable or len(kept) < len(many)
            rest = {w: v for w, v in found.items() if w not in {"anyOf", "oneOf", "allOf"}}
            found = {**kept[0], **rest}
            continue
        kinds = found.get("type")
        if isinstance(kinds, list | tuple):
            plain = [one for one in kinds if one != "null"]
            nullable = nullable or len(plain) < len(kinds)
            rest = {word: one for word, one in found.items() if word != "type"}
            return ({**rest, "type": plain[0]} if len(plain) == 1 else rest), nullable
        break
    return found, nullable


def _listed(schema: Mapping[str, Any], word: str) -> bool:
    return isinstance(schema.get(word), list | tuple)


def _kind(schema: Any) -> Any:
    return schema.get("type") if isinstance(schema, Mapping) else None


def _pointed(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``#/$defs/Name`` leads to; nothing for anything outside."""
    found: Any = root if reference.startswith("#") else None
    for part in reference[1:].split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def options(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The values that a choice has."""
    if "const" in schema:
        return [schema["const"]]
    given = schema.get("enum")
    return list(given) if isinstance(given, list | tuple) else []


def is_composed(schema: Mapping[str, Any]) -> bool:
    """Whether a schema without a type says what it is in another way."""
    return any(word in schema for word in ("anyOf", "oneOf", "allOf", "not", "properties", "items"))


def count(schema: Mapping[str, Any], word: str) -> int:
    """A whole number of the schema; 0 where there is none."""
    found = schema.get(word)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def bounds(schema: Mapping[str, Any]) -> str:
    """What a number has to be, in words."""
    named = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    told = [
        f"{words} {schema[word]}"
        for word, words in named.items()
        if isinstance(schema.get(word), int | float)
    ]
    return f"{', '.join(told).capitalize()}." if told else ""
