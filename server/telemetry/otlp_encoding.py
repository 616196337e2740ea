"""Spans as the body of an OTLP request: what OpenTelemetry's encoder writes, at a quarter of its
cost. Resource, scope and pairs of name and value that come again are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace.export import SpanExporter

from server.telemetry import names
from server.telemetry.otlp_readable import Readables
from server.telemetry.span import Link, Span, Value

_PAIRS = 4_096
_KINDS = {
    kind: trace_pb2.Span.SpanKind.Value(f"SPAN_KIND_{kind.upper()}")
    for kind in ("internal", "client", "producer", "consumer")
}


def sender_of(exporter: SpanExporter) -> Callable[[bytes], bool] | None:
    """How a body that is encoded already gets to the collector, by the exporter's own endpoint,
    headers, certificates and retries. None where it has no such part, as in other versions.
    """
    send = getattr(getattr(exporter, "_client", None), "export", None)
    if send is None:
        return None
    return lambda body: bool(send(body).success)


class Encoder:
    """Takes from OpenTelemetry's own encoding of one span what is the same for all of them."""

    def __init__(self, readables: Readables) -> None:
        one = Span(span_id="1", parent="1", name="", start=0.0, end=0.0, error="_OTHER")
        one.links.append(Link(trace_id="1", span_id="1", why=""))
        self._empty = encode_spans([readables.span(b"1", one)])
        [self._resource] = self._empty.resource_spans
        [scope] = self._resource.scope_spans
        [span] = scope.spans
        [link] = span.links
        self._flags, self._link_flags = span.flags, link.flags
        self._failed, self._unset = trace_pb2.Status(code=span.status.code), trace_pb2.Status()
        scope.ClearField("spans")
        self._pair: Callable[[str, Any], KeyValue] = lru_cache(maxsize=_PAIRS, typed=True)(_pair)

    def body(self, spans: Sequence[tuple[bytes, Span]]) -> bytes:
        """Ended spans, each with the 16 bytes of its trace's id."""
        request = type(self._empty)()
        request.CopyFrom(self._empty)
        put = request.resource_spans[0].scope_spans[0].spans.add
        for trace_id, one in spans:
            put(
                trace_id=trace_id,
                span_id=bytes.fromhex(one.span_id),
                parent_span_id=bytes.fromhex(one.parent),
                name=one.name,
                kind=_KINDS[one.kind],
                start_time_unix_nano=int(one.start * 1e9),
                end_time_unix_nano=int((one.end if one.end is not None else one.start) * 1e9),
                attributes=self._pairs(one),
                links=[self._link(link) for link in one.links],
                status=self._failed if one.error else self._unset,
                flags=self._flags,
            )
        return bytes(request.SerializeToString())

    def _pairs(self, one: Span) -> list[KeyValue]:
        pair = self._pair
        found = [
            pair(name, tuple(value) if value.__class__ is list else value)
            for name, value in one.attributes.items()
        ]
        if one.error:
            found.append(pair(names.ERROR, one.error))
        return found

    def _link(self, link: Link) -> trace_pb2.Span.Link:
        return trace_pb2.Span.Link(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            attributes=[self._pair(names.LINK, link.why)],
            flags=self._link_flags,
        )


def _pair(name: str, value: Value | tuple[str, ...]) -> KeyValue:
    return KeyValue(key=name, value=_any(value))


def _any(value: Value | tuple[str, ...]) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[_any(one) for one in value]))
