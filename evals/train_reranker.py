"""Makes the weights of the feature reranker from scifact's training questions alone.

``python -m evals.train_reranker`` writes them; ``--check`` only compares. The model is linear,
and its loss the cross-entropy of a softmax over a question's passages (ListNet): full batches,
no chance, so that the same passages give the same weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals import retrieval_sets, searched_sets
from evals.retrieval import vectors_folder
from server import settings
from tools.retrieval import feature_reranker, features
from tools.retrieval.documents import Hit

FILE = Path(feature_reranker.__file__).with_name(feature_reranker.WEIGHTS)
DEPTH = 50
RIDGE = 1e-2
# What a rank or a length says differs from collection to collection.
COLUMNS = tuple(
    place
    for place, name in enumerate(features.NAMES)
    if name not in {"bm25_rank", "dense_rank", "length", "first_part"}
    and not name.startswith("document_")
)
STEPS = 3_000
RATE = 0.5
DIGITS = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Group:
    """One question's passages: a row of features each, and which of them are right."""

    rows: Floats
    right: NDArray[np.bool_]


def fit(groups: Sequence[Group], *, columns: Sequence[int], ridge: float = RIDGE) -> Floats:
    """The weight of every feature; those not in ``columns`` are 0.

    Groups without a right passage, or with nothing else, teach nothing and are left out.
    """
    used = [group for group in groups if group.right.any() and not group.right.all()]
    rows = [group.rows[:, list(columns)] for group in used]
    targets = [group.right / group.right.sum() for group in used]
    sizes = np.asarray([len(one) for one in rows])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    stacked, target = np.concatenate(rows), np.concatenate(targets)
    mean, spread = stacked.mean(axis=0), stacked.std(axis=0)
    spread[spread == 0] = 1.0
    scaled = (stacked - mean) / spread
    weights = np.zeros(len(columns))
    momentum = np.zeros_like(weights)
    for _ in range(STEPS):
        scores = scaled @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, starts), sizes)
        shares = np.exp(scores)
        shares /= np.repeat(np.add.reduceat(shares, starts), sizes)
        slope = scaled.T @ (shares - target) / len(used) + ridge * weights
        momentum = 0.9 * momentum - RATE * 0.1 * slope
        weights = weights + momentum
    full = np.zeros(groups[0].rows.shape[1])
    full[list(columns)] = weights / spread
    return full


def rounded(weights: Floats) -> dict[str, float]:
    """Weights by name, scaled so that they do not depend on the loss's temperature."""
    scale = float(np.abs(weights).sum()) or 1.0
    pairs = zip(features.NAMES, weights / scale, strict=True)
    return {name: round(float(weight), DIGITS) for name, weight in pairs if weight}


def group_of(query: str, hits: Sequence[Hit], *, relevant: set[str]) -> Group:
    """A question's hits as they come out of fusion."""
    right = np.asarray([hit.document_id in relevant for hit in hits])
    return Group(rows=features.of(query, hits), right=right)


async def groups(configured: settings.Settings) -> list[Group]:
    """All training questions' passages, found by the product itself."""
    judged = retrieval_sets.load("scifact", training=True)
    found = []
    async with searched_sets.opened(configured, vectors=vectors_folder(configured)) as opened:
        await searched_sets.fill(opened.knowledge, judged)
        options = replace(configured.search_options(), rerank=False)
        for question in judged.questions:
            hits = await opened.knowledge.search(
                question.text,
                tenant=searched_sets.TENANT,
                collection=judged.name,
                limit=DEPTH,
                options=options,
            )
            relevant = set(judged.qrels[question.id])
            found.append(group_of(question.text, hits, relevant=relevant))
    return found


def shipped() -> Any:
    """The file as it is."""
    return json.loads(FILE.read_text("utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    asked = parser.parse_args()
    made = asyncio.run(groups(settings.load()))
    weights = rounded(fit(made, columns=COLUMNS))
    told = {"made_by": "evals/train_reranker.py, scifact training split", "depth": DEPTH}
    text = json.dumps({**told, "weights": weights}, indent=2) + "\n"
    if asked.check:
        same = text == FILE.read_text("utf-8")
        print("the same weights" if same else f"other weights:\n{text}")
        return 0 if same else 1
    FILE.write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
