"""The judge: any wording of the right answer, and no other number."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.judge import judge, normalise
from evals.questions import Kind, Question, load

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = {question.id: question for question in load(EXAMPLES / "questions.json")}


def number(value: int) -> Question:
    return Question(
        id="n",
        question="How many?",
        kind=Kind.LOOKUP,
        answer=str(value),
        accept=((str(value),),),
        sources=("a.md",),
    )


RIGHT = [
    ("annual-return", "You have forty-five days from the payment [1]."),
    ("annual-return", "**45 days**; a monthly plan has 14 days and Education 60 days."),
    ("annual-return", "Monthly plans have 14 days. For the annual plan it is 45 days."),
    ("high-priority", "Within two hours [2]."),
    ("high-priority", "High tickets get a 2-hour response."),
    ("swiss-hotel", "Up to €210 a night."),
    ("work-abroad", "25 working days; outside the EU it is 10 working days."),
    ("phone-support", "Phone comes with Business only [1], at 29 EUR per user and month [2]."),
    ("stolen-laptop", "Within 2 hours [1]. The new one comes within three working days [2]."),
    ("stolen-laptop", "Report within two hours. A replacement laptop arrives in 3 days."),
    ("service-credit", "25 % of 1,240 EUR is 310.00 EUR."),
    ("per-diem", "3 × 44 EUR = 132 EUR, 2 × 62 EUR = 124 EUR, together 256 EUR."),
    ("data-deletion", "Your data will be deleted on June 10th, 2026."),
    ("data-deletion", "Deleted on the 10th of June 2026."),
    ("data-deletion", "2026-06-10"),
    ("data-deletion", "That is 10.06.2026."),
    ("parental-leave", "The documents do not contain anything about parental leave."),
    ("parental-leave", "I could not find a policy on parental leave. Paid leave is 28 days."),
    ("parental-leave", "There is no information on parental leave in the handbook."),
    ("parental-leave", "The sources don't state how many weeks of parental leave you get."),
    ("parental-leave", "Parental leave isn't mentioned; only paid leave of 28 days is."),
]
WRONG = [
    ("annual-return", ""),
    ("annual-return", "You have 30 days."),
    ("annual-return", "You have 145 days."),
    ("annual-return", "You have 45.5 days."),
    ("annual-return", "See source [45]."),
    ("annual-return", "An annual plan has 14 days; 45 is for schools."),
    ("annual-return", "You have 45 or 60 days."),
    ("annual-return", "You have between 45 and 60 days."),
    ("annual-return", "You have 30-45 days."),
    ("high-priority", "Within 2 business days."),
    ("high-priority", "Within 6 hours [2]."),
    ("swiss-hotel", "190 EUR."),
    ("work-abroad", "10 working days, so not 25."),
    ("phone-support", "Business, 16 EUR."),
    ("phone-support", "It costs 29 EUR."),
    ("stolen-laptop", "Report it within 2 hours; tell the police within 3 days."),
    ("service-credit", "You get a credit of 124 EUR, 10 %."),
    ("service-credit", "1240 * 0.25 = 1,310 EUR"),
    ("per-diem", "44 + 62 = 106 EUR"),
    ("per-diem", "The total is 194 EUR (and not 256)."),
    ("data-deletion", "On 12 June 2026."),
    ("data-deletion", "110 June 2026"),
    ("parental-leave", "You get 28 days of paid leave."),
    ("parental-leave", "You get 28 days."),
    ("parental-leave", "You get 28 days of paid leave for parental leave. No information on more."),
    ("parental-leave", "The documents do not mention it. Parental leave is usually 14 weeks."),
    ("parental-leave", "Ask your manager about parental leave."),
    ("parental-leave", "You do not have to apply for parental leave."),
    ("parental-leave", ""),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_the_right_answer_is_taken_in_any_wording(name: str, answer: str) -> None:
    found = judge(QUESTIONS[name], answer, QUESTIONS[name].sources)
    assert found.correct, found.reason
    assert found.reason == "right"


@pytest.mark.parametrize(("name", "answer"), WRONG)
def test_a_wrong_or_open_answer_is_not_taken(name: str, answer: str) -> None:
    found = judge(QUESTIONS[name], answer, QUESTIONS[name].sources)
    assert not found.correct
    assert found.reason != "right"


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_known_answer_of_each_example_question_is_judged_right(name: str) -> None:
    question = QUESTIONS[name]
    found = judge(question, question.answer, [f"/some/where/{file}" for file in question.sources])
    assert (found.correct, found.source_ok) == (True, True), found.reason


@given(st.integers(0, 10**7), st.sampled_from(["{}", "{:,}", "**{:,}**", "€{:,}", "{:,}.00 EUR"]))
def test_a_number_is_known_in_every_way_of_writing_it(value: int, form: str) -> None:
    answer = f"It is {form.format(value)}, as said [3]."
    assert judge(number(value), answer, ["a.md"]).correct


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_other_number_passes_for_the_right_one(right: int, said: int) -> None:
    assert judge(number(right), f"It is {said:,} EUR.", ["a.md"]).correct == (right == said)


@given(st.integers(0, 10**4), st.integers(0, 10**4))
def test_a_citation_is_not_a_number_of_the_answer(right: int, other: int) -> None:
    assert not judge(number(right), f"As the page says [{right}, {other}].", ["a.md"]).correct


@given(st.text(max_size=80))
def test_any_text_can_be_judged_and_none_without_the_number_is_right(text: str) -> None:
    assert not judge(number(7), text, ()).correct or "7" in normalise(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("forty-five", "45"),
        ("two hundred and ten", "210"),
        ("one thousand two hundred forty", "1240"),
        ("ninety", "90"),
        ("10 and twenty", "10 and 20"),
        ("5 per cent", "5%"),
        ("someone often", "someone often"),
    ],
)
def test_number_words_become_digits(written: str, value: str) -> None:
    assert normalise(written) == value


def test_one_right_source_is_enough_for_a_lookup_and_a_path_counts_by_its_file() -> None:
    question = QUESTIONS["swiss-hotel"]
    assert judge(question, "210", ["docs/x/travel-and-expenses.docx", "leave.docx"]).source_ok
    missed = judge(question, "210", ["leave.docx"])
    assert (missed.correct, missed.source_ok) == (True, False)
    assert missed.reason == "no right source: travel-and-expenses.docx"


def test_a_question_over_two_documents_wants_both_cited() -> None:
    question = QUESTIONS["phone-support"]
    missed = judge(question, question.answer, ["support-guide.pdf"])
    assert (missed.correct, missed.source_ok) == (True, False)
    assert missed.reason == "no right source: plans-and-refunds.md"


def test_an_unanswerable_question_needs_no_source() -> None:
    question = QUESTIONS["parental-leave"]
    assert judge(question, question.answer, []).source_ok
