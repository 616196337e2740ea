"""Whose trace a request belongs to: its ``traceparent``, or what instruments this process."""

from __future__ import annotations

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS = {b"traceparent", b"tracestate"}


class Origin:
    """Makes a caller's W3C Trace Context that of whatever its request brings about."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reader = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope.get("headers") or ()
            if name in _HEADERS
        }
        if "traceparent" not in given:
            await self._app(scope, receive, send)
            return
        token = context.attach(self._reader.extract(given))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)


def caller() -> str:
    """The span that this code runs in, as a ``traceparent``; empty where there is none."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return ""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
