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

RUN_IN = """The time runs from the arrival.
Starter and Education plans. We answer high tickets
within 2 business days.
Team plan. We answer high tickets within 8 hours, normal ones within 2 business days.
Business plan. We answer high tickets within 2 hours."""


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("How long can I return a monthly plan?", "Within 45 days [1].", "Annual plan"),
        ("And how fast for low priority tickets?", "In 2 hours.", "High priority"),
        (
            "How fast is a high ticket answered on the Business plan?",
            "On the Business plan, high tickets are answered within 2 business days [1].",
            "Starter and Education plans",
        ),
    ],
)
def test_an_answer_from_the_line_beside_is_noticed(question: str, answer: str, said: str) -> None:
    found = labels.beside(question, answer, [LIST, TABLE, RUN_IN])
    assert len(found) == 1
    assert said in found[0].reason


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long can I return an annual plan?", "Within 45 days."),
        ("How long can I return a plan?", "Within 45 days."),
        ("May I return a monthly plan?", "Yes."),
        ("How do annual and monthly plans differ?", "An annual plan has 45 days."),
        ("Which priority has 2 hours?", "High priority has 2 hours."),
        ("How fast is a high ticket on the Business plan?", "Within 2 hours."),
        ("Which plan answers in 8 hours?", "The Team plan."),
        ("Which plan do we need for 2 hours, Business or Team?", "The Team plan has 8 hours."),
    ],
)
def test_what_fits_or_cannot_be_told_apart_stays(question: str, answer: str) -> None:
    assert labels.beside(question, answer, [LIST, TABLE, RUN_IN]) == []


def test_the_line_that_the_question_names_is_told_with_its_words() -> None:
    """A model that misread once is shown what to read."""
    said = "On the Business plan, high tickets are answered within 2 business days [1]."
    (found,) = labels.beside(
        "How fast is a high ticket answered on the Business plan?", said, [RUN_IN]
    )
    assert found.reason.endswith("Business plan. We answer high tickets within 2 hours.")


def test_lines_are_read_from_lists_and_tables() -> None:
    groups = labels.lines(f"{LIST}\n\n{TABLE}\n\nA sentence: with a colon.\n")
    assert [[line.label for line in group] for group in groups] == [
        ["Monthly plan", "Annual plan", "Education"],
        ["High priority", "Low priority"],
    ]
