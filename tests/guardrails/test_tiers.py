"""Tables whose lines are ranges."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import tiers

CREDITS = """Business plan:

| Uptime in the month | Credit |
| --- | --- |
| 99.5 % or more, but less than 99.9 % | 10 % |
| 99.0 % or more, but less than 99.5 % | 25 % |
| less than 99.0 % | 50 % |

Team plan:

| Uptime in the month | Credit |
| --- | --- |
| 99.0 % or more, but less than 99.5 % | 5 % |
| less than 99.0 % | 15 % |"""


def lines(question: str, *texts: str) -> list[str]:
    return [tier.line for tier in tiers.holding(question, texts)]


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("Business plan, the uptime was 99.2 %: what credit?", "25 %"),
        ("Business plan, uptime 99.5 %?", "10 %"),
        ("Business plan, uptime of 98 percent?", "50 %"),
        ("Team plan, uptime 99.2 %?", "| 5 %"),
    ],
)
def test_the_line_that_holds_for_a_number_is_found(question: str, line: str) -> None:
    found = lines(question, CREDITS)
    assert len(found) == 1
    assert line in found[0]


def test_where_the_question_names_no_table_all_are_given() -> None:
    assert len(lines("Uptime 99.2 %: which credit?", CREDITS)) == 2


@pytest.mark.parametrize(
    "question",
    ["We pay 99 EUR: which credit?", "Which credit do we get?", "Uptime was 99.95 %?", ""],
)
def test_a_number_of_another_unit_or_outside_all_ranges_holds_for_no_line(question: str) -> None:
    assert lines(question, CREDITS) == []


@pytest.mark.parametrize(
    ("cell", "inside", "outside"),
    [
        ("fewer than 100", "99", "100"),
        ("100 or more, but fewer than 500", "100", "500"),
        ("500 or more", "500", "499"),
        ("more than 10", "10.01", "10"),
        ("up to 5", "5", "5.1"),
        ("10 to 20 users", "20", "21"),
        ("1,000–2,000", "1500", "900"),
        ("at least 3 years", "3", "2"),
    ],
)
def test_a_range_is_read_as_people_write_it(cell: str, inside: str, outside: str) -> None:
    found = tiers.read_range(cell)
    assert found is not None
    assert found.holds(Decimal(inside))
    assert not found.holds(Decimal(outside))


@pytest.mark.parametrize("cell", ["Business", "12 March 2026", "", "20 to 10"])
def test_what_spans_nothing_is_no_range(cell: str) -> None:
    assert tiers.read_range(cell) is None


@given(st.text(max_size=60), st.text(alphabet="| -9%.\nab<", max_size=120))
def test_any_text_can_be_looked_through(question: str, text: str) -> None:
    tiers.holding(question, [text])
    tiers.read_range(text)
