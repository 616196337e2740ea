"""Spans on their way to a collector, by OpenTelemetry's SDK and its own variables.

Nothing is sent unless a standard variable says so. The SDK reads them itself, so that what its
documentation says of them holds: endpoint, headers, compression, sampler, resource, batches.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from server.telemetry import names
from server.telemetry.span import Span, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

CLOSE_SECONDS = 2.0
"""How long a stop waits for the last spans."""
_NOISY = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")
_HTTP = "http/protobuf"
_QUEUE = 2_048

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
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self.dropped = 0
        self._counting = _Counting(exporter)
        # Without the SDK's atexit hook, which would wait for a collector that is down.
        plain = TracerProvider(shutdown_on_exit=False)
        self._sampler = plain.sampler
        named = plain.resource.attributes.get(SERVICE_NAME, "")
        known = not str(named).startswith("unknown_service")
        self._resource = (
            plain.resource if known else plain.resource.merge(Resource({SERVICE_NAME: names.SCOPE}))
        )
        self._scope = InstrumentationScope(names.SCOPE, version or None)
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
        trace_id = int(trace_id_of(run_id), 16)
        if not self._sampled(trace_id):
            return
        for one in spans:
            if self._counting.waiting >= self._most:
                self.dropped += 1
                continue
            self._counting.waiting += 1
            self._processor.on_end(self._readable(trace_id, one))

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

    def _readable(self, trace_id: int, one: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        attributes: dict[str, Any] = dict(one.attributes)
        if one.error:
            attributes[names.ERROR] = one.error
        return ReadableSpan(
            name=one.name,
            context=_context(trace_id, one.span_id),
            parent=_context(trace_id, one.parent) if one.parent else None,
            resource=self._resource,
            attributes=attributes,
            links=[
                Link(_context(int(link.trace_id, 16), link.span_id), {names.LINK: link.why})
                for link in one.links
            ],
            kind=SpanKind[one.kind.upper()],
            status=Status(StatusCode.ERROR) if one.error else Status(StatusCode.UNSET),
            start_time=int(one.start * 1e9),
            end_time=int((one.end if one.end is not None else one.start) * 1e9),
            instrumentation_scope=self._scope,
        )


def opened(environ: Mapping[str, str], *, version: str = "") -> Exporting | None:
    """What sends spans; None where nothing asks for it. Raises OtlpError."""
    if not wanted(environ):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise OtlpError(
            "spans are to be sent (OTEL_EXPORTER_OTLP_ENDPOINT), and OpenTelemetry's exporter is "
            "not installed: pip install 'counterpoint[otel]'"
        ) from None
    return Exporting(OTLPSpanExporter(), version=version, most=_queue_size(environ))


class _Counting:
    """The exporter with a count of what it took, told in the log where that changes."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.sent = self.failed = self.waiting = 0
        self._exporter = exporter
        self._down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, the spans are lost
            result = SpanExportResult.FAILURE
        self.waiting -= len(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
            if self._down:
                _log.warning("spans are sent again; %d were lost", self.failed)
        else:
            self.failed += len(spans)
            if not self._down:
                _log.warning("the collector does not take spans; they are dropped until it does")
        self._down = result is not SpanExportResult.SUCCESS
        return result

    def give_up(self) -> None:
        _quietly(self._exporter.shutdown)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


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


def _context(trace_id: int, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        trace_id=trace_id,
        span_id=int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
