"""The default reranker: a linear model over `features`, whose few weights are a file beside it.

``python -m evals.train_reranker`` makes the file, from scifact's training questions alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np

from tools.retrieval import features
from tools.retrieval.documents import Hit
from tools.retrieval.features import Matrix

WEIGHTS = "reranker.json"


class FeatureReranker:
    """``sum(weight * feature)`` for each of the first ``depth`` hits; a few milliseconds."""

    name = "features"

    def __init__(self, weights: Mapping[str, float], *, depth: int) -> None:
        unknown = set(weights) - set(features.NAMES)
        if unknown:
            raise ValueError(f"{WEIGHTS}: no such features: {', '.join(sorted(unknown))}")
        self._weights = np.asarray([weights.get(name, 0.0) for name in features.NAMES])
        self._depth = depth

    @classmethod
    def load(cls) -> FeatureReranker:
        """With the weights that come with the package."""
        told = json.loads((resources.files("tools.retrieval") / WEIGHTS).read_text("utf-8"))
        return cls(told["weights"], depth=told["depth"])

    @property
    def depth(self) -> int:
        return self._depth

    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        if not hits:
            return []
        rows: Matrix = features.of(query, hits)
        return [float(one) for one in rows @ self._weights]
