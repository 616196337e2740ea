"""What is opened, put under the metrics of its process."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agents import roster
from graphs.keys import DEFAULT_TENANT
from graphs.team import TEAM
from models.chat import ChatModel
from models.embedder import Embedder
from models.registry import Role
from models.remembering import RememberingEmbedder
from server.settings import Settings
from server.telemetry import metric_names as names
from server.telemetry.measured_knowledge import MeasuredKnowledge
from server.telemetry.measured_sandbox import MeasuredSandbox
from server.telemetry.metrics import Counts, Metrics
from server.telemetry.metrics_heard import MetricsListener
from tools.retrieval.knowledge import Knowledge
from tools.retrieval.remote_knowledge import RemoteKnowledge
from tools.sandbox.bubblewrap import BubblewrapSandbox
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import Sandbox


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


def listener(
    metrics: Metrics,
    settings: Settings,
    *,
    models: Mapping[Role, ChatModel],
    tools: Collection[str],
    agents: Collection[str],
) -> MetricsListener:
    """What counts the runs of this process; what is not configured has no name of its own."""
    tenants = {DEFAULT_TENANT, *(key.tenant for key in settings.keys)}
    return MetricsListener(
        metrics,
        models={*settings.models, *(model.name for model in models.values())},
        tools=tools,
        agents={TEAM, *roster.voices(), *agents},
        tenants=tenants if settings.metrics_tenants else (),
    )
