"""Spans are sent where the standard's variables say so; a collector that is down costs nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server.telemetry import otlp
from server.telemetry.span import Span, new_id

RUN = "8b3f7c3e-6c1b-4b9f-9a55-0c8f4a7b2d10"


def spans(number: int) -> list[Span]:
    now = time.time()
    return [
        Span(span_id=new_id(), parent="", name="s", start=now, end=now, error="Broken")
        for _ in range(number)
    ]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
    ],
)
def test_the_standards_variables_say_whether_spans_are_sent(
    given: dict[str, str], *, asked: bool
) -> None:
    assert otlp.wanted(given) == asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin'"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf",
        ),
    ],
)
def test_what_is_not_spoken_is_said_with_its_variable(given: dict[str, str], words: str) -> None:
    with pytest.raises(otlp.OtlpError, match=words):
        otlp.wanted(given)


async def test_a_collector_that_is_down_costs_spans_and_neither_time_nor_a_flood_of_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.2)
    exporting = otlp.opened(dict(os.environ))
    assert exporting is not None
    with caplog.at_level(logging.DEBUG, logger="opentelemetry"):
        for _ in range(50):
            exporting.export(RUN, spans(5))
        assert exporting.dropped >= 250 - 20 - 10
        await exporting.aclose()
    assert exporting.sent == 0
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) <= 3
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry.exporter")]


class Stuck(InMemorySpanExporter):
    """A collector that takes spans and never says so."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def shutdown(self) -> None:
        self.let_go.set()

    def export(self, spans: object) -> object:  # type: ignore[override]
        self.let_go.wait(30)
        return super().export(spans)  # type: ignore[arg-type]


async def test_a_stop_does_not_wait_for_a_collector_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.05)
    stuck = Stuck()
    exporting = otlp.Exporting(stuck)
    exporting.export(RUN, spans(3))
    async with asyncio.timeout(25):
        await exporting.aclose()
    assert stuck.let_go.is_set()


async def test_a_sampler_of_the_standard_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    kept = InMemorySpanExporter()
    exporting = otlp.Exporting(kept)
    exporting.export(RUN, spans(3))
    await exporting.aclose()
    assert kept.get_finished_spans() == ()
    assert exporting.lost == 0


async def test_a_span_is_sent_with_its_ids_its_error_and_the_services_name() -> None:
    kept = InMemorySpanExporter()
    exporting = otlp.Exporting(kept, version="1.2")
    [one] = spans(1)
    exporting.export(RUN, [one])
    await exporting.aclose()
    [sent] = kept.get_finished_spans()
    assert f"{sent.context.trace_id:032x}" == RUN.replace("-", "")
    assert f"{sent.context.span_id:016x}" == one.span_id
    assert sent.attributes == {"error.type": "Broken"}
    assert sent.resource.attributes["service.name"] == "counterpoint"
