"""Lines of one list or table that differ by what they are about. Pure.

Measured: a small model that is asked about the monthly plan answers from the line of the annual
one beside it. What each line is about stands in front of it, so it can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardrails import citations, grounding

_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+(?P<words>.+)")
_BOLD = re.compile(r"(?:\*\*|__)(?P<label>.+?)(?:\*\*|__)")
_COLON = re.compile(r"(?P<label>[^:.]{2,60}):\s")
_ROW = re.compile(r"\s*\|(?P<label>[^|]+)\|")
_LONGEST = 6  # words


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a list or table: what it is about, and the whole of it with what follows it."""

    label: str
    text: str


def lines(text: str) -> list[list[Line]]:
    """The lists and tables of a text, each as its labelled lines; two lines at least."""
    groups: list[list[Line]] = []
    kind = ""
    for row in text.splitlines():
        label, is_kind = _labelled(row)
        if label:
            if is_kind != kind:
                groups.append([])
            groups[-1].append(Line(label=label, text=row.strip()))
            kind = is_kind
        elif row.strip() and kind == "item" and groups[-1] and row.startswith((" ", "\t")):
            last = groups[-1][-1]
            groups[-1][-1] = Line(label=last.label, text=f"{last.text}\n{row.strip()}")
        elif row.strip():
            kind = ""
    return [group for group in groups if len(group) > 1]


def _labelled(row: str) -> tuple[str, str]:
    if found := _ROW.match(row):
        label = found["label"].strip()
        return (label, "row") if not set(label) <= set("-: ") else ("", "")
    if not (item := _ITEM.match(row)):
        return "", ""
    words = item["words"]
    found = _BOLD.match(words) or _COLON.match(words)
    label = found["label"].strip(" .:") if found else ""
    return (label, "item") if 0 < len(label.split()) <= _LONGEST else ("", "")


def beside(question: str, answer: str, passages: Sequence[str]) -> list[grounding.Problem]:
    """Claims that rest on one line while the question names the line beside it.

    Only where what the cited line is about shares a word with the question, and another line of
    the same list has all its words in the question, those among them and one more.
    """
    asked = {grounding.stem(word) for word in grounding.words(question)}
    problems = []
    for sentence in grounding.sentences(answer):
        bare = citations.without_marks(sentence)
        figures = grounding.numbers(bare)
        said = {grounding.stem(word) for word in grounding.content_words(bare)}
        for text in passages:
            better = _better(asked, said, figures, text)
            if better is not None:
                problems.append(
                    grounding.Problem(
                        claim=sentence,
                        reason=f"that is said of “{better[0].label}”; the question is about "
                        f"“{better[1].label}”",
                    )
                )
                break
    return problems


def _better(
    asked: set[str], said: set[str], figures: frozenset[Decimal], text: str
) -> tuple[Line, Line] | None:
    if not figures:
        return None
    for group in lines(text):
        resting = [line for line in group if figures <= grounding.numbers(line.text)]
        if len(resting) != 1:
            continue
        line = resting[0]
        own = _stems(line.label)
        for other in group:
            theirs = _stems(other.label)
            named = theirs <= asked and own & asked and own & asked < theirs & asked
            # What the claim says itself of the other line's subject is another matter.
            if other is not line and named and not theirs - own <= said:
                return line, other
    return None


def _stems(label: str) -> set[str]:
    return {grounding.stem(word) for word in grounding.words(label)}
