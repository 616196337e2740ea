"""A worker's own small server: ``/metrics`` and ``/ok``, on a port that nobody else needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from server import auth, errors, serve
from server.routes import health, metrics
from server.serving import Serving
from server.settings import LOOPBACK, ConfigurationError, Settings


def check(settings: Settings) -> None:
    """Raises ConfigurationError where metrics would be open to others."""
    if settings.metrics_port is None or settings.metrics_host in LOOPBACK or settings.has_keys:
        return
    raise ConfigurationError(
        f"metrics_host: {settings.metrics_host} is open to others; set keys, one of them an "
        "operator's for Prometheus, or leave it at 127.0.0.1"
    )


def build(house: Serving) -> FastAPI:
    """The app of a worker's port. On loopback no key is asked for, whoever has one: nothing else is
    served there, so that nobody leads others to it."""
    settings = house.settings
    changed: dict[str, Any] = {"host": settings.metrics_host}
    if settings.metrics_host in LOOPBACK:
        changed |= {"api_key_sha256": frozenset(), "keys": ()}
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.serving = house
    app.include_router(health.router)
    app.include_router(metrics.router)
    errors.install(app)
    app.add_middleware(auth.Gate, settings=settings.model_copy(update=changed))
    return app


@asynccontextmanager
async def opened(house: Serving) -> AsyncIterator[str | None]:
    """The port, where there is one, and its URL. Raises ListenError."""
    settings = house.settings
    if settings.metrics_port is None:
        yield None
        return
    with serve.listening(settings.metrics_host, settings.metrics_port) as sock:
        async with serve.serving(build(house), sock=sock):
            yield serve.url_of(sock) + metrics.PATH
