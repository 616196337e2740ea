"""What tells a passage that answers from one that is merely near: numbers for each. Pure.

All are shares or logarithms that mean the same in any collection, so that weights learnt on one
carry over to others.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
# All that is no part of a word becomes a space.
_ASCII = {code: " " for code in range(128) if not _WORD.match(chr(code))}
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))
# A code, a version, a number with a unit: what has to stand there as it is written.
_IDENTIFIER = re.compile(r"(?=\w*[A-Za-z])(?=[\w-]*\d)[\w-]+")


def of(query: str, hits: Sequence[Hit]) -> Matrix:
    """One row a hit, one column a name of ``NAMES``."""
    words = _words(query)
    asked = [word for word in dict.fromkeys(words) if word not in STOPWORDS] or words
    phrase = [_stem(word) for word in words]
    stems = {_stem(word) for word in asked}
    pairs = {
        (_stem(a), _stem(b))
        for a, b in pairwise(words)
        if a not in STOPWORDS and b not in STOPWORDS
    }
    identifiers = {found.casefold() for found in _IDENTIFIER.findall(query)}
    forms = _forms(phrase)
    named = _Named(forms)
    texts = [_Matched.of(hit.text, forms) for hit in hits]
    titles = [named[hit.title, hit.heading] for hit in hits]
    present = [
        stems & (text.stems | title.stems) for text, title in zip(texts, titles, strict=True)
    ]
    rarity = _rarity(stems, present)
    by_bm25 = fusion.shares([hit.scores.bm25 for hit in hits])
    by_dense = fusion.shares([hit.scores.dense for hit in hits], least=fusion.UNRELATED)
    bm25_rank, dense_rank = _reciprocal_ranks(by_bm25), _reciprocal_ranks(by_dense)
    best, rest = _by_document(hits, [a + b for a, b in zip(by_bm25, by_dense, strict=True)])
    rows = []
    for place, hit in enumerate(hits):
        text, title, here = texts[place], titles[place], present[place]
        rows.append(
            (
                by_bm25[place],
                by_dense[place],
                bm25_rank[place],
                dense_rank[place],
                _share(here, stems),
                sum(rarity[one] for one in here),
                _share(pairs & text.pairs, pairs),
                _longest_run(phrase, text.places) / max(1, len(phrase)),
                _share(stems & title.stems, stems),
                _found(identifiers, hit.text, hit.title, *hit.heading),
                _found(identifiers, hit.title, *hit.heading),
                math.log1p(text.length) / 6,
                best[place],
                rest[place],
                1.0 if hit.span[0] == 0 else 0.0,
            )
        )
    return np.asarray(rows, dtype=np.float64).reshape(len(hits), len(NAMES))


@dataclass(frozen=True, kw_only=True)
class _Matched:
    """Where the question's words stand in a text, by the text's own count of words."""

    places: Mapping[int, str]
    stems: frozenset[str]
    length: int

    @classmethod
    def of(cls, text: str, forms: Mapping[str, str]) -> _Matched:
        words = _words(text)
        places = {place: forms[word] for place, word in enumerate(words) if word in forms}
        return cls(places=places, stems=frozenset(places.values()), length=len(words))

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Of the question's words, those that stand side by side."""
        places = self.places
        return frozenset(
            (stem, places[place + 1]) for place, stem in places.items() if place + 1 in places
        )


class _Named(dict[tuple[str, tuple[str, ...]], _Matched]):
    """What matches in a title and its headings, found once for all of a document's passages."""

    def __init__(self, forms: Mapping[str, str]) -> None:
        super().__init__()
        self._forms = forms

    def __missing__(self, named: tuple[str, tuple[str, ...]]) -> _Matched:
        title, heading = named
        self[named] = found = _Matched.of(" ".join((title, *heading)), self._forms)
        return found


def _words(text: str) -> list[str]:
    if text.isascii():
        # The same words in half the time.
        return text.lower().translate(_ASCII).split()
    return _WORD.findall(with_bigrams(text).casefold())


def _stem(word: str) -> str:
    for ending, rest in _ENDINGS:
        if len(word) - len(ending) >= 3 and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)] + rest
    return word


def _forms(stems: Collection[str]) -> dict[str, str]:
    """Every word that has one of the stems, so that a text's own words need none."""
    found = {}
    for stem in dict.fromkeys(stems):
        longer = [
            stem.removesuffix(rest) + ending for ending, rest in _ENDINGS if stem.endswith(rest)
        ]
        found.update({word: stem for word in (stem, *longer) if _stem(word) == stem})
    return found


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
    written = [text for text in map(str.casefold, texts) if any(one in text for one in identifiers)]
    held = {word for text in written for word in _IDENTIFIER.findall(text)}
    return _share(held & set(identifiers), identifiers)


def _longest_run(query: Sequence[str], text: Mapping[int, str]) -> int:
    """How many of the query's words, in their order, stand side by side in the text.

    ``text`` has its matching words by their places, in their order.
    """
    places: dict[str, list[int]] = {}
    for place, word in enumerate(query):
        places.setdefault(word, []).append(place)
    longest, last, before = 0, -2, dict[int, int]()
    for here, word in text.items():
        if here != last + 1:
            before = {}
        before = {place: before.get(place - 1, 0) + 1 for place in places[word]}
        longest, last = max(longest, *before.values()), here
    return longest
