"""What a reader gets: pure functions from findings to an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import answers, evidence, phrases, planning
from graphs.state import Finding
from tests.graphs.team_house import DIEM, REFUND, passage


def finding(text: str = "Within 45 days.", **changes: object) -> Finding:
    made = {
        "task_id": "t",
        "agent": "researcher",
        "instruction": "How long?",
        "text": text,
        "found": True,
        "sources": [passage(REFUND, chunk_id="refund")],
        "code": "",
        "output": "",
        "round": 0,
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def test_what_was_said_once_is_not_said_again() -> None:
    draft = "Report it within 2 hours. It takes 3 working days. 3 working days."
    assert (
        answers.without_repetitions(draft) == "Report it within 2 hours. It takes 3 working days."
    )


def test_the_working_is_shown_as_far_as_it_is_grounded() -> None:
    facts = finding("facts", sources=[passage(DIEM, chunk_id="diem")])
    computed = finding(
        "3 days cost 3 × 44 EUR. The fee is 9 EUR.",
        agent="coder",
        instruction="3 days in Austria?",
        sources=[],
        code="print(132)",
        output="132.00 EUR\n",
    )
    assert answers.joined([facts, computed]) == "3 days cost 3 × 44 EUR. The result is 132.00 EUR."


def test_a_partial_answer_says_why_it_stopped_and_lists_what_was_found() -> None:
    composed = answers.compose(
        draft="", question="How long?", findings=[finding("")], stop_reason="max_steps"
    )
    assert "the limit of steps was reached" in composed.text
    assert [source.chunk_id for source in composed.sources] == ["refund"]


def test_the_part_that_was_not_found_is_named() -> None:
    """It is no claim: it is neither checked nor cited."""
    missing = finding("", found=False, instruction="And the fee for 45 days?")
    found = [finding(), missing]
    composed = answers.compose(
        draft=answers.joined(found) or "", question="?", findings=found, stop_reason="answered"
    )
    assert composed.text == (
        "Within 45 days [1]. The documents do not answer: And the fee for 45 days?"
    )


def test_a_result_that_rests_on_no_document_cites_none() -> None:
    nothing = finding("", found=False)
    computed = finding("", agent="coder", sources=[], code="print(45)", output="45\n")
    found = [nothing, computed]
    composed = answers.compose(
        draft=answers.joined(found) or "", question="?", findings=found, stop_reason="answered"
    )
    assert (composed.text, composed.sources) == ("The result is 45.", ())


def test_passages_of_several_searches_take_turns() -> None:
    one, two, three = (passage(REFUND, chunk_id=name) for name in ("a", "b", "c"))
    order = [found["chunk_id"] for found in evidence.interleave([[one, two], [three, one]])]
    assert order == ["a", "c", "b"]


def test_several_questions_in_one_sentence_come_apart_in_the_users_words() -> None:
    asked = "My laptop was stolen. How soon must I report it, and until when do I get a new one?"
    assert planning.parts_of(asked) == [
        "My laptop was stolen. How soon must I report it?",
        "My laptop was stolen. Until when do I get a new one?",
    ]
    assert len(planning.parts_of("What does it cost to buy and sell?")) == 1


@given(st.text(max_size=200))
def test_a_draft_is_never_made_longer_by_leaving_out(draft: str) -> None:
    assert len(answers.without_repetitions(draft)) <= max(len(draft), 1)
    assert all(part.strip() for part in planning.parts_of(draft))


ASKED = {
    "de": "Wie lange habe ich Zeit?",
    "fr": "Combien de temps est-ce que j'ai ?",
    "es": "¿Cuánto tiempo tengo?",
    "it": "Quanto tempo ho per questo?",
    "pt": "Quanto tempo tenho para isso?",
    "nl": "Hoeveel tijd heb ik?",
    "zh": "我有多少天？",
    "ja": "期限はいつまでですか？",
}


def without_an_answer(question: str, stop_reason: str, *, draft: str = "") -> str:
    found = [finding("", instruction=question, found=False)]
    return answers.compose(
        draft=draft, question=question, findings=found, stop_reason=stop_reason
    ).text


@pytest.mark.parametrize("question", ASKED.values(), ids=ASKED)
def test_what_the_team_says_by_itself_is_in_the_language_of_the_question(question: str) -> None:
    english = without_an_answer("How long do I have?", "not_found")
    said = without_an_answer(question, "not_found")
    assert question in said
    assert english.partition(".")[0] not in said
    for reason in phrases.REASONS:
        for draft in ("", "45"):
            stopped = without_an_answer(question, reason, draft=draft)
            assert phrases.of(question).reasons[reason] in stopped
            assert "I had to stop" not in stopped
            assert "What I have" not in stopped
    computed = finding("", agent="coder", instruction=question, output="45\n")
    assert "The result" not in (answers.joined([computed]) or "")
    assert "45" in (answers.joined([computed]) or "")


def test_a_question_in_a_language_that_is_not_certain_is_answered_in_english() -> None:
    said = without_an_answer("Сколько дней отпуска?", "not_found")
    assert said.startswith("The documents do not say that.")
    assert "Сколько дней отпуска?" in said
