"""Passages on their way into a prompt and out into an answer's sources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphs.events import Scores, Source

Passage = Mapping[str, Any]


def merge(
    old: Sequence[Passage], new: Iterable[Passage], *, first: bool = False
) -> list[dict[str, Any]]:
    """Each passage once; ``first`` puts the new ones before the old."""
    kept = [dict(passage) for passage in old]
    known = {passage["chunk_id"] for passage in old}
    fresh: dict[str, dict[str, Any]] = {}
    for passage in new:
        if passage["chunk_id"] not in known:
            fresh.setdefault(passage["chunk_id"], dict(passage))
    return [*fresh.values(), *kept] if first else [*kept, *fresh.values()]


def interleave(lists: Sequence[Sequence[Passage]]) -> list[dict[str, Any]]:
    """The best of each list, then the second of each, and so on; each passage once."""
    longest = max((len(one) for one in lists), default=0)
    rows = ([one[rank] for one in lists if rank < len(one)] for rank in range(longest))
    return merge([], (passage for row in rows for passage in row))


def fit(
    passages: Sequence[Passage], *, characters: int, most: int | None = None
) -> list[dict[str, Any]]:
    """The first passages whose text fits, ``most`` at the most; the first one always stays."""
    kept: list[dict[str, Any]] = []
    used = 0
    for passage in passages[:most]:
        used += len(passage["text"])
        if kept and used > characters:
            break
        kept.append(dict(passage))
    return kept


def place(passage: Passage) -> str:
    """Title, page and heading, as a reader would name the place."""
    parts = [str(passage["title"])]
    if passage.get("page") is not None:
        parts.append(f"page {passage['page']}")
    heading = [part for part in passage.get("heading") or () if part != passage["title"]]
    if heading:
        parts.append(" > ".join(heading))
    return ", ".join(parts)


def numbered(passages: Sequence[Passage]) -> str:
    """The passages as a model reads them, numbered from 1."""
    return "\n\n".join(
        f"[{number}] {place(passage)}\n{passage['text']}"
        for number, passage in enumerate(passages, 1)
    )


def source(passage: Passage, *, number: int) -> Source:
    """The passage as an answer's numbered source."""
    heading = [part for part in passage.get("heading") or () if part != passage["title"]]
    span = passage.get("span")
    return Source(
        number=number,
        document_id=passage["document_id"],
        chunk_id=passage["chunk_id"],
        title=passage["title"],
        source=passage["source"],
        page=passage.get("page"),
        heading=" > ".join(heading) or None,
        span=(span[0], span[1]) if span else None,
        text=passage["text"],
        scores=Scores.model_validate(passage["scores"]) if passage.get("scores") else None,
    )
