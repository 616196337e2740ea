"""One order out of two lists."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval.fusion import Fusion, Pair, fuse

SCORE = st.floats(0, 50, allow_nan=False)
PAIRS = st.lists(
    st.builds(
        Pair,
        id=st.text("abcdef", min_size=1, max_size=4),
        bm25=st.none() | SCORE,
        dense=st.none() | st.floats(-1, 1, allow_nan=False),
    ),
    unique_by=lambda pair: pair.id,
    max_size=30,
)


@given(PAIRS, st.sampled_from(Fusion), st.randoms(use_true_random=False))
def test_the_order_is_total_and_does_not_depend_on_the_order_of_arrival(
    pairs: list[Pair], method: Fusion, shuffler: random.Random
) -> None:
    fused = fuse(pairs, method=method)
    assert sorted(one.id for one in fused) == sorted(pair.id for pair in pairs)
    assert all(a.score >= b.score for a, b in pairwise(fused))
    shuffled = list(pairs)
    shuffler.shuffle(shuffled)
    assert [one.id for one in fuse(shuffled, method=method)] == [one.id for one in fused]


@given(PAIRS)
def test_score_fusion_stays_between_zero_and_one(pairs: list[Pair]) -> None:
    assert all(0.0 <= one.score <= 1.0 + 1e-9 for one in fuse(pairs))


@given(PAIRS, st.floats(0.1, 10))
def test_score_fusion_does_not_depend_on_the_scale_of_bm25(pairs: list[Pair], scale: float) -> None:
    scaled = [
        Pair(id=p.id, bm25=None if p.bm25 is None else p.bm25 * scale, dense=p.dense) for p in pairs
    ]
    before = {one.id: one.score for one in fuse(pairs)}
    after = {one.id: one.score for one in fuse(scaled)}
    assert after == pytest.approx(before, abs=1e-9)


@given(PAIRS, st.sampled_from(Fusion))
def test_a_passage_best_in_both_searches_is_first(pairs: list[Pair], method: Fusion) -> None:
    best = Pair(id="best", bm25=51.0, dense=1.0)
    others = [pair for pair in pairs if pair.dense is None or pair.dense < 0.99]
    assert fuse([*others, best], method=method)[0].id == "best"


def test_score_fusion_keeps_what_bm25_alone_puts_far_ahead() -> None:
    exact = Pair(id="exact", bm25=20.0, dense=0.30)
    middling = [Pair(id=f"m{n}", bm25=4.0 - n / 10, dense=0.45 - n / 100) for n in range(10)]
    assert fuse([*middling, exact])[0].id == "exact"
    assert fuse([*middling, exact], method=Fusion.RRF)[0].id != "exact"


def test_scores_are_added_by_weight() -> None:
    pairs = [Pair(id="a", bm25=10.0, dense=None), Pair(id="b", bm25=None, dense=0.8)]
    assert [(one.id, one.score) for one in fuse(pairs, weight=0.6)] == [("a", 0.6), ("b", 0.4)]


def test_rrf_adds_reciprocal_ranks() -> None:
    pairs = [Pair(id="a", bm25=9.0, dense=0.1), Pair(id="b", bm25=8.0, dense=0.9)]
    fused = fuse(pairs, method=Fusion.RRF, k=2)
    assert [one.score for one in fused] == pytest.approx([0.5 / 3 + 0.5 / 4] * 2)
    assert [one.id for one in fused] == ["a", "b"]


def test_ties_go_by_bm25_rank_and_then_by_id() -> None:
    pairs = [
        Pair(id="z", bm25=5.0, dense=0.0),
        Pair(id="b", dense=0.5),
        Pair(id="a", dense=0.5),
    ]
    assert [one.id for one in fuse(pairs)] == ["z", "a", "b"]


def test_a_lone_cosine_counts_by_how_near_it_is() -> None:
    words = Pair(id="words", bm25=5.0, dense=0.0)
    for cosine, first in ((0.05, "words"), (0.2, "words"), (0.8, "near")):
        near = Pair(id="near", bm25=1.0, dense=cosine)
        assert fuse([words, near])[0].id == first
    weak = fuse([Pair(id="weak", bm25=None, dense=0.03)])
    assert weak[0].score == pytest.approx(0.05)
