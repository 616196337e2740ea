"""Spans on their way to a collector, by OpenTelemetry's SDK and its own variables.

Nothing is sent unless a standard variable says so. The SDK reads them itself, so that what its
documentation says of them holds: endpoint, headers, compression, sampler, resource, batches.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from server.telemetry import names
from server.telemetry.span import Span, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from server.telemetry.otlp_readable import Readables

CLOSE_SECONDS = 2.0
"""How long a stop waits for the last spans."""
_NOISY = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")
_HTTP = "http/protobuf"
_QUEUE = 2_048

_Send = Callable[[Sequence[tuple[bytes, Span]]], bool]

_log = logging.getLogger(__name__)


class OtlpError(Exception):
    """Spans are to be sent and cannot be; the message says the variable and the remedy."""


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for spans to be sent. Raises OtlpError."""
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    chosen = given.get("OTEL_TRACES_EXPORTER")
    if chosen is None:
        places = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        asked = any(name in given for name in places)
    elif chosen in {"otlp", "none"}:
        asked = chosen == "otlp"
    else:
        raise OtlpError(f"OTEL_TRACES_EXPORTER: {chosen!r} is not known; set otlp or none")
    if not asked:
        return False
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if name in given:
            if given[name] != _HTTP:
                raise OtlpError(f"{name}: only {_HTTP} is spoken, to port 4318 of a collector")
            break
    return True


class Exporting:
    """Sends spans in the background; a collector that is down or slow costs spans, nothing else.

    ``sent`` and ``dropped`` count spans, of which ``most`` may wait. Close it with ``aclose``.
    """

    def __init__(self, exporter: SpanExporter, *, version: str = "", most: int = _QUEUE) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from server.telemetry.otlp_readable import Readables, context_of

        self.dropped = 0
        # Without the SDK's atexit hook, which would wait for a collector that is down.
        plain = TracerProvider(shutdown_on_exit=False)
        self._sampler = plain.sampler
        self._counting = _Counting(exporter, Readables(plain, version=version))
        # All that the processor looks at: it is to be sent.
        self._context = context_of(1, "1")
        self._processor: Any = BatchSpanProcessor(cast("SpanExporter", self._counting))
        self._most = most
        self._quiet = _Quiet()
        for name in _NOISY:
            for logger in _loggers(name):
                logger.addFilter(self._quiet)

    @property
    def sent(self) -> int:
        return self._counting.sent

    @property
    def lost(self) -> int:
        """Spans that were dropped, before or after they were tried to be sent."""
        return self.dropped + self._counting.failed

    def export(self, run_id: str, spans: Sequence[Span]) -> None:
        """Take a run's ended spans; never waits. A full queue drops what is new."""
        trace_id = bytes.fromhex(trace_id_of(run_id))
        if not self._sampled(int.from_bytes(trace_id)):
            return
        for one in spans:
            if self._counting.waiting >= self._most:
                self.dropped += 1
                continue
            self._counting.waiting += 1
            self._processor.on_end(_Waiting(self._context, trace_id, one))

    def flush(self) -> None:
        """Send what waits, and wait for that."""
        self._processor.force_flush()

    async def aclose(self) -> None:
        """Send what waits, for ``CLOSE_SECONDS`` at most."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._processor.shutdown()
            loop.call_soon_threadsafe(done.set)

        # A daemon: no exit waits for a collector.
        threading.Thread(target=_quietly, args=(end,), daemon=True, name="otlp close").start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            self._counting.give_up()
            _log.warning("the last spans were not sent: the collector did not take them in time")
        for name in _NOISY:
            for logger in _loggers(name):
                logger.removeFilter(self._quiet)

    def _sampled(self, trace_id: int) -> bool:
        from opentelemetry.sdk.trace.sampling import Decision

        found = self._sampler.should_sample(None, trace_id, names.SCOPE)
        return found.decision is Decision.RECORD_AND_SAMPLE


def opened(environ: Mapping[str, str], *, version: str = "") -> Exporting | None:
    """What sends spans; None where nothing asks for it. Raises OtlpError."""
    if not wanted(environ):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise OtlpError(
            "spans are to be sent (OTEL_EXPORTER_OTLP_ENDPOINT), and OpenTelemetry's exporter is "
            "not installed: .venv/bin/pip install -c constraints.txt -e '.[otel]' in "
            "Counterpoint's folder"
        ) from None
    return Exporting(OTLPSpanExporter(), version=version, most=_queue_size(environ))


class _Waiting:
    """A span in the processor's queue, which is made ready to be sent once it is taken out."""

    __slots__ = ("context", "of")

    def __init__(self, context: Any, trace_id: bytes, one: Span) -> None:
        self.context = context
        self.of = trace_id, one


class _Counting:
    """The exporter with a count of what it took, told in the log where that changes."""

    def __init__(self, exporter: SpanExporter, readables: Readables) -> None:
        self.sent = self.failed = self.waiting = 0
        self._exporter = exporter
        self._send = _sending(exporter, readables)
        self._down = False

    def export(self, spans: Sequence[_Waiting]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            done = self._send([one.of for one in spans])
        except Exception:  # noqa: BLE001 - whatever it is, the spans are lost
            done = False
        self.waiting -= len(spans)
        if done:
            self.sent += len(spans)
            if self._down:
                _log.warning("spans are sent again; %d were lost", self.failed)
        else:
            self.failed += len(spans)
            if not self._down:
                _log.warning("the collector does not take spans; they are dropped until it does")
        self._down = not done
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE

    def give_up(self) -> None:
        _quietly(self._exporter.shutdown)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _sending(exporter: SpanExporter, readables: Readables) -> _Send:
    """By our encoder where the exporter takes a body, else by its own."""
    from opentelemetry.sdk.trace.export import SpanExportResult

    from server.telemetry.otlp_encoding import Encoder, sender_of

    if (send := sender_of(exporter)) is not None:
        encoder = Encoder(readables)
        return lambda spans: send(encoder.body(spans))
    return lambda spans: (
        exporter.export([readables.span(*one) for one in spans]) is SpanExportResult.SUCCESS
    )


class _Quiet(logging.Filter):
    """The SDK's own words about each failure stay out: ours say when it begins and ends."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return False


def _loggers(name: str) -> list[logging.Logger]:
    known = list(logging.Logger.manager.loggerDict)
    return [logging.getLogger(one) for one in {name, *known} if one == name or one.startswith(name)]


def _quietly(work: Any) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the process ends
        _log.debug("closing the export of spans: %r", error)


def _queue_size(environ: Mapping[str, str]) -> int:
    try:
        return int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE))
    except ValueError:
        return _QUEUE
