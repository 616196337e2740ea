"""A trace as lines for a terminal: what was part of what, when it began, how long it took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from server.telemetry import names

_DEEPEST = 12
_SHOWN = {
    names.INPUT_TOKENS: "in",
    names.OUTPUT_TOKENS: "out",
    names.COST: "$",
    names.ATTEMPT: "attempt",
    names.STOP_REASON: "",
    names.VERDICT: "",
    names.DECISION: "",
    names.HITS: "hits",
    names.CANDIDATES: "candidates",
}


def lines(spans: Sequence[Mapping[str, Any]], *, width: int = 100, full: bool = False) -> list[str]:
    """One line a span, as wide as ``width`` characters; checkpoints only if ``full``."""
    shown = [one for one in spans if full or one["name"] != names.CHECKPOINT]
    if not shown:
        return []
    begin = min(one["start"] for one in shown)
    end = max(one["end"] or one["start"] for one in shown)
    total = max(end - begin, 1e-6)
    rows = [(depth, one) for depth, one in _ordered(shown)]
    label = min(max(len(_label(depth, one)) for depth, one in rows), width // 2)
    bar = max(10, width - label - 12 - 24)
    return [
        f"{_cut(_label(depth, one), label)} {_time(one):>8} "
        f"{_bar(one, begin=begin, total=total, width=bar)} {_notes(one)}".rstrip()
        for depth, one in rows
    ]


def _ordered(spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each span behind what it is part of, those of one by their begin; no span twice."""
    known = {one["id"] for one in spans}
    parts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in spans:
        parts[one["parent"] if one["parent"] in known else ""].append(one)

    def walk(parent: str, depth: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for one in sorted(parts[parent], key=lambda one: (one["start"], one["end"] or 0.0)):
            yield min(depth, _DEEPEST), one
            yield from walk(one["id"], depth + 1)

    yield from walk("", 0)


def _label(depth: int, one: Mapping[str, Any]) -> str:
    return "  " * depth + str(one["name"])


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"


def _time(one: Mapping[str, Any]) -> str:
    if one["end"] is None:
        return "lost" if one["error"] else "open"
    seconds = one["end"] - one["start"]
    if seconds == 0:
        return "·"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1_000:.1f} ms"


def _bar(one: Mapping[str, Any], *, begin: float, total: float, width: int) -> str:
    start = int((one["start"] - begin) / total * width)
    ends = one["end"] if one["end"] is not None else one["start"]
    stop = int((ends - begin) / total * width)
    start = min(start, width - 1)
    drawn = "│" if ends == one["start"] else "█" * max(1, stop - start)
    return (" " * start + drawn)[:width].ljust(width)


def _notes(one: Mapping[str, Any]) -> str:
    told = [f"! {one['error']}"] if one["error"] else []
    for name, word in _SHOWN.items():
        value = one["attributes"].get(name)
        if (
            value is None
            or value == one["error"]
            or (name == names.ATTEMPT and value == 1)
            or (word == "$" and not value)
        ):
            continue
        told.append(f"{word} {value}".strip())
    told += [link["why"] for link in one.get("links") or ()]
    return ", ".join(told)
