"""Requests counted as they come in: how many, how soon answered, how many streams are open."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.telemetry import metric_names as names
from server.telemetry.metrics import OTHER, Metrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STREAM = b"text/event-stream"


class RequestCounter:
    """Counts by the route's template, never by its path; what no route answers is ``other``."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics, since = self._metrics, time.perf_counter()
        streams = False

        async def noted(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER
                route = _template(scope)
                took = time.perf_counter() - since
                metrics.observe(names.HTTP_SECONDS, took, method, route)
                metrics.add(names.HTTP_REQUESTS, 1.0, method, route, str(message["status"]))
                if _is_stream(message) and not streams:
                    streams = True
                    metrics.add(names.SSE_CLIENTS)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if streams:
                metrics.take(names.SSE_CLIENTS)


def _template(scope: Scope) -> str:
    route: Any = scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    return template if isinstance(template, str) and template else OTHER


def _is_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_STREAM)
        for name, value in message.get("headers", ())
    )
