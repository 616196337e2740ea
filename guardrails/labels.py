"""Lines of one list or table that differ by what they are about. Pure.

Measured: a small model that is asked about the monthly plan answers from the line of the annual
one beside it. What each line is about stands in front of it, so it can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails import citations, grounding, quantities

_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+(?P<words>.+)")
_BOLD = re.compile(r"(?:\*\*|__)(?P<label>.+?)(?:\*\*|__)")
_COLON = re.compile(r"(?P<label>[^:.]{2,60}):\s")
# "Team plan. We answer …": a short sentence without a verb at the beginning of a line.
_RUN_IN = re.compile(r"(?P<label>[A-Z][^\s.:|]*(?: [^\s.:|]+){0,3})\. (?=[A-Z])")
_ROW = re.compile(r"\s*\|(?P<label>[^|]+)\|")
_LONGEST = 6  # words
_SHOWN = 500  # characters


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
        elif row.strip() and (kind == "run-in" or (kind == "item" and row.startswith((" ", "\t")))):
            last = groups[-1][-1]
            groups[-1][-1] = Line(label=last.label, text=f"{last.text}\n{row.strip()}")
        elif row.strip() or kind == "run-in":
            kind = ""
    return [group for group in groups if len(group) > 1]


def _labelled(row: str) -> tuple[str, str]:
    if found := _ROW.match(row):
        label = found["label"].strip()
        return (label, "row") if not set(label) <= set("-: ") else ("", "")
    if not (item := _ITEM.match(row)):
        run_in = _RUN_IN.match(row)
        return (run_in["label"], "run-in") if run_in else ("", "")
    words = item["words"]
    found = _BOLD.match(words) or _COLON.match(words)
    label = found["label"].strip(" .:") if found else ""
    return (label, "item") if 0 < len(label.split()) <= _LONGEST else ("", "")


def beside(question: str, answer: str, passages: Sequence[str]) -> list[grounding.Problem]:
    """Claims that rest on one line while the question names the line beside it.

    Only where no line that states the claim's numbers, with their units, is the one that the
    question names: what another line is about has all its words in the question, and among them
    those that the resting line shares with it and one more.
    """
    asked = {grounding.stem(word) for word in grounding.words(question)}
    problems = []
    for sentence in grounding.sentences(answer):
        bare = citations.without_marks(sentence)
        figures = quantities.quantities(bare)
        said = {grounding.stem(word) for word in grounding.content_words(bare)}
        for text in passages:
            found = _better(asked, said, figures, text)
            if found is not None:
                problems.append(
                    grounding.Problem(
                        claim=sentence,
                        reason=f"that is said of “{found[0].label}”; the question is about "
                        f"“{found[1].label}”, where it says: {_short(found[1].text)}",
                    )
                )
                break
    return problems


def _short(text: str) -> str:
    """On one line, as much as a small model still reads."""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN].rsplit(' ', 1)[0]} …"


def _better(
    asked: set[str], said: set[str], figures: frozenset[quantities.Quantity], text: str
) -> tuple[Line, Line] | None:
    if not figures:
        return None
    for group in lines(text):
        resting = [line for line in group if quantities.states(line.text, figures)]
        if not resting:
            continue
        for other in group:
            theirs = _stems(other.label)
            if other in resting or not theirs <= asked:
                continue
            if all(_worse(_stems(line.label), theirs, asked, said) for line in resting):
                return resting[0], other
    return None


def _worse(own: set[str], theirs: set[str], asked: set[str], said: set[str]) -> bool:
    """Whether a line fits the question less than another, and the claim does not name it itself."""
    names_itself = bool(own - theirs) and own - theirs <= said
    return bool(own & asked) and own & asked < theirs and not names_itself


def _stems(label: str) -> set[str]:
    return {grounding.stem(word) for word in grounding.content_words(label)}
