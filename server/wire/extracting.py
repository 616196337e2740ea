"""Paths into JSON, ``values.messages[-1].content``: names with dots, places in brackets. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MOST = 10
_NAME = re.compile(r"[^.\[\]]+")
_PLACE = re.compile(r"\[(-?\d{1,9})\]")

Path = tuple[str | int, ...]


def path(text: str) -> Path:
    """A path's steps. Raises ValueError."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        if (place := _PLACE.match(text, at)) and steps:
            steps.append(int(place[1]))
            at = place.end()
            continue
        if steps:
            if text[at] != ".":
                break
            at += 1
        name = _NAME.match(text, at)
        if name is None:
            break
        steps.append(name[0])
        at = name.end()
    if at < len(text) or not steps or text.endswith("."):
        raise ValueError(f"{text[:100]!r} is no path; write it like values.messages[-1].content")
    return tuple(steps)


def paths(asked: Mapping[str, str]) -> Mapping[str, Path]:
    """Paths by their aliases. Raises ValueError."""
    if len(asked) > MOST:
        raise ValueError(f"holds {len(asked)} paths; send at most {MOST}")
    return {alias: path(text) for alias, text in asked.items()}


def found(value: Any, steps: Path) -> Any:
    """What is at the end of a path; None where it leads nowhere."""
    for step in steps:
        match step, value:
            case str(), Mapping() if step in value:
                value = value[step]
            case int(), list() if -len(value) <= step < len(value):
                value = value[step]
            case _:
                return None
    return value


def roots(every: Sequence[Path]) -> frozenset[str]:
    """The names that paths start with."""
    return frozenset(str(steps[0]) for steps in every)
