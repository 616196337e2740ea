"""A run's trace as callers get it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from server.runs.record import RunRecord
from server.telemetry import span, tracing
from server.telemetry.kept import Trace


class TraceLink(BaseModel):
    """Another span that one has to do with: of the caller, of the segment before, of a request."""

    trace_id: str
    span_id: str
    why: str


class TraceSpan(BaseModel):
    """`start` and `end` in seconds since the epoch; one that has not ended has no `end`.

    `error` is a class of failure, empty where there is none.
    """

    id: str
    parent: str = Field(description="the span that it is part of; empty for the first one")
    name: str
    kind: str = Field(description="internal, client, producer or consumer")
    start: float
    end: float | None
    error: str
    attributes: dict[str, Any]
    links: list[TraceLink] = Field(default_factory=list)


class RunTrace(BaseModel):
    """All spans that are kept of a run, by their begin."""

    run_id: str
    trace_id: str = Field(description="the same in every other system")
    status: str
    spans: list[TraceSpan]
    left_out: int = Field(description="batches of spans that found no room")


def shown(record: RunRecord, trace: Trace) -> RunTrace:
    """A trace with its root, which the run's record knows."""
    since = record.created_at.timestamp() if record.created_at else 0.0
    root = tracing.created_span(record, since=since, until=since)
    return RunTrace(
        run_id=record.run_id,
        trace_id=span.trace_id_of(record.run_id),
        status=record.status.value,
        spans=[TraceSpan.model_validate(one.to_json()) for one in (root, *trace.spans)],
        left_out=trace.left_out,
    )
