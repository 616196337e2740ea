"""Maximal marginal relevance: a passage counts less, the more it repeats those before it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tools.retrieval.documents import SparseVector


def order(
    scores: Sequence[float], terms: Sequence[SparseVector], *, diversity: float, limit: int
) -> list[int]:
    """Places of the ``limit`` chosen, best first (Carbonell and Goldstein, 1998).

    ``scores`` are any numbers, best first or not; they are brought to 0 to 1 here. Likeness is
    the cosine of the term weights. ``diversity`` 0 keeps the order of the scores.
    """
    if not scores:
        return []
    low, high = min(scores), max(scores)
    spread = high - low
    worth = [(score - low) / spread if spread else 1.0 for score in scores]
    vectors = [_unit(one) for one in terms]
    left = sorted(range(len(scores)), key=lambda place: (-worth[place], place))
    likeness = [0.0] * len(scores)
    chosen: list[int] = []
    while left and len(chosen) < limit:
        best = max(
            left,
            key=lambda place: (1 - diversity) * worth[place] - diversity * likeness[place],
        )
        left.remove(best)
        chosen.append(best)
        for place in left:
            likeness[place] = max(likeness[place], _dot(vectors[place], vectors[best]))
    return chosen


def _unit(vector: SparseVector) -> dict[int, float]:
    length = math.sqrt(sum(value * value for value in vector.values))
    if length == 0.0:
        return {}
    return {
        index: value / length for index, value in zip(vector.indices, vector.values, strict=True)
    }


def _dot(left: Mapping[int, float], right: Mapping[int, float]) -> float:
    if len(left) > len(right):
        left, right = right, left
    return sum(value * right.get(index, 0.0) for index, value in left.items())
