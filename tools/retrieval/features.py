"""What tells a passage that answers from one that is merely near: numbers for each. Pure.

All are shares or logarithms that mean the same in any collection, so that weights learnt on one
carry over to others.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tools.retrieval import fusion
from tools.retrieval.documents import Hit
from tools.retrieval.sparse import with_bigrams

Matrix = NDArray[np.float64]

NAMES = (
    "bm25",
    "dense",
    "bm25_rank",
    "dense_rank",
    "coverage",
    "rare_coverage",
    "pairs",
    "phrase",
    "title",
    "identifiers",
    "identifiers_title",
    "length",
    "document_best",
    "document_rest",
    "first_part",
)
# What stands in most questions and tells nothing of what is asked.
STOPWORDS = frozenset(
    "a an and any are as at be been but by can could did do does for from had has have how i if in "
    "into is it its may me my no not of on or our shall should so than that the their them then "
    "there these they this those to was we were what when where which who whom whose why will with "
    "would you your".split()
)
_WORD = re.compile(r"\w+")
# A code, a version, a number with a unit: what has to stand there as it is written.
_IDENTIFIER = re.compile(r"(?=\w*[A-Za-z])(?=[\w-]*\d)[\w-]+")


def of(query: str, hits: Sequence[Hit]) -> Matrix:
    """One row a hit, one column a name of ``NAMES``."""
    words = _words(query)
    asked = [word for word in dict.fromkeys(words) if word not in STOPWORDS] or words
    stem = _Stems()
    stems = {stem[word] for word in asked}
    pairs = {
        (stem[a], stem[b]) for a, b in pairwise(words) if a not in STOPWORDS and b not in STOPWORDS
    }
    identifiers = {found.casefold() for found in _IDENTIFIER.findall(query)}
    texts = [[stem[word] for word in _words(hit.text)] for hit in hits]
    titles = [{stem[word] for word in _words(" ".join((hit.title, *hit.heading)))} for hit in hits]
    present = [
        stems.intersection(text) | (stems & title)
        for text, title in zip(texts, titles, strict=True)
    ]
    rarity = _rarity(stems, present)
    by_bm25 = fusion.shares([hit.scores.bm25 for hit in hits])
    by_dense = fusion.shares([hit.scores.dense for hit in hits], least=fusion.UNRELATED)
    bm25_rank, dense_rank = _reciprocal_ranks(by_bm25), _reciprocal_ranks(by_dense)
    best, rest = _by_document(hits, [a + b for a, b in zip(by_bm25, by_dense, strict=True)])
    phrase_stems = [stem[word] for word in words]
    rows = []
    for place, hit in enumerate(hits):
        text, title, here = texts[place], titles[place], present[place]
        lowered = hit.text.casefold()
        named = " ".join((hit.title, *hit.heading)).casefold()
        rows.append(
            (
                by_bm25[place],
                by_dense[place],
                bm25_rank[place],
                dense_rank[place],
                _share(here, stems),
                sum(rarity[one] for one in here),
                _share(pairs.intersection(pairwise(text)), pairs),
                _longest_run(phrase_stems, text) / max(1, len(phrase_stems)),
                _share(stems & title, stems),
                _found(identifiers, lowered, named),
                _found(identifiers, named),
                math.log1p(len(text)) / 6,
                best[place],
                rest[place],
                1.0 if hit.span[0] == 0 else 0.0,
            )
        )
    return np.asarray(rows, dtype=np.float64).reshape(len(hits), len(NAMES))


def _words(text: str) -> list[str]:
    return _WORD.findall(with_bigrams(text).casefold())


class _Stems(dict[str, str]):
    """Each word's stem, found once."""

    def __missing__(self, word: str) -> str:
        self[word] = found = _stem(word)
        return found


def _stem(word: str) -> str:
    for ending, rest in (
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("ed", ""),
        ("es", ""),
        ("s", ""),
    ):
        if len(word) - len(ending) >= 3 and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)] + rest
    return word


def _rarity(stems: Collection[str], present: Sequence[Collection[str]]) -> dict[str, float]:
    """Each stem's part of one, the larger the fewer of the passages hold it."""
    counts = Counter(stem for here in present for stem in here)
    weights = {stem: math.log((len(present) + 1) / (counts[stem] + 0.5)) for stem in stems}
    total = sum(weights.values())
    return {stem: weight / total if total > 0 else 0.0 for stem, weight in weights.items()}


def _reciprocal_ranks(shares: Sequence[float]) -> list[float]:
    ranks = {share: rank for rank, share in enumerate(sorted(set(shares), reverse=True), 1)}
    return [1.0 / ranks[share] if share > 0 else 0.0 for share in shares]


def _by_document(hits: Sequence[Hit], scores: Sequence[float]) -> tuple[list[float], list[float]]:
    """The best score of each hit's document, and half the best of its other passages."""
    found: dict[str, list[float]] = {}
    for hit, score in zip(hits, scores, strict=True):
        found.setdefault(hit.document_id, []).append(score)
    best, rest = [], []
    for hit, score in zip(hits, scores, strict=True):
        mine = sorted(found[hit.document_id], reverse=True)
        best.append(mine[0] / 2)
        others = mine[1:] if score == mine[0] else mine[:1]
        rest.append(others[0] / 2 if others else 0.0)
    return best, rest


def _share(found: Collection[object], wanted: Collection[object]) -> float:
    return len(found) / len(wanted) if wanted else 0.0


def _found(identifiers: Collection[str], *texts: str) -> float:
    if not identifiers:
        return 0.0
    held = {word for text in texts for word in _IDENTIFIER.findall(text)}
    return _share(held.intersection(identifiers), identifiers)


def _longest_run(query: Sequence[str], text: Sequence[str]) -> int:
    """How many of the query's words, in their order, stand side by side in the text."""
    wanted = set(query)
    places: dict[str, list[int]] = {}
    for place, word in enumerate(query):
        places.setdefault(word, []).append(place)
    longest, before = 0, dict[int, int]()
    for word in text:
        if word not in wanted:
            before = {}
            continue
        before = {place: before.get(place - 1, 0) + 1 for place in places[word]}
        longest = max(longest, *before.values())
    return longest
