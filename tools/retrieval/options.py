"""How a search is done, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from tools.retrieval.documents import Hit
from tools.retrieval.fusion import Fusion


class Mode(StrEnum):
    """Which searches are asked."""

    HYBRID = "hybrid"
    DENSE = "dense"
    BM25 = "bm25"


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The defaults are what `docs/retrieval.md` measures; nothing has to be set.

    ``weight`` is BM25's share of score fusion, 0 to 1; ``rrf_k`` RRF's constant. ``candidates``
    passages come of each search. ``complete``: what only one search found gets its score of the
    other one too. ``parts``: a question that asks several things is taken apart, and each of them
    searched too, for those who have not done so themselves. ``rerank`` leaves the configured
    reranker out where it is false. ``diversity``, 0 to 1, is how much being unlike the passages
    before it counts for a passage (maximal marginal relevance). ``per_document``: so many passages
    of one document at most. The seconds are what the question's vector and the reranker may take:
    beyond that the search goes on without them.
    """

    mode: Mode = Mode.HYBRID
    fusion: Fusion = Fusion.SCORES
    weight: float = 0.5
    rrf_k: int = 60
    candidates: int = 100
    complete: bool = True
    parts: bool = False
    rerank: bool = True
    diversity: float = 0.0
    per_document: int | None = None
    embed_seconds: float = 5.0
    rerank_seconds: float = 2.0

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        plain = SearchOptions()
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != getattr(plain, field.name)
        }


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a search: how many candidates came out of it, milliseconds, and why not."""

    name: str
    candidates: int
    ms: float
    skipped: str | None = None

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Stage:
        """The inverse of ``to_json``."""
        return cls(**told)

    def to_json(self) -> dict[str, Any]:
        """The step as ``explain`` tells it."""
        return {
            "name": self.name,
            "candidates": self.candidates,
            "ms": round(self.ms, 2),
            "skipped": self.skipped,
        }


@dataclass(frozen=True, kw_only=True)
class Found:
    """The hits, best first, and how they came about."""

    hits: Sequence[Hit]
    stages: Sequence[Stage] = ()
