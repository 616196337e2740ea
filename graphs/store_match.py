"""Which items and namespaces a search of the long-term store means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.store.base import MatchCondition

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "$gt": lambda one, other: one > other,
    "$gte": lambda one, other: one >= other,
    "$lt": lambda one, other: one < other,
    "$lte": lambda one, other: one <= other,
}


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Whether an item's value is what a filter asks for. Raises ValueError: unknown operator."""
    return all(_fits(value.get(name), one) for name, one in (wanted or {}).items())


def lies_in(namespace: Sequence[str], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends as asked; ``*`` stands for any one label."""
    path = condition.path
    if len(namespace) < len(path):
        return False
    match condition.match_type:
        case "prefix":
            part = namespace[: len(path)]
        case "suffix":
            part = namespace[len(namespace) - len(path) :]
    return all(label in ("*", found) for label, found in zip(path, part, strict=True))


def _fits(found: Any, wanted: Any) -> bool:
    match wanted:
        case Mapping() if any(str(name).startswith("$") for name in wanted):
            return all(_holds(found, operator, value) for operator, value in wanted.items())
        case Mapping():
            return isinstance(found, Mapping) and matches(found, wanted)
        case list() | tuple():
            return (
                isinstance(found, list | tuple)
                and len(found) == len(wanted)
                and all(map(_fits, found, wanted))
            )
        case _:
            return bool(found == wanted)


def _holds(found: Any, operator: str, value: Any) -> bool:
    if operator == "$eq":
        return bool(found == value)
    if operator == "$ne":
        return bool(found != value)
    if operator not in _COMPARISONS:
        known = ", ".join(("$eq", "$ne", *_COMPARISONS))
        raise ValueError(f"filter: no operator {operator}; use one of {known}")
    try:
        return _COMPARISONS[operator](float(found), float(value))
    except (TypeError, ValueError):
        # What is missing or no number lies nowhere on the line.
        return False
