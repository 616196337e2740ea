"""What the numbers of a passage say."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval import features
from tools.retrieval.documents import Hit, Scores


def hit(
    text: str, *, title: str = "", document: str = "d", bm25: float = 1.0, dense: float = 0.5
) -> Hit:
    return Hit(
        document_id=document,
        chunk_id=f"{document}#{text[:5]}",
        title=title,
        source="s",
        text=text,
        page=None,
        heading=(),
        span=(0, len(text)),
        scores=Scores(bm25=bm25, dense=dense, fused=0.5),
    )


def values(query: str, *hits: Hit) -> dict[str, list[float]]:
    rows = features.of(query, hits)
    return {name: list(rows[:, place]) for place, name in enumerate(features.NAMES)}


def test_no_hits_are_no_rows() -> None:
    assert features.of("x", []).shape == (0, len(features.NAMES))


def test_scores_are_shares_of_the_best() -> None:
    found = values("x", hit("a", bm25=4.0, dense=0.8), hit("b", bm25=1.0, dense=0.2))
    assert found["bm25"] == [1.0, 0.25]
    assert found["dense"] == [1.0, 0.25]
    assert found["bm25_rank"] == [1.0, 0.5]


def test_words_count_in_all_their_forms_and_stopwords_do_not() -> None:
    found = values(
        "what are the holidays of lawyers", hit("A lawyer's holiday"), hit("what are the")
    )
    assert found["coverage"] == [1.0, 0.0]
    assert found["rare_coverage"][0] == 1.0


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("policy", "policies"),
        ("glass", "glasses"),
        ("walk", "walking"),
        ("tested", "tests"),
        ("boxes", "boxing"),
        ("bus", "bus"),
        ("access", "access"),
        ("us", "us"),
    ],
)
def test_a_word_is_found_in_its_other_forms(asked: str, written: str) -> None:
    for query, text in ((asked, written), (written, asked)):
        assert values(query, hit(text), hit("none"))["coverage"] == [1.0, 0.0]


@given(st.text(alphabet=string.ascii_letters + string.digits + "_", min_size=1))
def test_every_word_is_found_as_it_is_written(word: str) -> None:
    found = values(word, hit(f"before {word}, after"), hit("..."))
    assert found["coverage"] == [1.0, 0.0]


@given(st.text(alphabet=string.printable), st.text(alphabet=string.printable))
def test_what_is_plain_ascii_is_read_as_any_other_text(query: str, text: str) -> None:
    plain, other = values(query, hit(text)), values(query, hit(f"{text} \N{EM DASH}"))
    assert plain == other


def test_words_side_by_side_are_pairs_and_phrases() -> None:
    found = values("white blood cells", hit("white blood cells"), hit("cells of blood, white"))
    assert found["pairs"] == [1.0, 0.0]
    assert found["phrase"][0] == 1.0
    assert found["phrase"][1] < 0.5


def test_an_identifier_has_to_stand_there_as_it_is_written() -> None:
    found = values(
        "how do I fix error c2065?",
        hit("C2065: undeclared"),
        hit("C20651"),
        hit("x", title="C2065"),
    )
    assert found["identifiers"] == [1.0, 0.0, 1.0]
    assert found["identifiers_title"] == [0.0, 0.0, 1.0]
    assert values("plain words", hit("C2065"))["identifiers"] == [0.0]


def test_passages_of_a_document_speak_for_each_other() -> None:
    found = values("x", hit("a"), hit("b", bm25=0.5, dense=0.25), hit("c", document="other"))
    assert found["document_best"] == [1.0, 1.0, 1.0]
    assert found["document_rest"] == [0.5, 1.0, 0.0]


def test_japanese_is_compared_by_bigrams() -> None:
    found = values("三十日の休暇", hit("毎年三十日の休暇を取得できます"), hit("会社は京都です"))
    assert found["coverage"][0] == 1.0
    assert found["coverage"][1] == 0.0


def test_every_number_is_finite_whatever_is_asked() -> None:
    for query in ("", "?", "a", "the of", "x" * 4_000, "1 2 3", "\n"):
        rows = features.of(query, [hit(""), hit("???"), hit("a b c", bm25=0.0, dense=-0.1)])
        assert np.isfinite(rows).all()
