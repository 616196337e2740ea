"""What a user's graph does inside a run, as its callbacks tell it, and the spans of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from graphs.plain import plain
from server.telemetry.span import Span, Value

if TYPE_CHECKING:
    from server.telemetry.segment import Segment

Said = tuple[str, Any]
"""Content with the name that it has in a span, if it may be there at all."""
_NOTHING: Said = ("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A node, a call of a model, of a tool or of a retriever began, ``within`` another or none."""

    key: UUID
    within: UUID | None
    name: str
    kind: str = "internal"
    attributes: Mapping[str, Value]
    said: Said = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It is over; ``error`` is a class of failure, empty where there is none."""

    key: UUID
    error: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    said: Said = _NOTHING


def began(segment: Segment, event: Began, at: float) -> None:
    place = segment.inner.get(event.within) if event.within is not None else None
    made = segment.add(
        place or segment.root,
        event.name,
        start=at,
        kind=event.kind,
        attributes=dict(event.attributes),
    )
    _say(segment, made, event.said)
    segment.inner[event.key] = made


def ended(segment: Segment, event: Ended, at: float) -> None:
    made = segment.inner.pop(event.key, None)
    if made is None:
        return
    made.error = event.error
    made.attributes |= event.attributes
    _say(segment, made, event.said)
    segment.end(made, at)


def _say(segment: Segment, made: Span, said: Said) -> None:
    name, content = said
    if name and segment.content.on:
        segment.content.put(made.attributes, name, plain(content))
