"""What is opened, put under the metrics of its process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from agents import roster
from graphs.keys import DEFAULT_TENANT, Keys
from graphs.team import TEAM
from models.breaker import State
from models.chat import ChatModel
from models.embedder import Embedder
from models.pool import EndpointStatus
from models.registry import Role
from models.remembering import RememberingEmbedder
from server.model_routing import Routing
from server.routes.health import version
from server.runs.asked import FRONTEND
from server.settings import Settings
from server.telemetry import metric_names as names
from server.telemetry import metrics_redis, span
from server.telemetry.hearing import Listeners
from server.telemetry.log_context import LogContext
from server.telemetry.measured_knowledge import MeasuredKnowledge
from server.telemetry.measured_sandbox import MeasuredSandbox
from server.telemetry.metrics import Counts, Metrics
from server.telemetry.metrics_heard import MetricsListener
from server.telemetry.scrape import Scrape, lag_watched
from tools.retrieval.knowledge import Knowledge
from tools.retrieval.remote_knowledge import RemoteKnowledge
from tools.sandbox.bubblewrap import BubblewrapSandbox
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import Sandbox


@asynccontextmanager
async def opened(part: str) -> AsyncIterator[Metrics]:
    """The metrics of this process, which is a ``part`` of Counterpoint."""
    metrics = Metrics()
    metrics.set(names.BUILD, 1.0, version("counterpoint"), part)
    async with lag_watched(metrics):
        yield metrics


def scrape(metrics: Metrics, redis: Redis, keys: Keys) -> Scrape:
    """What Prometheus is told: them, and what Redis holds."""
    return Scrape(metrics, metrics_redis.watch(metrics, redis, keys))


def knowledge(found: Knowledge, metrics: Metrics, *, embedder: Embedder | None) -> Knowledge:
    """The documents, measured, unless another process has them: that one counts."""
    if isinstance(found, RemoteKnowledge):
        return found
    if isinstance(embedder, RememberingEmbedder):

        def lookups() -> Counts:
            assert isinstance(embedder, RememberingEmbedder)
            hits, misses = float(embedder.hits), float(embedder.misses)
            return {("query_vectors", "hit"): hits, ("query_vectors", "miss"): misses}

        metrics.read(names.CACHE, lookups)
    return MeasuredKnowledge(found, metrics)


def sandbox(found: Sandbox | Unavailable, metrics: Metrics) -> Sandbox | Unavailable:
    """The sandbox, measured."""
    if isinstance(found, Unavailable):
        return found
    if isinstance(found, BubblewrapSandbox):

        def taken() -> Counts:
            warm, cold = found.taken
            return {("warm",): float(warm), ("cold",): float(cold)}

        metrics.read(names.SANDBOX_STARTS, taken)
        metrics.read(names.SANDBOX_READY, lambda: {(): float(found.ready)})
    return MeasuredSandbox(found, metrics)


def endpoints(routing: Routing, metrics: Metrics) -> None:
    """How models' endpoints get on, read when Prometheus asks."""

    def each(value: Callable[[EndpointStatus], float]) -> Counts:
        return {(model, one.endpoint): value(one) for model, one in routing.endpoints()}

    def failures() -> Counts:
        return {
            (model, one.endpoint, kind.value): float(count)
            for model, one in routing.endpoints()
            for kind, count in one.failures.items()
        }

    def fallbacks() -> Counts:
        return {
            (found.model, other): float(count)
            for found in routing.status()
            for other, count in found.fallbacks.items()
        }

    metrics.read(
        names.ENDPOINT_ALONE, lambda: each(lambda one: float(one.state is not State.CLOSED))
    )
    metrics.read(names.ENDPOINT_IN_FLIGHT, lambda: each(lambda one: float(one.in_flight)))
    metrics.read(names.ENDPOINT_FAILURES, failures)
    metrics.read(
        names.CALLS_WAITING,
        lambda: {(one.model,): float(one.pool.waiting) for one in routing.status() if one.pool},
    )
    metrics.read(names.FALLBACKS, fallbacks)


def listener(
    metrics: Metrics,
    settings: Settings,
    *,
    models: Mapping[Role, ChatModel],
    tools: Collection[str],
    agents: Collection[str],
) -> Listeners:
    """What counts the runs of this process, where what is not configured has no name of its own,
    and what puts their ids on the lines of the log."""
    tenants = {DEFAULT_TENANT, *(key.tenant for key in settings.keys)}
    counting = MetricsListener(
        metrics,
        models={*settings.models, *(model.name for model in models.values())},
        tools=tools,
        agents={TEAM, FRONTEND, *roster.voices(), *agents},
        tenants=tenants if settings.metrics_tenants else (),
    )
    return Listeners((LogContext(span.trace_id_of), counting))
