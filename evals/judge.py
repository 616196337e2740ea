"""Whether an answer is right: pure, tolerant of wording, strict on numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from evals.questions import Kind, Question

_SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_UNITS: Final = {word: value for value, word in enumerate(_SMALL)}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), start=2
    )
}
_WORD: Final = "|".join(sorted([*_UNITS, *_TENS], key=len, reverse=True))
_WORDS: Final = re.compile(
    rf"\b(?:(?:{_WORD}|hundred|thousand)(?:[\s-]+(?:and\s+)?(?=(?:{_WORD}|hundred|thousand)\b))?)+\b"
)
_CITATION: Final = re.compile(r"\[\s*\d+(?:\s*[,;–-]\s*\d+)*\s*\]|【[^】]*】")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)*")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+|;\s+")
# "45 or 60 days", "between 45 and 60 days", "45-60 days": two answers are no answer.
_HEDGE: Final = re.compile(
    r"(?P<a>\d+(?:\.\d+)*)(?:[ -](?:[a-z]+|€|%)){0,2} (?:or|to) (?P<b>\d+(?:\.\d+)*)"
    r"|between (?:eur |€ ?)?(?P<c>\d+(?:\.\d+)*)(?: [a-z€%]+)? and "
    r"(?:eur |€ ?)?(?P<d>\d+(?:\.\d+)*)"
    r"|(?<![\d.-])(?P<e>\d+) ?[-–] ?(?P<f>\d+) (?:calendar |working |business )?[a-z€]+"
)
_DOCUMENTS: Final = (
    r"(?:documents?|sources?|passages?|handbook|evidence|context|pages?|texts?|information)"
)
_SAYS: Final = (
    r"(?:contain|mention|say|cover|include|specify|address|provide|state|describe|give|list|define|"
    r"find|discuss|offer|tell|answer|refer|indicate|have (?:any|enough|an?|information))"
)
_ABSENT: Final = re.compile(
    rf"\b(?:do|does|did|could|can|was|were|is|are)(?:n't| not)(?: \w+)? {_SAYS}"
    r"|\bcannot (?:find|answer|say|be (?:found|answered|determined))"
    rf"|\b(?:not|n't|never|nowhere) (?:\w+ )?(?:mentioned|covered|specified|found|stated|described|"
    r"addressed|contained|included|listed|provided|given|defined|discussed|documented|available|"
    rf"in the (?:\w+ )?{_DOCUMENTS}|part of)"
    r"|\bno (?:\w+ ){0,2}(?:information|mention|policy|rules?|details?|passage|statement|"
    rf"provision|entry|answer)\b|\bnone of the (?:\w+ )?{_DOCUMENTS}"
    rf"|\b(?:nothing|silent) (?:is )?(?:said |written |stated )?(?:about|on|in)\b|\bunable to find"
)
_QUANTITY: Final = re.compile(
    r"\d+(?:\.\d+)?[ -]?(?:calendar |working |business |paid )?"
    r"(?:weeks?|days?|months?|hours?|years?|%|eur\b|€)"
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """``correct``: the answer is right; ``source_ok``: a right file is cited; ``reason``: why."""

    correct: bool
    source_ok: bool
    reason: str


def normalise(text: str) -> str:
    """Lower case without citations and emphasis, numbers in one form.

    ``1,234.00`` becomes ``1234``, ``forty-five`` becomes ``45``, ``25 %`` becomes ``25%``.
    """
    text = re.sub(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text)
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = re.sub("[\u2010\u2011\u2012\u2212]", "-", text)
    text = _CITATION.sub(" ", text)
    text = re.sub(r"[*_`$\\]+", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = _WORDS.sub(lambda found: str(_value(found[0])), text)
    text = re.sub(r"(?<![\d.])(\d+)[.,]0{1,2}(?![\d.]*\d)", r"\1", text)
    text = re.sub(r"(?<=\d)\s*(?:%|per ?cent\b|percent\b)", "%", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" (?=[.,;:!?](?:\s|$))", "", text).strip()


def occurs(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the normalised text without cutting a number in two."""
    numbers = [found.span() for found in _NUMBER.finditer(text)]
    return any(
        not any(a < edge < b for a, b in numbers for edge in found.span())
        for found in re.finditer(pattern, text)
    )


def judge(question: Question, answer_text: str, sources: Iterable[str]) -> Judgement:
    """Judge one answer.

    Args:
        question: what was asked and what counts as right.
        answer_text: the answer as the user sees it.
        sources: the cited files, as names, paths or addresses.
    """
    text = normalise(answer_text)
    cited = {PurePosixPath(source.replace("\\", "/")).name for source in sources}
    found = [name in cited for name in question.sources]
    source_ok = not found or (all(found) if question.all_sources else any(found))
    wrong = (
        _unanswered(question, text)
        if question.kind is Kind.UNANSWERABLE
        else (_unaccepted(question, text))
    )
    missing = (
        ""
        if source_ok
        else "no right source: "
        + (" and " if question.all_sources else " or ").join(
            name for name, there in zip(question.sources, found, strict=True) if not there
        )
    )
    reason = "; ".join(filter(None, (wrong, missing))) or "right"
    return Judgement(correct=not wrong, source_ok=source_ok, reason=reason)


def says_absent(answer: str) -> bool:
    """Whether an answer says that the documents do not have it."""
    return bool(_ABSENT.search(normalise(answer)))


def _unaccepted(question: Question, text: str) -> str:
    """Why an answer to an answerable question is wrong; empty when it is right."""
    if not text:
        return "no answer"
    for pattern in question.reject:
        if occurs(pattern, text):
            return f"says what is wrong: {pattern}"
    for alternative in question.accept:
        if all(occurs(pattern, text) for pattern in alternative):
            hedged = _hedged(alternative, text)
            return f"leaves it open: {hedged}" if hedged else ""
    return "does not say: " + question.answer


def _hedged(alternative: tuple[str, ...], text: str) -> str:
    """The words in which a right number stands beside another one as equally possible."""
    right = {number for pattern in alternative for number in _NUMBER.findall(pattern)}
    for found in _HEDGE.finditer(text):
        pair = {value for value in found.groupdict().values() if value is not None}
        if len(pair) == 2 and len(pair & right) == 1:
            return found[0]
    return ""


def _unanswered(question: Question, text: str) -> str:
    """Why a reply to an unanswerable question is wrong; empty when it owns up to not knowing."""
    for pattern in question.reject:
        if occurs(pattern, text):
            return f"says what is wrong: {pattern}"
    for sentence in _SENTENCE.split(text):
        absent = _ABSENT.search(sentence)
        # "The documents give no weeks of parental leave" is a denial and not a rule.
        if not (claim := _QUANTITY.search(sentence)) or (absent and absent.start() < claim.start()):
            continue
        on_subject = any(re.search(rf"\b(?:{word})\b", sentence) for word in question.subject)
        on_neighbour = any(re.search(rf"\b(?:{word})\b", sentence) for word in question.beside)
        if on_subject or not on_neighbour:
            return f"invents a rule: {claim[0]}"
    if not _ABSENT.search(text):
        return "does not say that the documents have no answer"
    return ""


def _value(words: str) -> int:
    total = current = 0
    for word in re.split(r"[\s-]+", words):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        elif word != "and":
            current += _UNITS.get(word, 0) + _TENS.get(word, 0)
    return total + current
