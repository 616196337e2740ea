"""Which passage stands behind which sentence: the model's own marks, or the words they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from guardrails import grounding

_MARK = re.compile(r"\s*\[(\d+(?:\s*,\s*\d+)*)\]")
_LEAD = re.compile(
    r"^(?:(?:according to|as stated in)\s*,\s*"
    r"|(?:according to\s+|as stated in\s+)?(?:the\s+)?(?:first\s+|second\s+|third\s+)?"
    r"passages?\s*,?\s*(?:(?:states?|says?|mentions?|specif(?:y|ies))\s+(?:that\s+)?)?)(?=\w)",
    re.IGNORECASE,
)


def marks(text: str) -> list[int]:
    """The passage numbers that a text names, each once, in order."""
    found = [int(part) for group in _MARK.findall(text) for part in group.split(",")]
    return list(dict.fromkeys(found))


def without_marks(text: str) -> str:
    """The text without its citation marks."""
    return _MARK.sub("", text).strip()


def supporting(
    sentence: str, passages: Sequence[str], *, most: int = 2, named: Sequence[int] = ()
) -> list[int]:
    """Indices of the passages that a sentence rests on, best first.

    Greedy: the passage that shares most with the sentence, numbers counting thrice, then one that
    adds a number or two words which the chosen ones lack. Among equals those ``named`` by the
    writer come first. Empty where nothing is shared.
    """
    figures = grounding.numbers(sentence)
    stems = {grounding.stem(word) for word in grounding.content_words(sentence)}
    shared = []
    for text in passages:
        common_stems = frozenset(stems & grounding.stems(text))
        shared.append((figures & grounding.numbers(text), common_stems))
    chosen: list[int] = []
    figures_had: frozenset[Decimal] = frozenset()
    words_had: frozenset[str] = frozenset()
    while len(chosen) < most:
        best, best_score = -1, 1
        for index, (common, common_words) in enumerate(shared):
            if index in chosen:
                continue
            score = 3 * len(common - figures_had) + len(common_words - words_had)
            score += bool(score) and index in named
            if score > best_score:
                best, best_score = index, score
        if best < 0:
            break
        chosen.append(best)
        figures_had |= shared[best][0]
        words_had |= shared[best][1]
    return chosen


def cite(text: str, passages: Sequence[str]) -> tuple[str, list[int]]:
    """The text with a mark behind each sentence that rests on a passage, and the passages used.

    Marks are renumbered from 1 in the order of the returned indices. A mark of the model's own
    decides between passages that share as much with its sentence; it is not believed against them.
    """
    used: list[int] = []
    lines = []
    for line in text.splitlines() or [""]:
        written = []
        for sentence in grounding.sentences(_marks_inside(line)):
            bare = _without_lead(without_marks(sentence))
            named = [number - 1 for number in marks(sentence)]
            behind = supporting(bare, passages, named=named)
            for index in behind:
                if index not in used:
                    used.append(index)
            numbers = "".join(f"[{used.index(index) + 1}]" for index in behind)
            written.append(attach(bare, numbers))
        lines.append(" ".join(written))
    return "\n".join(lines).strip(), used


def _without_lead(sentence: str) -> str:
    """`The passage states that it is` becomes `It is`: readers see sources, not passages."""
    bare = _LEAD.sub("", sentence)
    return bare[:1].upper() + bare[1:] if bare != sentence else sentence


def _marks_inside(line: str) -> str:
    """Marks that follow the full stop belong to the sentence before them."""
    return re.sub(r"([.!?。！？])((?:\s*\[\d+(?:\s*,\s*\d+)*\])+)", r"\2\1", line)


def attach(sentence: str, numbers: str) -> str:
    """The sentence with its marks, which stand before the full stop."""
    if not numbers:
        return sentence
    if sentence and sentence[-1] in ".!?。！？":
        return f"{sentence[:-1].rstrip()} {numbers}{sentence[-1]}"
    return f"{sentence} {numbers}"
