"""Deterministic grounding: numbers and rare words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import grounding, languages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234.50 EUR", {"1234.5"}),
        ("thirty-one days", {"31"}),
        ("within fourteen days [2]", {"14"}),
        ("99.95% uptime, 12 500 users", {"99.95", "12", "500"}),
        ("12\u00a0500 users", {"12500"}),
        ("on 2026-03-05", {"2026", "3", "5"}),
        ("on 05.03.2026, by 3.11.7", {"2026", "3", "5", "11", "7"}),
        ("no number", set()),
    ],
)
def test_numbers_are_read_in_digits_and_in_small_words(text: str, expected: set[str]) -> None:
    assert grounding.numbers(text) == {Decimal(value) for value in expected}


def test_a_number_that_nobody_stated_is_named() -> None:
    assert grounding.unsupported_numbers("30 days or 45", ["within 45 days"]) == ["30"]
    assert grounding.unsupported_numbers("forty-five days", ["within 45 days"]) == []


def test_one_is_a_number_only_where_it_counts() -> None:
    known = ["An annual plan within 45 days, a monthly plan within 14 days."]
    fine = "An annual plan within 45 days, the monthly one within 14, and no one pays."
    assert grounding.unsupported_numbers(fine, known) == []
    for wrong in ("Within one day.", "Within one working day.", "It takes 1 person."):
        assert grounding.unsupported_numbers(wrong, known) == ["1"]
    assert grounding.unsupported_numbers("Within one day.", ["1 day"]) == []


def test_a_number_is_read_in_the_notation_of_its_language() -> None:
    price = "Der große Tarif kostet 1.200,50 EUR im Jahr, der kleine 12,5 EUR."
    assert grounding.unsupported_numbers("It costs 1,200.50 EUR or 12.5 EUR.", [price]) == []
    assert grounding.unsupported_numbers("Er kostet 1.200,50 EUR.", [price]) == []
    english = "The large plan weighs 1.200 kg."
    assert grounding.unsupported_numbers("It weighs 1200 kg.", [english]) == ["1200"]


def test_a_date_is_the_same_date_however_it_is_written() -> None:
    for stated in ("from 05.03.2026 on", "from 2026-03-05 on", "from 5 March 2026 on"):
        assert grounding.unsupported_numbers("It holds from 5 March 2026.", [stated]) == []
    assert grounding.unsupported_numbers("From 05.03.2026.", ["from 2026-03-05 on"]) == []


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Was kostet der Business-Tarif?", True),
        ("Welche Kündigungsfrist gilt?", True),
        ("Hoeveel vakantiedagen heb ik?", True),
        ("Combien de jours de congé ai-je ?", True),
        ("Сколько дней отпуска?", True),
        ("What does a visit to the Café de la Gare cost?", False),
        ("Who pays a trip to Den Haag?", False),
        ("The resistor has 10 kΩ.", False),
        ("MIT license", False),
        ("parental leave duration", False),
        ("No refunds, me too.", False),
        ("", False),
    ],
)
def test_what_is_surely_not_english(text: str, foreign: bool) -> None:
    assert languages.is_foreign(text) is foreign


def test_little_words_of_other_languages_make_no_question_special() -> None:
    assert grounding.content_words("Bis wann kann ich einen Jahresplan zurückgeben?") == [
        "Jahresplan",
        "zurückgeben",
    ]
    assert grounding.content_words("¿Cuántos días de vacaciones tengo?") == ["días", "vacaciones"]
    assert "MIT" in grounding.content_words("Is the MIT license allowed for us?")


def test_a_language_without_spaces_has_sentences_and_words() -> None:
    assert grounding.sentences("退款需要十四天。费用是99欧元!真的?") == [
        "退款需要十四天。",
        "费用是99欧元!真的?",
    ]
    assert grounding.content_words("退款需要") == ["退款", "款需", "需要"]
    assert grounding.missing_words("退款?", ["年度退款规则"]) == []


def test_only_the_sentence_with_the_loose_number_is_a_problem() -> None:
    draft = "Plans can be returned within 45 days [1]. A fee of 12 EUR applies."
    problems = grounding.ungrounded_claims(draft, ["45 days"])
    assert [problem.claim for problem in problems] == ["A fee of 12 EUR applies."]
    assert "12" in problems[0].reason


def test_the_word_that_makes_a_question_special_is_missed() -> None:
    evidence = ["Everybody has 28 days of paid leave.", "Leave for a wedding: 2 days"]
    assert grounding.missing_words("How many weeks of parental leave do I get?", evidence) == [
        "parental"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("refunds", "refunded"),
        ("cancel", "cancellation"),
        ("plans", "plan"),
        ("policy", "policies"),
    ],
)
def test_forms_of_one_word_share_a_stem(one: str, other: str) -> None:
    assert grounding.stem(one) == grounding.stem(other)


@given(st.integers(0, 10**9))
def test_a_number_with_separators_is_the_same_number(value: int) -> None:
    assert grounding.numbers(f"it is {value:,} EUR") == grounding.numbers(f"it is {value} EUR")


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_text_supports_itself_whatever_it_says(text: str, other: str) -> None:
    assert grounding.unsupported_numbers(text, [other, text]) == []
    assert grounding.missing_words(text, [text]) == []


def test_a_text_is_read_alike_whether_it_is_remembered_or_too_long_for_that() -> None:
    text = "Refunds within 30 days, at twenty-one percent. "
    for one in (text, text, text * 200, text * 200):
        assert grounding.numbers(one) == {Decimal(30), Decimal(21)}
        assert grounding.stem("refunded") in grounding.stems(one)


def test_what_numbers_a_list_is_stated_by_nobody() -> None:
    steps = "To do:\n1. Open it.\n2. Close it within 45 days."
    assert grounding.sentences(steps) == ["To do:", "Open it.", "Close it within 45 days."]
    assert grounding.ungrounded_claims(steps, ["45 days"]) == []
    alone = "45. That is the limit."
    assert [one.claim for one in grounding.ungrounded_claims(alone, ["the limit"])] == ["45."]


def test_an_abbreviation_ends_no_sentence() -> None:
    text = "It costs 12 EUR (e.g. in Austria, see No. 5). Ask Dr. Young, approx. 3 days before! Ok?"
    assert grounding.sentences(text) == [
        "It costs 12 EUR (e.g. in Austria, see No. 5).",
        "Ask Dr. Young, approx. 3 days before!",
        "Ok?",
    ]


def test_a_text_without_some_sentences_keeps_its_lines() -> None:
    text = "Plans:\n1. Monthly. It costs 12.\n2. Annual.\n   - Run `a. b` there. Or not."
    left = grounding.without_sentences(text, drop=["It costs 12.", "Or not."].__contains__)
    assert left == "Plans:\n1. Monthly.\n2. Annual.\n   - Run `a. b` there."
    assert grounding.without_sentences(text, drop=lambda _: True) == ""


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie viele Urlaubstage habe ich?", "de"),
        ("Was kostet der Business-Tarif?", "de"),
        ("Combien de jours de congé ai-je ?", "fr"),
        ("¿Cuántos días de vacaciones tengo?", "es"),
        ("Quanti giorni di ferie ho?", "it"),
        ("Quantos dias de férias tenho?", "pt"),
        ("Hoeveel vakantiedagen heb ik?", "nl"),
        ("年度计划可以退款吗？", "zh"),
        ("返金は誰が承認しますか？", "ja"),
        ("How many days of leave do I have?", ""),
        ("Hvor mange feriedage har jeg?", ""),
        ("Ile mam dni urlopu?", ""),
        ("Câte zile de concediu am?", ""),
        ("有給休暇日数", ""),
        ("연차는 며칠입니까?", ""),
        ("Сколько дней отпуска?", ""),
        ("Wo?", ""),
        ("El Paso and Los Angeles opening hours", ""),
        ("Offices in Casa de la Vista, La Jolla and El Paso?", ""),
        ("Die Hard and Das Boot release dates", ""),
        ('Translate "Wie geht es dir heute?"', ""),
        ("Summarize der-vertrag-und-die-folgen.pdf", ""),
        ("What does 年假多少天 mean?", ""),
        ("Was heißt „as soon as possible“ in dem Vertrag?", "de"),
        ("WIE VIELE TAGE HABE ICH?", "de"),
        ('"Wie viele Tage habe ich?"', "de"),
    ],
)
def test_a_language_is_told_where_it_is_certain(text: str, language: str) -> None:
    assert languages.language(text) == language
