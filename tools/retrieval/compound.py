"""A question that asks several things, taken apart by its grammar and answered as one. Pure.

One vector of two questions is near to neither, and a passage that answers one of them holds half of
the words at best. So each part is searched too, and its best passages are lifted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tools.retrieval.documents import Hit
from tools.retrieval.features import STOPWORDS
from tools.retrieval.sparse import with_bigrams

MOST_PARTS = 3
# What is longer is no question but a text that was pasted in.
LONGEST = 500
LEAST_WORDS = 2
# What being the best passage for a part is worth, where being the best for all of it is 1.
PART = 0.5
ASKING = r"(?:(?:at|by|for|from|in|until)\s+)?(?:how|what|when|where|which|who|whom|whose|why)\b"
"""How a question begins in English, as a pattern."""
_CUT = re.compile(
    r"(?<=\?)\s+(?=\S)|(?<=\uff1f)\s*(?=\S)|"
    rf"(?:\s*[,;]\s*|\s+)(?:and|but|or)(?:\s+also)?\s+(?={ASKING})",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


def parts(question: str) -> tuple[str, ...]:
    """The questions that ``question`` consists of; none where it is one.

    They begin after a question mark, and at an English question word behind *and*, *or*, *but*.
    What holds too few words to be found by (*and why?*) is no part; where that leaves one alone,
    there is none.
    """
    if len(question) > LONGEST:
        return ()
    cut = [part.strip(" ,;") for part in _CUT.split(question)]
    whole = [part for part in cut if _told(part) >= LEAST_WORDS]
    return tuple(whole[:MOST_PARTS]) if len(whole) > 1 else ()


def merged(whole: Sequence[Hit], found: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The hits for the whole question, with those for its parts among them, best first.

    A hit counts by its share of the best score of its list, plus ``PART`` of its best share in a
    part's; that becomes its last score (``rerank``, or ``fused`` where nothing was reranked). Hits
    behind a reranker's depth follow in the order they had.
    """
    lists = [_scored(hits) for hits in (whole, *found)]
    shares = [_shares(hits) for hits in lists]
    order: dict[str, Hit] = {}
    for hits in lists:
        for hit in hits:
            order.setdefault(hit.chunk_id, hit)
    worth = {
        chunk: shares[0].get(chunk, 0.0) + PART * max(one.get(chunk, 0.0) for one in shares[1:])
        for chunk in order
    }
    first = sorted(order.values(), key=lambda hit: -worth[hit.chunk_id])
    rest: dict[str, Hit] = {}
    for every in (whole, *found):
        for hit in every:
            if hit.chunk_id not in order:
                rest.setdefault(hit.chunk_id, hit)
    return [_with(hit, worth[hit.chunk_id]) for hit in first] + list(rest.values())


def final(hit: Hit) -> float:
    """The score that a hit's place comes from."""
    return hit.scores.fused if hit.scores.rerank is None else hit.scores.rerank


def _told(part: str) -> int:
    return len(set(_WORD.findall(with_bigrams(part).casefold())) - STOPWORDS)


def _scored(hits: Sequence[Hit]) -> list[Hit]:
    """Those that were reranked, if any was: two scales do not mix."""
    return [hit for hit in hits if hit.scores.rerank is not None] or list(hits)


def _shares(hits: Sequence[Hit]) -> dict[str, float]:
    best = max((final(hit) for hit in hits), default=0.0)
    return {hit.chunk_id: max(0.0, final(hit)) / best if best > 0 else 0.0 for hit in hits}


def _with(hit: Hit, score: float) -> Hit:
    scores = hit.scores
    told = replace(scores, fused=score) if scores.rerank is None else replace(scores, rerank=score)
    return replace(hit, scores=told)
