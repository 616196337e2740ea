"""Citations: each sentence points at the passage that it rests on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrails import citations

PLAN = "An annual plan is refunded within 45 days of the payment, a monthly plan within 14 days."
DIEM = "Per diem: Denmark 62 EUR, Austria 44 EUR."
LAPTOP = "A stolen laptop is replaced within 3 working days."
PASSAGES = [PLAN, DIEM, LAPTOP]


def test_each_sentence_gets_the_passage_that_it_shares_most_with() -> None:
    text, used = citations.cite(
        "A laptop is replaced in 3 working days. An annual plan: 45 days.", PASSAGES
    )
    assert text == "A laptop is replaced in 3 working days [1]. An annual plan: 45 days [2]."
    assert used == [2, 0]


def test_a_mark_of_the_models_own_is_kept_and_renumbered() -> None:
    assert citations.cite("Denmark pays 62 EUR [2].", PASSAGES) == ("Denmark pays 62 EUR [1].", [1])


def test_a_mark_that_points_at_the_wrong_passage_is_replaced() -> None:
    text, used = citations.cite("Denmark pays 62 EUR [3].", PASSAGES)
    assert (text, used) == ("Denmark pays 62 EUR [1].", [1])


def test_a_mark_without_a_passage_is_dropped() -> None:
    text, used = citations.cite("Hello there [9].", PASSAGES)
    assert (text, used) == ("Hello there.", [])


def test_talk_about_passages_is_left_out() -> None:
    text, _ = citations.cite("The passage [2] states that Austria pays 44 EUR.", PASSAGES)
    assert text == "Austria pays 44 EUR [1]."

    text, _ = citations.cite("According to [2], Austria pays 44 EUR.", PASSAGES)
    assert text == "Austria pays 44 EUR [1]."
    text, _ = citations.cite("According to the Business plan, Austria pays 44 EUR.", PASSAGES)
    assert text.startswith("According to the Business plan, Austria pays 44 EUR")


def test_a_sentence_that_rests_on_two_passages_names_both() -> None:
    _, used = citations.cite("You wait 3 working days and receive 62 EUR.", PASSAGES)
    assert sorted(used) == [1, 2]


@given(st.text(max_size=300), st.lists(st.text(max_size=100), max_size=5))
def test_marks_in_the_text_are_exactly_the_used_passages(text: str, passages: list[str]) -> None:
    """Whatever a model writes, no mark points at a passage that is not a source."""
    cited, used = citations.cite(text, passages)
    assert set(citations.marks(cited)) == set(range(1, len(used) + 1))
    assert len(set(used)) == len(used)
    assert all(0 <= index < len(passages) for index in used)
