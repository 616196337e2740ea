"""A second look at the first hits: the interface, none, and a model that reads text pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.reranker import PairScorer
from tools.retrieval.documents import Hit

MODEL_DEPTH = 10


class Reranker(Protocol):
    """Scores the first ``depth`` hits anew; those behind them keep their order.

    ``score`` may raise RerankError; the search then goes on with the order it had.
    """

    @property
    def name(self) -> str: ...

    @property
    def depth(self) -> int: ...

    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        """A number for each hit, the higher the better, in any scale."""
        ...


class NoReranker:
    """Leaves the fused order as it is."""

    name = "none"
    depth = 0

    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        return [hit.scores.fused for hit in hits]


class ModelReranker:
    """A model that reads the question and each passage together."""

    def __init__(self, scorer: PairScorer, *, depth: int = MODEL_DEPTH) -> None:
        self._scorer = scorer
        self._depth = depth

    @property
    def name(self) -> str:
        return self._scorer.name

    @property
    def depth(self) -> int:
        return self._depth

    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        return await self._scorer.score(query, [_text(hit) for hit in hits])


def _text(hit: Hit) -> str:
    heading = hit.heading if hit.title in hit.heading[:1] else (hit.title, *hit.heading)
    return f"{' > '.join(part for part in heading if part)}\n{hit.text}"
