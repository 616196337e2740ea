"""Hits made ready for a model's context: what neighbours repeat is said once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tools.retrieval.documents import Hit


def merge_neighbours(hits: Sequence[Hit], *, longest: int | None = None) -> list[Hit]:
    """Hits that overlap under one heading on one page joined into one, at the better's place.

    The joined hit keeps the chunk id and the scores of the best of its parts. Passages of
    different headings or pages never overlap, and stay apart so that each cites its own place; so
    do passages that would together be longer than ``longest`` characters.
    """
    places: dict[tuple[object, ...], list[int]] = {}
    for place, hit in enumerate(hits):
        places.setdefault((hit.document_id, hit.page, hit.heading), []).append(place)
    merged: dict[int, Hit] = {}
    for members in places.values():
        members.sort(key=lambda place: hits[place].span)
        best, current = members[0], hits[members[0]]
        for place in members[1:]:
            end = max(current.span[1], hits[place].span[1])
            if hits[place].span[0] <= current.span[1] and (
                longest is None or end - current.span[0] <= longest
            ):
                current = _joined(current, hits[place])
                best = min(best, place)
            else:
                merged[best] = _as_best(current, hits[best])
                best, current = place, hits[place]
        merged[best] = _as_best(current, hits[best])
    return [merged[place] for place in sorted(merged)]


def _joined(first: Hit, second: Hit) -> Hit:
    end = max(first.span[1], second.span[1])
    # A part of a table repeats a header that lies outside its span: take the span's text only.
    length = second.span[1] - second.span[0]
    tail = second.text[len(second.text) - length :][first.span[1] - second.span[0] :]
    return replace(first, text=first.text + tail, span=(first.span[0], end))


def _as_best(joined: Hit, best: Hit) -> Hit:
    return replace(joined, chunk_id=best.chunk_id, scores=best.scores)
