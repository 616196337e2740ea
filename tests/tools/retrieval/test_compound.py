"""Questions that ask several things: how they are taken apart, and how their hits become one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval import compound
from tools.retrieval.documents import Hit, Scores


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "How long is parental leave, and who pays for private health insurance?",
            ("How long is parental leave", "who pays for private health insurance?"),
        ),
        (
            "What does error E-1042 mean and how do I reset the card?",
            ("What does error E-1042 mean", "how do I reset the card?"),
        ),
        (
            "When does the canteen open? Which card pays there?",
            ("When does the canteen open?", "Which card pays there?"),
        ),
        ("年次休暇は何日ですか?食堂は何時に開きますか?", ()),
        (
            "年次休暇は何日ですか？食堂は何時に開きますか？",
            ("年次休暇は何日ですか？", "食堂は何時に開きますか？"),
        ),
    ],
)
def test_each_thing_asked_is_a_part(question: str, parts: tuple[str, ...]) -> None:
    assert compound.parts(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "",
        "How long is parental leave?",
        "What are the terms and conditions of travel and of expenses?",
        "What is parental leave, and why?",
        "the clutch slips and is noisy",
        "expected ';' before '}' token, or a statement",
        "GET https://example.com/search?q=holiday&how=long returns 404",
        "What is the leave and what is the canteen? " + "and so on " * 60,
    ],
)
def test_one_thing_is_not_taken_apart(question: str) -> None:
    assert compound.parts(question) == ()


def test_only_the_first_few_parts_are_searched() -> None:
    question = " ".join(f"What is thing{number} of kind{number}?" for number in range(9))
    parts = compound.parts(question)
    assert len(parts) == compound.MOST_PARTS
    assert parts[0] == "What is thing0 of kind0?"


@given(st.text(max_size=200))
def test_parts_are_pieces_of_the_question_in_their_order(question: str) -> None:
    at = 0
    for part in compound.parts(question):
        at = question.index(part, at) + len(part)


def hit(chunk: str, *, fused: float, rerank: float | None = None) -> Hit:
    return Hit(
        document_id=chunk[0],
        chunk_id=chunk,
        title=chunk,
        source=chunk,
        text=chunk,
        page=None,
        heading=(),
        span=(0, 1),
        scores=Scores(fused=fused, rerank=rerank),
    )


def test_the_best_of_a_part_is_lifted_over_what_is_half_right_for_all() -> None:
    whole = [hit("a", fused=1.0), hit("b", fused=0.8), hit("c", fused=0.5)]
    found = [[hit("a", fused=0.9)], [hit("c", fused=0.6), hit("d", fused=0.3)]]
    made = compound.merged(whole, found)
    assert [(one.chunk_id, round(one.scores.fused, 6)) for one in made] == [
        ("a", 1.5),
        ("c", 1.0),
        ("b", 0.8),
        ("d", 0.25),
    ]


def test_reranked_hits_stay_before_those_behind_the_rerankers_depth() -> None:
    whole = [hit("a", fused=0.2, rerank=2.0), hit("b", fused=0.9)]
    part = [hit("c", fused=0.1, rerank=1.0), hit("a", fused=0.1, rerank=0.5), hit("d", fused=0.8)]
    made = compound.merged(whole, [part])
    assert [one.chunk_id for one in made] == ["a", "c", "b", "d"]
    assert [one.scores.rerank for one in made] == [1.25, 0.5, None, None]
    assert made[0].scores.fused == 0.2


def test_scores_that_are_all_negative_or_none_at_all_keep_the_order() -> None:
    below = [hit("a", fused=0.1, rerank=-1.0), hit("b", fused=0.1, rerank=-2.0)]
    assert [one.chunk_id for one in compound.merged(below, [below])] == ["a", "b"]
    assert compound.merged([], [[], []]) == []


@given(st.lists(st.floats(0, 1), max_size=12), st.lists(st.floats(0, 1), max_size=12))
def test_nothing_is_lost_and_nothing_comes_twice(ours: list[float], theirs: list[float]) -> None:
    whole = [hit(f"a{place}", fused=score) for place, score in enumerate(ours)]
    part = [hit(f"a{place * 2}", fused=score) for place, score in enumerate(theirs)]
    part = [replace(one, scores=replace(one.scores, rerank=one.scores.fused)) for one in part]
    made = compound.merged(whole, [part])
    chunks = [one.chunk_id for one in made]
    assert sorted(chunks) == sorted({one.chunk_id for one in [*whole, *part]})
