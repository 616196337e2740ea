"""Where in a passage a claim stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import spans

PLANS = """Money back:
- **Monthly plan.** The first month is refunded if the request reaches us within 14 days
  of the first payment.
- **Annual plan.** The whole price is refunded if the request reaches us within 45 days of the
  payment. This holds for every renewal.

| Plan | Price |
| --- | --- |
| Team | 16 EUR |
| Business | 24 EUR |"""


@pytest.mark.parametrize(
    ("claim", "there"),
    [
        ("You can return an annual plan within 45 days.", "**Annual plan.**"),
        ("The Business plan costs 24 EUR.", "| Business | 24 EUR |"),
        ("The first month is refunded within 14 days.", "of the first payment."),
    ],
)
def test_a_claim_is_narrowed_to_the_sentences_that_bear_it(claim: str, there: str) -> None:
    places = spans.narrowed(claim, PLANS)
    cited = " ".join(PLANS[start:end] for start, end in places)
    assert there in cited
    assert len(cited) < len(PLANS) / 2


def test_a_wrapped_line_is_one_sentence_and_a_table_line_is_one_piece() -> None:
    found = [PLANS[start:end] for start, end in spans.pieces(PLANS)]
    assert "| Team | 16 EUR |" in found
    assert any(one.endswith("14 days\n  of the first payment.") for one in found)


def test_nothing_shared_is_no_place() -> None:
    assert spans.narrowed("Whales sing.", PLANS) == []


def test_a_number_that_its_cited_sentences_do_not_state_is_no_supported_claim() -> None:
    passages = ["Bikes stand in the yard.", "Lunch costs 7 EUR."]
    held = spans.unsupported("Lunch costs 7 EUR.", passages)
    assert held == []
    assert spans.unsupported("Bikes cost 9 EUR.", passages)[0].claim == "Bikes cost 9 EUR."
    assert spans.unsupported("For 9 bikes: the yard.", passages, known=["9 bikes"]) == []
    assert spans.unsupported("Page 4: bikes in the yard.", passages, places=["page 4"]) == []


def test_a_repeated_table_header_is_cited_by_where_its_span_begins() -> None:
    text = "| a | b |\n| 1 | 2 |"
    span = (100, 109)
    assert spans.in_document((10, 19), text=text, span=span) == (100, 109)
    assert spans.in_document((14, 19), text=text, span=span) == (104, 109)
    assert spans.in_document((0, 5), text=text, span=span) == span
    assert spans.in_document((0, 5), text="short", span=(0, 500)) == (0, 500)


def test_each_mark_of_a_sentence_is_resolved() -> None:
    answer = "A plan is refunded within 45 days [1][2]. Nothing else."
    first, second = spans.claims(answer)
    assert (first.numbers, second.numbers) == ((1, 2), ())
    assert answer[first.start : first.end] == "A plan is refunded within 45 days [1][2]."
    cited = spans.cited(first, {1: (PLANS, (7, 7 + len(PLANS))), 3: ("no", None)})
    assert [number for number, _, _ in cited] == [1]
    _, (start, end), there = cited[0]
    assert there == (start + 7, end + 7)


def test_an_index_in_code_cites_nothing() -> None:
    answer = "Run this [2]:\n```\nports[1]\n```\nThen `ports[1]` is open [2]."
    claims = spans.claims(answer)
    assert [one.numbers for one in claims] == [(2,), (2,)]
    assert [answer[one.start : one.end] for one in claims] == [
        "Run this [2]:",
        "Then `ports[1]` is open [2].",
    ]


@given(st.text(alphabet="ab1 .\n|-*", max_size=80), st.text(alphabet="ab1 .\n|-", max_size=40))
def test_every_place_lies_in_its_text_and_places_are_in_order(text: str, claim: str) -> None:
    places = spans.narrowed(claim, text)
    flat = [edge for place in places for edge in place]
    assert flat == sorted(flat)
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(text[start:end] == text[start:end].strip() for start, end in places)
