"""Every metric by name: what it counts, its unit, and the labels that it may have.

Names are forever: dashboards and alerts of others stand on them. Labels are bounded: their values
come from the configuration or from this code, never from a run, a thread, a user or a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "counterpoint_"

# Seconds. A step on a small machine's own model takes minutes, a search milliseconds.
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
LONGEST = (*LONG, 1_800.0, 3_600.0)
SPEED = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
SHARE = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
DOLLARS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Kind(StrEnum):
    """A type of Prometheus's."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Where(StrEnum):
    """Which process tells it."""

    WORKER = "worker"
    """Where runs are worked on."""
    API = "API"
    """Where requests come in."""
    EACH = "each"
    SHARED = "each, the same"
    """Read from Redis at each scrape: take the ``max`` over processes, not the sum."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. ``buckets`` are a histogram's upper bounds, in its unit."""

    name: str
    kind: Kind
    help: str
    where: Where
    labels: tuple[str, ...] = ()
    buckets: Sequence[float] = ()


def _counter(name: str, text: str, *labels: str, where: Where = Where.WORKER) -> Metric:
    return Metric(name=PREFIX + name, kind=Kind.COUNTER, help=text, where=where, labels=labels)


def _gauge(name: str, text: str, *labels: str, where: Where = Where.SHARED) -> Metric:
    return Metric(name=PREFIX + name, kind=Kind.GAUGE, help=text, where=where, labels=labels)


def _histogram(
    name: str, text: str, *labels: str, buckets: Sequence[float], where: Where = Where.WORKER
) -> Metric:
    return Metric(
        name=PREFIX + name,
        kind=Kind.HISTOGRAM,
        help=text,
        where=where,
        labels=labels,
        buckets=buckets,
    )


# Runs
RUNS = _counter(
    "runs_total", "Runs that came to an end or a pause here, by state", "agent", "status", "tenant"
)
RUN_FAILURES = _counter("run_failures_total", "Runs that failed, by class of failure", "error")
RUN_SECONDS = _histogram(
    "run_seconds", "From the request to the end, waiting included", "agent", buckets=LONGEST
)
RUN_ACTIVE_SECONDS = _histogram(
    "run_active_seconds", "Time that a run was worked on, up to its end", "agent", buckets=LONGEST
)
RUN_QUEUE_SECONDS = _histogram(
    "run_queue_seconds", "From when a run could begin to its first attempt", buckets=LONGEST
)
RUN_COST = _histogram("run_cost_dollars", "US dollars of one run", "agent", buckets=DOLLARS)
RUNS_ACTIVE = _gauge("runs_active", "Runs being worked on here", where=Where.WORKER)
REDELIVERIES = _counter("run_redeliveries_total", "Attempts at a run beyond its first")
RUNS_GIVEN_UP = _counter("runs_given_up_total", "Runs whose attempts were spent (dead letters)")
RUNS_FENCED = _counter(
    "runs_fenced_total",
    "Attempts that had to stop, as another worker has the run: writes of theirs were refused",
)
RUNS_GIVEN_BACK = _counter("runs_given_back_total", "Attempts given back unfinished")

# Agents, steps, tools
AGENT_SECONDS = _histogram("agent_seconds", "One task of one agent", "agent", buckets=LONG)
STEP_SECONDS = _histogram(
    "step_seconds", "One step: a thought with its retries, or a tool call", "kind", buckets=LONG
)
TOOL_SECONDS = _histogram("tool_seconds", "One tool call", "tool", "ok", buckets=LONG)
TOOL_REFUSALS = _counter(
    "tool_refusals_total", "Calls that the policy, a person or nobody in time refused", "tool"
)
LOOPS = _counter("agent_loops_total", "Agents found going round in circles", "stopped")
SUSPICIOUS = _counter(
    "suspicious_documents_total", "Texts that try to instruct, by the tool that read them", "tool"
)

# Models
MODEL_SECONDS = _histogram(
    "model_seconds", "One attempt at a model's provider", "model", "ok", buckets=LONG
)
MODEL_FAILURES = _counter(
    "model_failures_total", "Attempts that failed, by class of failure", "model", "error"
)
FIRST_TOKEN_SECONDS = _histogram(
    "model_first_token_seconds", "From the request to the reply's first piece", "model",
    buckets=LONG,
)  # fmt: skip
TOKENS_PER_SECOND = _histogram(
    "model_output_tokens_per_second",
    "Tokens a second of one reply, from its first piece on",
    "model",
    buckets=SPEED,
)
ENDPOINT_ALONE = _gauge(
    "model_endpoint_left_alone", "1 while its circuit breaker is open or half-open", "model",
    "endpoint", where=Where.WORKER,
)  # fmt: skip
ENDPOINT_IN_FLIGHT = _gauge(
    "model_endpoint_in_flight", "Calls under way there", "model", "endpoint", where=Where.WORKER
)
ENDPOINT_FAILURES = _counter(
    "model_endpoint_failures_total", "Failures that speak against it", "model", "endpoint", "kind"
)
CALLS_WAITING = _gauge(
    "model_calls_waiting", "Calls that wait for room at an endpoint", "model", where=Where.WORKER
)
FALLBACKS = _counter(
    "model_fallbacks_total", "Replies that another model gave in its place", "model", "other"
)
TOKENS = _counter("model_tokens_total", "Tokens, in and out", "model", "direction", "tenant")
COST = _counter("model_cost_dollars_total", "US dollars", "model", "tenant")
PREFIX_TOKENS = _counter(
    "model_prefix_tokens_total",
    "Tokens in, cached by the provider or new, where it says which",
    "model",
    "cached",
)

# Answers
ANSWERS = _counter(
    "answers_total", "Answers, by why the run stopped and whether they have sources", "reason",
    "sources",
)  # fmt: skip
UNSUPPORTED = _histogram(
    "answer_unsupported_share", "Share of an answer that its sources do not support",
    buckets=SHARE,
)  # fmt: skip
VERDICTS = _counter("critic_verdicts_total", "Drafts that the critic judged", "supported")
LIMIT_STOPS = _counter("limit_stops_total", "Runs that a limit or a budget ended", "limit")
LIMIT_WARNINGS = _counter("limit_warnings_total", "Runs that used most of a limit", "limit")

# Approvals
APPROVALS_REQUESTED = _counter("approvals_requested_total", "Calls that a person is asked", "tool")
APPROVALS_DECIDED = _counter("approvals_decided_total", "Decisions that reached their run", "kind")
APPROVALS_PENDING = _gauge("approvals_pending", "Calls that wait for a person")
APPROVALS_OLDEST = _gauge("approvals_oldest_seconds", "How long the oldest of them has waited")

# The queue, as it stands in Redis
QUEUE_DEPTH = _gauge("queue_depth", "Runs that could begin and wait for a worker")
QUEUE_OLDEST = _gauge("queue_oldest_seconds", "How long the oldest of them has waited")
QUEUE_RUNNING = _gauge("queue_running", "Runs that some worker holds")
QUEUE_DUE = _gauge("queue_delayed", "Runs that begin later")
QUEUE_PARKED = _gauge("queue_parked", "Runs that only a newer worker understands")
DEAD_LETTERS = _gauge("dead_letters", "Runs that were given up and are kept")
WORKERS = _gauge("workers", "Workers that are alive")
WORKER_SLOTS = _gauge("worker_slots", "Runs that all workers together take at a time")
WEBHOOKS_OWED = _gauge("webhooks_owed", "Webhooks that are still to be delivered")
REDIS_UP = _gauge("redis_up", "Whether Redis answered this scrape (1 or 0)", where=Where.EACH)
REDIS_SECONDS = _gauge("redis_seconds", "How long its answer took", where=Where.EACH)
REDIS_MEMORY = _gauge("redis_memory_bytes", "What Redis holds in memory")

# Documents
SEARCH_SECONDS = _histogram("search_seconds", "One search", where=Where.EACH, buckets=SHORT)
STAGE_SECONDS = _histogram(
    "search_stage_seconds", "One stage of a search", "stage", where=Where.EACH, buckets=SHORT
)
SEARCHES_EMPTY = _counter("searches_empty_total", "Searches without a hit", where=Where.EACH)
INGESTS = _counter("ingests_total", "Documents put in, by what came of it", "status",
                   where=Where.EACH)  # fmt: skip
INGEST_SECONDS = _histogram("ingest_seconds", "One document", where=Where.EACH, buckets=LONG)
PASSAGES = _counter("ingest_passages_total", "Passages of those documents", where=Where.EACH)
CACHE = _counter(
    "cache_requests_total", "Lookups, by cache and result (hit or miss)", "cache", "result",
    where=Where.EACH,
)  # fmt: skip

# Code
SANDBOX_STARTS = _counter(
    "sandbox_starts_total", "Kernels handed out: warm (there already) or cold", "how"
)
SANDBOX_RUNS = _counter(
    "sandbox_executions_total",
    "Executions, by outcome: timed_out, out_of_memory and killed are those that were stopped",
    "outcome",
)
SANDBOX_SECONDS = _histogram("sandbox_seconds", "One execution", buckets=LONG)
SANDBOX_READY = _gauge("sandbox_kernels_ready", "Kernels that are warm", where=Where.WORKER)

# Checkpoints
CHECKPOINTS = _counter("checkpoints_total", "Checkpoints stored")
CHECKPOINT_BYTES = _counter("checkpoint_bytes_total", "Bytes sent to store them")

# The process
HTTP_SECONDS = _histogram(
    "http_request_seconds", "Up to the first byte of the answer", "method", "route",
    where=Where.API, buckets=SHORT,
)  # fmt: skip
HTTP_REQUESTS = _counter(
    "http_requests_total", "Requests, by route and status", "method", "route", "status",
    where=Where.API,
)  # fmt: skip
SSE_CLIENTS = _gauge("sse_clients", "Event streams that are open", where=Where.API)
LOOP_LAG = _histogram(
    "event_loop_lag_seconds", "How much later than asked the event loop woke", where=Where.EACH,
    buckets=SHORT,
)  # fmt: skip
BUILD = _gauge("build_info", "1, with the version and the part", "version", "part",
               where=Where.EACH)  # fmt: skip

ALL: tuple[Metric, ...] = tuple(one for one in dict(globals()).values() if isinstance(one, Metric))
"""All of them, in the order above."""

OF_REDIS: tuple[Metric, ...] = (
    *(one for one in ALL if one.where is Where.SHARED),
    REDIS_UP,
    REDIS_SECONDS,
)
"""Those that a scrape reads from Redis."""
