"""How good a ranking is: the measures of information retrieval, and how sure one can be. Pure.

The measures are those of `ranx` and `trec_eval`: nDCG with linear gains, recall over all
relevant documents, the reciprocal rank of the first relevant one, and whether there is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Sequence[str]]

MEASURES = ("ndcg@10", "recall@5", "recall@100", "mrr@10", "hit@1", "hit@3")
SAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over queries, with the ends of its bootstrap interval at 95 %."""

    mean: float
    low: float
    high: float


def measure(name: str, ranking: Sequence[str], *, relevant: Mapping[str, int]) -> float:
    """One query's value, 0 to 1, of a measure like ``ndcg@10``. Raises ValueError.

    ``ranking`` is best first; ``relevant`` maps a document to its grade, 0 meaning not relevant.
    """
    kind, _, depth = name.partition("@")
    top = list(ranking[: int(depth)])
    wanted = {found for found, grade in relevant.items() if grade > 0}
    if not wanted:
        return 0.0
    match kind:
        case "ndcg":
            best = sorted((relevant[found] for found in wanted), reverse=True)[: int(depth)]
            return _dcg([relevant.get(found, 0) for found in top]) / _dcg(best)
        case "recall":
            return len(wanted.intersection(top)) / len(wanted)
        case "mrr":
            return next((1 / rank for rank, found in enumerate(top, 1) if found in wanted), 0.0)
        case "hit":
            return float(any(found in wanted for found in top))
    raise ValueError(f"{name}: not a measure; the measures are ndcg, recall, mrr and hit")


def per_query(name: str, run: Run, *, qrels: Qrels) -> dict[str, float]:
    """Each judged query's value; a query that the run lacks counts as 0."""
    return {
        query: measure(name, run.get(query, ()), relevant=relevant)
        for query, relevant in qrels.items()
    }


def estimate(values: Sequence[float], *, samples: int = SAMPLES, seed: int = 0) -> Estimate:
    """The mean, and the percentile interval of the means of resampled queries."""
    if not values:
        return Estimate(mean=0.0, low=0.0, high=0.0)
    array = np.asarray(values, dtype=np.float64)
    rows = np.random.default_rng(seed).integers(0, len(array), size=(samples, len(array)))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(array[rows].mean(axis=1), (tail, 100 - tail))
    return Estimate(mean=float(array.mean()), low=float(low), high=float(high))


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
