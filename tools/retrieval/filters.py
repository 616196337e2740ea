"""Search filters: which fields a passage must match, free of any store's own types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tools.retrieval.errors import BadFilter

# Fields of the passage itself; every other name is a field of the user's metadata.
OWN_FIELDS = frozenset({"document_id", "title", "source", "media_type", "page", "ingested_at"})
# Anything else stands in quotes in the engine's paths.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_BOUNDS = frozenset({"gt", "gte", "lt", "lte"})


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """The field equals one of the values (one kind of value: all text, or all whole numbers)."""

    field: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Within:
    """The field is a number inside the bounds; a missing bound is open."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, kw_only=True)
class Between:
    """The field is a date or a moment (ISO 8601) inside the bounds; a missing bound is open."""

    field: str
    gt: datetime | None = None
    gte: datetime | None = None
    lt: datetime | None = None
    lte: datetime | None = None


Condition = AnyOf | Within | Between


def conditions(filters: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """``{"company": "acme", "year": {"gte": 2020}, "page": [1, 2]}`` as conditions, all to hold.

    Bounds that are texts are dates: ``{"published": {"gte": "2024-01-01"}}``; a day begins at
    midnight UTC. Raises BadFilter.
    """
    return tuple(_condition(name, wanted) for name, wanted in (filters or {}).items())


def _condition(name: str, wanted: Any) -> Condition:
    parts = name.split(".")
    if not all(parts) or any(mark in name for mark in "[]\"'\\"):
        raise BadFilter(f"filter {name!r}: not a field's name; use the name as given at ingest")
    path = ".".join(part if _PLAIN.fullmatch(part) else f'"{part}"' for part in parts)
    field = name if name in OWN_FIELDS else f"metadata.{path}"
    match wanted:
        case dict() if _are_dates(wanted):
            return _between(name, field, wanted)
        case dict() if wanted and set(wanted) <= _BOUNDS:
            if not all(_is_number(bound) for bound in wanted.values()):
                raise BadFilter(f"filter {name!r}: bounds must be numbers, or all dates")
            return Within(field=field, **{bound: float(value) for bound, value in wanted.items()})
        case float():
            return Within(field=field, gte=wanted, lte=wanted)
        case bool():
            return AnyOf(field=f"flags.{path}", values=(int(wanted),))
        case str() | int():
            return AnyOf(field=field, values=(wanted,))
        case list() | tuple() if wanted and (
            all(isinstance(value, str) for value in wanted)
            or all(isinstance(value, int) and not isinstance(value, bool) for value in wanted)
        ):
            return AnyOf(field=field, values=tuple(wanted))
    raise BadFilter(
        f"filter {name!r}: give a text, a number, true or false, a list of texts or of whole"
        ' numbers, or bounds like {"gte": 1, "lt": 5}'
    )


def _are_dates(wanted: Mapping[str, Any]) -> bool:
    return (
        bool(wanted)
        and set(wanted) <= _BOUNDS
        and all(isinstance(bound, str) for bound in wanted.values())
    )


def _between(name: str, field: str, wanted: Mapping[str, str]) -> Condition:
    bounds: dict[str, datetime] = {}
    for bound, text in wanted.items():
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadFilter(
                f"filter {name!r}: {text[:50]!r} is no date; write 2024-05-31 or"
                " 2024-05-31T12:00:00Z"
            ) from None
        bounds[bound] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if field == "ingested_at":
        # Kept in Unix seconds.
        return Within(field=field, **{one: at.timestamp() for one, at in bounds.items()})
    return Between(field=field, **bounds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
