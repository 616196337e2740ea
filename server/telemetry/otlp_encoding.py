"""Spans as the body of an OTLP request: what OpenTelemetry's encoder writes, at an eighth of
its cost. Resource, scope and pairs of name and value that come again are made once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace.export import SpanExporter

from server.telemetry import names
from server.telemetry.otlp_readable import Readables
from server.telemetry.span import Link, Span, Value

_PAIRS = 4_096
# An id of 8 bytes, another one, and two times, each with its field's tag before it.
_CHILD = struct.Struct("<BB8sBB8sBQBQ")
_BYTES, _FIXED64 = 2, 1
_ID = trace_pb2.Span.SPAN_ID_FIELD_NUMBER << 3 | _BYTES
_PARENT = trace_pb2.Span.PARENT_SPAN_ID_FIELD_NUMBER << 3 | _BYTES
_START = trace_pb2.Span.START_TIME_UNIX_NANO_FIELD_NUMBER << 3 | _FIXED64
_END = trace_pb2.Span.END_TIME_UNIX_NANO_FIELD_NUMBER << 3 | _FIXED64
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
    """Takes from OpenTelemetry's own encoding of one span what is the same for all of them.

    The encodings of two messages of one kind, one behind the other, are that of both merged
    (protobuf's own rule): a span is put together of pieces, most of which were there before.
    """

    def __init__(self, readables: Readables) -> None:
        one = Span(span_id="1", parent="1", name="", start=0.0, end=0.0, error="_OTHER")
        one.links.append(Link(trace_id="1", span_id="1", why=""))
        [resource] = encode_spans([readables.span(b"1", one)]).resource_spans
        [scope] = resource.scope_spans
        [span] = scope.spans
        [link] = span.links
        self._flags, self._link_flags = span.flags, link.flags
        self._failed, self._unset = trace_pb2.Status(code=span.status.code), trace_pb2.Status()
        scope.ClearField("spans")
        self._scope = bytes(scope.SerializeToString())
        resource.ClearField("scope_spans")
        self._resource = bytes(resource.SerializeToString())
        remembered = lru_cache(maxsize=_PAIRS, typed=True)
        self._pair: Callable[[str, Any], bytes] = remembered(_pair)
        self._trace: Callable[[bytes], bytes] = remembered(_trace)
        self._kind: Callable[[str, str, bool], bytes] = remembered(self._named)

    def body(self, spans: Sequence[tuple[bytes, Span]]) -> bytes:
        """Ended spans, each with the 16 bytes of its trace's id."""
        made = [self._scope]
        for trace_id, one in spans:
            named = self._kind(one.name, one.kind, bool(one.error))
            span = b"".join([self._trace(trace_id), self._own(one), named, *self._pairs(one)])
            made += (_head(trace_pb2.ScopeSpans.SPANS_FIELD_NUMBER, len(span)), span)
        scope = b"".join(made)
        inner = _head(trace_pb2.ResourceSpans.SCOPE_SPANS_FIELD_NUMBER, len(scope))
        resource = b"".join([self._resource, inner, scope])
        outer = ExportTraceServiceRequest.RESOURCE_SPANS_FIELD_NUMBER
        return _head(outer, len(resource)) + resource

    def _own(self, one: Span) -> bytes:
        """What no other span has: its place, its times and its links."""
        own, parent = bytes.fromhex(one.span_id), bytes.fromhex(one.parent)
        start = int(one.start * 1e9)
        end = int(one.end * 1e9) if one.end is not None else start
        if parent and not one.links:
            # By hand where there are many; the others by protobuf's own means.
            return _CHILD.pack(*(_ID, 8), own, *(_PARENT, 8), parent, _START, start, _END, end)
        made = trace_pb2.Span(
            span_id=own, parent_span_id=parent, start_time_unix_nano=start, end_time_unix_nano=end
        )
        for link in one.links:
            made.links.add(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                attributes=[KeyValue(key=names.LINK, value=_any(link.why))],
                flags=self._link_flags,
            )
        return bytes(made.SerializeToString())

    def _named(self, name: str, kind: str, failed: bool) -> bytes:  # noqa: FBT001 - remembered
        made = trace_pb2.Span(
            name=name,
            kind=_KINDS[kind],
            status=self._failed if failed else self._unset,
            flags=self._flags,
        )
        return bytes(made.SerializeToString())

    def _pairs(self, one: Span) -> list[bytes]:
        pair = self._pair
        found = [
            pair(name, tuple(value) if value.__class__ is list else value)
            for name, value in one.attributes.items()
        ]
        if one.error:
            found.append(pair(names.ERROR, one.error))
        return found


def _head(field: int, length: int) -> bytes:
    """What stands before a message that is field number ``field`` of another one."""
    head = bytearray([field << 3 | _BYTES])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)


def _trace(trace_id: bytes) -> bytes:
    return bytes(trace_pb2.Span(trace_id=trace_id).SerializeToString())


def _pair(name: str, value: Value | tuple[str, ...]) -> bytes:
    pair = KeyValue(key=name, value=_any(value))
    return bytes(trace_pb2.Span(attributes=[pair]).SerializeToString())


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
