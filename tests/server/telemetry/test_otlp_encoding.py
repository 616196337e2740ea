"""What our encoder writes is what OpenTelemetry's writes, and goes the way of its exporter."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from server.telemetry import otlp
from server.telemetry.otlp_encoding import Encoder, sender_of
from server.telemetry.otlp_readable import Readables
from server.telemetry.span import Link, Span

TRACE = bytes.fromhex("8b3f7c3e6c1b4b9f9a550c8f4a7b2d10")
RUN = "8b3f7c3e-6c1b-4b9f-9a55-0c8f4a7b2d10"
SPANS = [
    Span(
        span_id="0bf067aa0ba902b7",
        parent="00f067aa0ba902b7",
        name="execute_tool x",
        start=1_763_000_000.25,
        end=1_763_000_000.5,
        # Long enough that its length takes two bytes.
        attributes={"gen_ai.tool.name": "x" * 300},
    ),
    Span(span_id="00f067aa0ba902b7", parent="", name="create_run team", start=1.5, kind="producer"),
    Span(
        span_id="0af067aa0ba902b7",
        parent="00f067aa0ba902b7",
        name="chat é",
        start=1_763_000_000.123456,
        end=1_763_000_001.5,
        kind="client",
        error="Broken",
        # A number and a truth value that are equal stay what they are.
        attributes={"a": 1, "b": True, "c": 1.0, "d": "x", "e": ["y", "z"], "f": -3, "g": ""},
        links=[
            Link(
                trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
                span_id="00f067aa0ba902b8",
                why="caller",
            )
        ],
    ),
]


def test_a_body_is_the_one_that_opentelemetrys_own_encoder_makes() -> None:
    readables = Readables(TracerProvider(shutdown_on_exit=False), version="1.2")
    encoder = Encoder(readables)
    expected = encode_spans([readables.span(TRACE, one) for one in SPANS])
    for _ in range(2):
        found = ExportTraceServiceRequest.FromString(encoder.body([(TRACE, one) for one in SPANS]))
        assert found == expected


def test_the_installed_exporter_takes_a_body_that_is_encoded_already() -> None:
    assert sender_of(OTLPSpanExporter()) is not None


async def test_a_collector_gets_a_body_with_the_headers_of_the_standards_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[tuple[str, str | None, ExportTraceServiceRequest]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = ExportTraceServiceRequest.FromString(body)
            taken.append((self.path, self.headers["x-tenant"], told))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            place = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
            monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
            exporting = otlp.opened(dict(os.environ))
            assert exporting is not None
            exporting.export(RUN, SPANS)
            await asyncio.to_thread(exporting.flush)
            await exporting.aclose()
        finally:
            server.shutdown()
            thread.join()
    [(path, tenant, told)] = taken
    assert (path, tenant, exporting.sent, exporting.lost) == ("/v1/traces", "acme", 3, 0)
    [resource] = told.resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "mine"
    sent = [one.name for one in resource.scope_spans[0].spans]
    assert sent == ["execute_tool x", "create_run team", "chat é"]
