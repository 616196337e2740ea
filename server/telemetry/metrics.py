"""What a process counts about itself, in a registry of its own, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from server.telemetry import metric_names as names
from server.telemetry.metric_names import Kind, Metric

OTHER = "other"
NOT_TOLD = ""
"""The value of a label that is left out: to Prometheus it is as if it was not there."""

Counts = Mapping[tuple[str, ...], float]
Read = Callable[[], Counts]
"""Gives a metric's values by its labels' values, from numbers that somebody keeps anyway."""


class Bounds:
    """The values that a label may have; whatever else comes is ``other``."""

    def __init__(self, known: Mapping[str, Collection[str]]) -> None:
        self._known = {label: frozenset(values) for label, values in known.items()}

    def of(self, label: str, value: str) -> str:
        return value if value in self._known.get(label, ()) else OTHER


class Metrics:
    """All metrics of one process. Counting takes a microsecond or two and never waits.

    What others keep anyway is read at the scrape: give it to ``read``.
    """

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._read: dict[str, Read] = {}
        self._made: dict[str, Any] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        for one in names.ALL:
            if one not in _READ and one not in names.OF_REDIS:
                self._made[one.name] = _instrument(one, self.registry)
        self.registry.register(_ReadAtScrape(self._read))
        if process:
            ProcessCollector(registry=self.registry)

    def add(self, metric: Metric, amount: float = 1.0, /, *labels: str) -> None:
        """Count ``amount`` more; labels in the metric's order."""
        self._child(metric, labels).inc(amount)

    def take(self, metric: Metric, /, *labels: str) -> None:
        """Count one less on a gauge."""
        self._child(metric, labels).dec()

    def observe(self, metric: Metric, value: float, /, *labels: str) -> None:
        """Note one value in a histogram."""
        self._child(metric, labels).observe(value)

    def set(self, metric: Metric, value: float, /, *labels: str) -> None:
        """What a gauge stands at."""
        self._child(metric, labels).set(value)

    def read(self, metric: Metric, source: Read, /) -> None:
        """At each scrape a metric's values are those that ``source`` gives."""
        if metric not in _READ:
            raise ValueError(f"{metric.name} is counted here")
        self._read[metric.name] = source

    def value(self, metric: Metric, /, *labels: str) -> float:
        """What stands there now: a sum for a histogram, 0 for what never was. For tests."""
        name = metric.name + ("_sum" if metric.kind is Kind.HISTOGRAM else "")
        found = self.registry.get_sample_value(name, dict(zip(metric.labels, labels, strict=True)))
        return found or 0.0

    def count(self, metric: Metric, /, *labels: str) -> int:
        """How many values a histogram has seen."""
        given = dict(zip(metric.labels, labels, strict=True))
        return int(self.registry.get_sample_value(f"{metric.name}_count", given) or 0)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        found = self._children.get((metric.name, labels))
        if found is None:
            made = self._made[metric.name]
            found = made.labels(*labels) if metric.labels else made
            self._children[metric.name, labels] = found
        return found


_READ = frozenset(
    {
        names.CACHE,
        names.SANDBOX_STARTS,
        names.SANDBOX_READY,
        names.ENDPOINT_ALONE,
        names.ENDPOINT_IN_FLIGHT,
        names.ENDPOINT_FAILURES,
        names.CALLS_WAITING,
        names.FALLBACKS,
    }
)


class _ReadAtScrape(Collector):
    def __init__(self, sources: Mapping[str, Read]) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Family]:
        for metric in names.ALL:
            source = self._sources.get(metric.name)
            if source is not None:
                yield family(metric, source())


def family(metric: Metric, values: Counts) -> Family:
    """A metric with its values, as a collector gives them."""
    made: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is Kind.COUNTER:
        made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made


def _instrument(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(
                metric.name,
                metric.help,
                metric.labels,
                buckets=metric.buckets,
                registry=registry,
            )
