"""Tracing as the settings and OpenTelemetry's own variables want it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version

from redis.asyncio import Redis

from graphs.keys import Keys
from server.settings import ConfigurationError, Settings, environment
from server.telemetry import otlp
from server.telemetry.kept import RedisTraces
from server.telemetry.tracing import Tracing


@asynccontextmanager
async def opened(
    settings: Settings, redis: Redis, keys: Keys, tools: Collection[str]
) -> AsyncIterator[Tracing]:
    """Traces of this process; ``tools`` are names that may be told. Raises ConfigurationError."""
    try:
        # The SDK reads its variables itself: they are the standard's, not ours.
        exporting = otlp.opened(environment(), version=version("counterpoint"))
    except otlp.OtlpError as error:
        raise ConfigurationError(str(error)) from error
    bounds = settings.trace_bounds()
    kept = RedisTraces(redis, keys, bounds=bounds) if bounds.traces else None
    async with Tracing(
        kept=kept, exporting=exporting, tools=tools, content=settings.trace_content
    ) as tracing:
        yield tracing
