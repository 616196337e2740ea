"""A span as OpenTelemetry's SDK has it."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from server.telemetry import names
from server.telemetry.span import Span


class Readables:
    """Makes them, with the resource that the provider has from the standard's variables."""

    def __init__(self, provider: TracerProvider, *, version: str) -> None:
        named = provider.resource.attributes.get(SERVICE_NAME, "")
        known = not str(named).startswith("unknown_service")
        self._resource = (
            provider.resource
            if known
            else provider.resource.merge(Resource({SERVICE_NAME: names.SCOPE}))
        )
        self._scope = InstrumentationScope(names.SCOPE, version or None)

    def span(self, trace_id: bytes, one: Span) -> ReadableSpan:
        """An ended span of the trace with this id."""
        trace = int.from_bytes(trace_id)
        attributes: dict[str, Any] = dict(one.attributes)
        if one.error:
            attributes[names.ERROR] = one.error
        return ReadableSpan(
            name=one.name,
            context=context_of(trace, one.span_id),
            parent=context_of(trace, one.parent) if one.parent else None,
            resource=self._resource,
            attributes=attributes,
            links=[
                Link(context_of(int(link.trace_id, 16), link.span_id), {names.LINK: link.why})
                for link in one.links
            ],
            kind=SpanKind[one.kind.upper()],
            status=Status(StatusCode.ERROR) if one.error else Status(StatusCode.UNSET),
            start_time=int(one.start * 1e9),
            end_time=int((one.end if one.end is not None else one.start) * 1e9),
            instrumentation_scope=self._scope,
        )


def context_of(trace_id: int, span_id: str) -> SpanContext:
    """Where a span is, and that it is to be sent."""
    return SpanContext(
        trace_id=trace_id,
        span_id=int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
