"""Where in a passage a claim stands: the few sentences or lines that bear it. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardrails import citations, grounding

_STOP = grounding.SENTENCE_END
_ANSWER_END = re.compile(rf"{_STOP}|\n+")
# A line that is only wrapped goes on; a list, a table, a heading begin anew.
_TEXT_END = re.compile(rf"{_STOP}|\n\s*\n|\n(?=[ \t]*(?:[-*+•|#>]|\d+[.)][ \t]))|(?<=\|)[ \t]*\n")
_MOST = 3

Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence of an answer, at ``start`` to ``end`` of it, and the numbers it cites."""

    text: str
    start: int
    end: int
    numbers: tuple[int, ...]


def pieces(text: str) -> list[Place]:
    """The sentences, list items and table lines of a passage as offsets, without their space."""
    return _split(text, _TEXT_END)


def _split(text: str, where: re.Pattern[str]) -> list[Place]:
    found: list[Place] = []
    begun = 0
    for end in [*(match.start() for match in where.finditer(text)), len(text)]:
        piece = text[begun:end]
        left = begun + len(piece) - len(piece.lstrip())
        right = begun + len(piece.rstrip())
        if right > left:
            found.append((left, right))
        begun = end
    return found


def claims(answer: str) -> list[Claim]:
    """The sentences of an answer, in order; code makes no claims."""
    return [
        Claim(
            text=citations.without_marks(answer[start:end]),
            start=start,
            end=end,
            numbers=tuple(citations.marks(answer[start:end])),
        )
        for start, end in _split(citations.without_code(answer), _ANSWER_END)
    ]


def narrowed(claim: str, text: str, *, most: int = _MOST) -> list[Place]:
    """The places in ``text`` that bear ``claim``, in order; neighbours are one place.

    Greedy: the sentence that shares most with the claim, numbers counting thrice, then one that
    adds a number or two words which the chosen ones lack. Empty where nothing is shared.
    """
    figures = grounding.numbers(claim)
    stems = {grounding.stem(word) for word in grounding.content_words(claim)}
    parts = pieces(text)
    shared = [
        (
            figures & grounding.readings(text[start:end]),
            stems & grounding.stems(text[start:end]),
        )
        for start, end in parts
    ]
    chosen: list[int] = []
    had: tuple[frozenset[Decimal], set[str]] = (frozenset(), set())
    while len(chosen) < max(most, len(figures)):
        gains = [
            (3 * len(numbers - had[0]) + len(words - had[1]), -index)
            for index, (numbers, words) in enumerate(shared)
            if index not in chosen
        ]
        gain, place = max(gains, default=(0, 0))
        if gain < (2 if chosen else 1):
            break
        chosen.append(-place)
        had = (had[0] | shared[-place][0], had[1] | shared[-place][1])
    return _joined([parts[index] for index in sorted(chosen)], parts)


def _joined(chosen: Sequence[Place], parts: Sequence[Place]) -> list[Place]:
    following = {before: after for (_, before), (after, _) in itertools.pairwise(parts)}
    joined: list[Place] = []
    for start, end in chosen:
        if joined and following.get(joined[-1][1]) == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def in_document(place: Place, *, text: str, span: Place) -> Place:
    """A place in a passage's text as a place in its document.

    A part of a long table repeats a header in front that lies outside its span: what stands there
    is cited by where the span begins. A text shorter than its span is cited as a whole.
    """
    lead = len(text) - (span[1] - span[0])
    if lead < 0:
        return span
    start, end = (min(max(one - lead, 0) + span[0], span[1]) for one in place)
    return (start, end) if end > start else span


def unsupported(
    answer: str, passages: Sequence[str], *, known: Sequence[str] = (), places: Sequence[str] = ()
) -> list[grounding.Problem]:
    """Claims whose numbers do not stand where the claim is cited.

    ``known`` supports any claim: the question, what a program printed. ``places`` are the
    passages' titles and headings, which a reader sees with the cited text.
    """
    given: frozenset[Decimal] = frozenset().union(*map(grounding.numbers, known))
    problems = []
    for sentence in grounding.sentences(answer):
        bare = citations.without_marks(sentence)
        figures = grounding.claimed(bare) - given
        if not figures:
            continue
        named = [number - 1 for number in citations.marks(sentence)]
        behind = citations.supporting(bare, passages, named=named)
        stated: frozenset[Decimal] = frozenset()
        for index in behind:
            if index < len(places):
                stated |= grounding.readings(places[index])
            for start, end in narrowed(bare, passages[index]):
                stated |= grounding.readings(passages[index][start:end])
        if loose := sorted(figures - stated):
            told = ", ".join(f"{value:f}" for value in loose)
            problems.append(
                grounding.Problem(
                    claim=sentence, reason=f"where it is cited from, nothing states {told}"
                )
            )
    return problems


def cited(
    claim: Claim, sources: Mapping[int, tuple[str, Place | None]]
) -> list[tuple[int, Place, Place | None]]:
    """For each number that a claim cites: the places in its text, and in its document.

    ``sources`` has the text and the span of each. A source that shares no word with the claim is
    cited as a whole.
    """
    found: list[tuple[int, Place, Place | None]] = []
    for number in claim.numbers:
        if number not in sources:
            continue
        text, span = sources[number]
        for place in narrowed(claim.text, text) or [(0, len(text))]:
            there = in_document(place, text=text, span=span) if span else None
            found.append((number, place, there))
    return found
