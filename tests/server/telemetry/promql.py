"""As much of PromQL as is needed to see which metrics and labels an expression names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.telemetry import metric_names as names
from server.telemetry.metric_names import Kind
from server.telemetry.metrics import Metrics

_WORDS = {"by", "without", "and", "or", "unless", "on", "ignoring", "bool", "offset", "inf", "nan"}
_TARGET = frozenset({"job", "instance", "le"})
_SUFFIXES = ("_bucket", "_sum", "_count")


def metrics_of(expression: str) -> set[str]:
    """The names of all series that are selected."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", plain)
    plain = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", plain)
    found = re.findall(r"(?<![\w$.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", plain)
    return {name for name in found if name.lower() not in _WORDS}


def labels_of(expression: str) -> set[str]:
    """All labels that are selected or grouped by."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    found: set[str] = set()
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", plain):
        found.update(one.strip() for one in group.split(",") if one.strip())
    for selector in re.findall(r"\{([^}]*)\}", plain):
        found.update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    return found


def unknown(expression: str) -> Iterator[str]:
    """What an expression names that the program does not tell."""
    process = {
        sample.name
        for family in Metrics().registry.collect()
        for sample in family.samples
        if sample.name.startswith("process_")
    }
    labels = set(_TARGET)
    for name in metrics_of(expression):
        if name == "up" or name in process:
            continue
        metric = _series().get(name)
        if metric is None:
            yield f"no metric {name}"
        else:
            labels.update(metric.labels)
    for label in labels_of(expression) - labels:
        yield f"no label {label} on {sorted(metrics_of(expression))}"


def _series() -> dict[str, names.Metric]:
    found = {}
    for one in names.ALL:
        if one.kind is Kind.HISTOGRAM:
            found.update({one.name + suffix: one for suffix in _SUFFIXES})
        else:
            found[one.name] = one
    return found
