"""One span of a run's trace, and the ids that every process works out for itself."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = str | bool | int | float | list[str]

LOST = "lost"
"""Where a span has this as its error, nobody saw its end: its worker ended before it."""


@dataclass(slots=True, kw_only=True)
class Link:
    """A span that another one has to do with; ids in lower-case hex."""

    trace_id: str
    span_id: str
    why: str

    def to_json(self) -> dict[str, Any]:
        return {"trace_id": self.trace_id, "span_id": self.span_id, "why": self.why}


@dataclass(slots=True, kw_only=True)
class Span:
    """``start`` and ``end`` in seconds since the epoch; ``end`` is None while it is open.

    ``kind`` is OpenTelemetry's: internal, client, producer, consumer. ``error`` is a class of
    failure, empty where there is none.
    """

    span_id: str
    parent: str
    name: str
    start: float
    end: float | None = None
    kind: str = "internal"
    error: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The span as it is kept."""
        told: dict[str, Any] = {
            "id": self.span_id,
            "parent": self.parent,
            "name": self.name,
            "kind": self.kind,
            "start": self.start,
            "end": self.end,
            "error": self.error,
            "attributes": self.attributes,
        }
        if self.links:
            told["links"] = [one.to_json() for one in self.links]
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Span:
        """The reverse of ``to_json``."""
        return cls(
            span_id=told["id"],
            parent=told["parent"],
            name=told["name"],
            kind=told["kind"],
            start=told["start"],
            end=told["end"],
            error=told["error"],
            attributes=dict(told["attributes"]),
            links=[Link(**one) for one in told.get("links", ())],
        )


def trace_id_of(run_id: str) -> str:
    """The 128 bits of a run's id: its trace's id in every process."""
    try:
        return uuid.UUID(run_id).hex
    except ValueError:
        return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def known_id(run_id: str, *what: str | int) -> str:
    """The id of a span that others have to find without being told it."""
    name = ":".join([run_id, *map(str, what)])
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def root_id(run_id: str) -> str:
    """The span that all segments of a run are children of: that it was asked for."""
    return known_id(run_id, "run")


def segment_id(run_id: str, token: int) -> str:
    """The span of what one worker did of a run, from its claim on."""
    return known_id(run_id, "segment", token)


def new_id() -> str:
    """An id that nobody has to find."""
    return f"{random.getrandbits(64) or 1:016x}"
