"""What vLLM tells of itself under ``/metrics``, read from Prometheus text. Pure: no IO.

Names have changed between versions; each figure is looked for under all the names it has had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_PREFIX = "vllm:"
_RUNNING = ("num_requests_running",)
_WAITING = ("num_requests_waiting",)
_KV_CACHE = ("kv_cache_usage_perc", "gpu_cache_usage_perc")
_PREFIX_HITS = ("prefix_cache_hits", "gpu_prefix_cache_hits")
_PREFIX_QUERIES = ("prefix_cache_queries", "gpu_prefix_cache_queries")
_PROMPT_TOKENS = ("prompt_tokens",)
_GENERATION_TOKENS = ("generation_tokens",)
_PREEMPTIONS = ("num_preemptions",)
_FIRST_TOKEN = ("time_to_first_token_seconds",)
_INTER_TOKEN = ("inter_token_latency_seconds", "time_per_output_token_seconds")
_END_TO_END = ("e2e_request_latency_seconds",)
_QUEUE_TIME = ("request_queue_time_seconds",)
_GAUGES = {*_RUNNING, *_WAITING, *_KV_CACHE}
_COUNTERS = {*_PREFIX_HITS, *_PREFIX_QUERIES, *_PROMPT_TOKENS, *_GENERATION_TOKENS, *_PREEMPTIONS}
_HISTOGRAMS = {*_FIRST_TOKEN, *_INTER_TOKEN, *_END_TO_END, *_QUEUE_TIME}
_WANTED = frozenset(
    {_PREFIX + name for name in _GAUGES}
    | {_PREFIX + name + end for name in _COUNTERS for end in ("", "_total")}
    | {_PREFIX + name + end for name in _HISTOGRAMS for end in ("_bucket", "_sum", "_count")}
)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Seconds, cumulative since the server's start: ``buckets`` are (upper bound, count)."""

    count: float
    total: float
    buckets: Sequence[tuple[float, float]] = ()

    @property
    def mean(self) -> float | None:
        """Seconds; None where nothing was counted."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """Seconds that ``share`` (0 to 1) of all stayed below, interpolated in its bucket.

        None where nothing was counted; the last finite bound where it lies beyond.
        """
        if not self.buckets or not self.buckets[-1][1]:
            return None
        rank = share * self.buckets[-1][1]
        low, below = 0.0, 0.0
        for high, upto in self.buckets:
            if upto >= rank and upto > below:
                if math.isinf(high):
                    return low
                return low + (high - low) * (rank - below) / (upto - below)
            low, below = high, upto
        return low


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """A server's figures, all its engines together.

    ``running`` and ``waiting`` count requests now, ``kv_cache`` is the used share of the KV cache
    (0 to 1) of the fullest engine. Counters run since the server's start and are None where this
    version has none; prefix hits and queries count tokens.
    """

    running: float
    waiting: float
    kv_cache: float | None = None
    prefix_hits: float | None = None
    prefix_queries: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    preemptions: float | None = None
    first_token: Histogram | None = None
    inter_token: Histogram | None = None
    end_to_end: Histogram | None = None
    queue_time: Histogram | None = None

    @property
    def prefix_hit_rate(self) -> float | None:
        """Share of prompt tokens that were found in the prefix cache; None where none was asked."""
        if self.prefix_hits is None or not self.prefix_queries:
            return None
        return self.prefix_hits / self.prefix_queries


def parse(text: str, *, model: str | None = None) -> EngineMetrics | None:
    """The figures in a server's ``/metrics``; None where it is no vLLM's.

    ``model`` looks at that served name alone, where the server has it under that name. Raises
    ValueError where the text is no Prometheus text.
    """
    samples = _samples(text)
    if model is not None:
        samples = [one for one in samples if one.labels.get("model_name") == model] or samples
    running, waiting = _sum(samples, _RUNNING), _sum(samples, _WAITING)
    if running is None or waiting is None:
        return None
    return EngineMetrics(
        running=running,
        waiting=waiting,
        kv_cache=max(_values(samples, _KV_CACHE), default=None),
        prefix_hits=_counter(samples, _PREFIX_HITS),
        prefix_queries=_counter(samples, _PREFIX_QUERIES),
        prompt_tokens=_counter(samples, _PROMPT_TOKENS),
        generation_tokens=_counter(samples, _GENERATION_TOKENS),
        preemptions=_counter(samples, _PREEMPTIONS),
        first_token=_histogram(samples, _FIRST_TOKEN),
        inter_token=_histogram(samples, _INTER_TOKEN),
        end_to_end=_histogram(samples, _END_TO_END),
        queue_time=_histogram(samples, _QUEUE_TIME),
    )


def _samples(text: str) -> list[Sample]:
    # A server tells a thousand lines, of which few matter here.
    lines = [line for line in text.split("\n") if _name(line) in _WANTED]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [sample for family in families for sample in family.samples]


def _name(line: str) -> str:
    return line.partition("{")[0].partition(" ")[0].strip()


def _values(samples: Iterable[Sample], names: Sequence[str]) -> list[float]:
    """Of the first name that there is, with one value for each engine."""
    for name in names:
        found = [one.value for one in samples if one.name == _PREFIX + name]
        if found := [value for value in found if math.isfinite(value)]:
            return found
    return []


def _sum(samples: Sequence[Sample], names: Sequence[str]) -> float | None:
    found = _values(samples, names)
    return sum(found) if found else None


def _counter(samples: Sequence[Sample], names: Sequence[str]) -> float | None:
    return _sum(samples, [name + end for name in names for end in ("_total", "")])


def _histogram(samples: Sequence[Sample], names: Sequence[str]) -> Histogram | None:
    for name in names:
        count = _sum(samples, [f"{name}_count"])
        if count is None:
            continue
        buckets: dict[float, float] = {}
        for one in samples:
            if one.name == f"{_PREFIX}{name}_bucket":
                bound = float(one.labels.get("le", "nan"))
                buckets[bound] = buckets.get(bound, 0.0) + one.value
        return Histogram(
            count=count,
            total=_sum(samples, [f"{name}_sum"]) or 0.0,
            buckets=tuple(sorted((b, n) for b, n in buckets.items() if not math.isnan(b))),
        )
    return None
