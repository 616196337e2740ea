"""Lines of one list that differ by what they are about."""

from __future__ import annotations

import pytest

from guardrails import labels

LIST = """- **Monthly plan.** Refunded within 14 days.
- **Annual plan.** Refunded within 45 days.
- **Education.** No refund."""
TABLE = """| Ticket priority | Answer |
| --- | --- |
| High priority | 2 hours |
| Low priority | 3 days |"""


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("How long can I return a monthly plan?", "Within 45 days [1].", "Annual plan"),
        ("And how fast for low priority tickets?", "In 2 hours.", "High priority"),
    ],
)
def test_an_answer_from_the_line_beside_is_noticed(question: str, answer: str, said: str) -> None:
    found = labels.beside(question, answer, [LIST, TABLE])
    assert len(found) == 1
    assert said in found[0].reason


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long can I return an annual plan?", "Within 45 days."),
        ("How long can I return a plan?", "Within 45 days."),
        ("May I return a monthly plan?", "Yes."),
        ("How do annual and monthly plans differ?", "An annual plan has 45 days."),
        ("How long can I return a monthly plan?", "A monthly plan has 45 days less."),
        ("Which priority has 2 hours?", "High priority has 2 hours."),
    ],
)
def test_what_fits_or_cannot_be_told_apart_stays(question: str, answer: str) -> None:
    assert labels.beside(question, answer, [LIST, TABLE]) == []


def test_lines_are_read_from_lists_and_tables() -> None:
    groups = labels.lines(f"{LIST}\n\n{TABLE}\n\nA sentence: with a colon.\n")
    assert [[line.label for line in group] for group in groups] == [
        ["Monthly plan", "Annual plan", "Education"],
        ["High priority", "Low priority"],
    ]
