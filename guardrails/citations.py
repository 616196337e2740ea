"""Which passage stands behind which sentence: the model's own marks, or the words they share."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto

from guardrails import grounding

_CODE = rf"(?P<code>{grounding.INLINE_CODE})"
_MARK = re.compile(rf"{_CODE}|[^\S\n]*(?P<mark>{grounding.MARK})")
_AFTER_STOP = re.compile(rf"{_CODE}|(?P<stop>[.!?。！？])(?P<marks>(?:[^\S\n]*{grounding.MARK})+)")
_FENCE = re.compile(r"[ \t]*(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_SAYS = r"(?:states?|says?|mentions?|specif(?:y|ies))"
_LEAD = re.compile(
    r"^(?:(?:according to|as stated in)\s*,\s*"
    r"|(?:according to\s+|as stated in\s+)?(?:the\s+)?(?:first\s+|second\s+|third\s+)?"
    rf"passages?(?:\s+\d{{1,3}})?\s*(?:,\s*(?:{_SAYS}\s+(?:that\s+)?)?|{_SAYS}\s+(?:that\s+)?))"
    r"(?=\w)",
    re.IGNORECASE,
)


def marks(text: str) -> list[int]:
    """The passage numbers that a text names, each once, in order; none of those in code."""
    return list(dict.fromkeys(one for line in _prose(text) for one in _marks_of(line)))


def without_marks(text: str) -> str:
    """The text without its citation marks."""
    return _in_prose(text, _unmarked).strip()


def marks_inside(text: str) -> str:
    """The text with marks that follow a full stop before it: they belong to that sentence."""
    return _in_prose(text, _inside)


def without_code(text: str) -> str:
    """The text with its blocks of code left blank, each character in its place."""
    lines: list[str] = []
    for block in _blocks(text):
        code = block.kind is _Kind.CODE
        lines += (" " * len(line) for line in block.lines) if code else block.lines
    return "\n".join(lines)


def _marks_of(line: str) -> list[int]:
    found = [one["mark"] for one in _MARK.finditer(line)]
    return [int(part) for mark in found if mark for part in mark.strip("[]").split(",")]


def _unmarked(line: str) -> str:
    return _MARK.sub(_code_of, line)


def _inside(line: str) -> str:
    return _AFTER_STOP.sub(_moved, line)


def _moved(found: re.Match[str]) -> str:
    return found["code"] or f"{found['marks']}{found['stop']}"


def _code_of(found: re.Match[str]) -> str:
    return found["code"] or ""


def _prose(text: str) -> list[str]:
    return [line for block in _blocks(text) if block.kind is not _Kind.CODE for line in block.lines]


def _in_prose(text: str, change: Callable[[str], str]) -> str:
    if "\n" not in text and not _FENCE.match(text):
        return change(text)
    lines: list[str] = []
    for block in _blocks(text):
        lines += block.lines if block.kind is _Kind.CODE else map(change, block.lines)
    return "\n".join(lines)


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
        shared.append((figures & grounding.readings(text), common_stems))
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
    Lines and tables keep their form. Code stays as it is; its marks stand in the line before it.
    """
    used: list[int] = []

    def written(behind: Sequence[int]) -> str:
        used.extend(index for index in behind if index not in used)
        return "".join(f"[{used.index(index) + 1}]" for index in behind)

    def cited(sentence: str) -> tuple[str, str]:
        bare = _without_lead(_unmarked(sentence).strip())
        named = [number - 1 for number in _marks_of(sentence)]
        return bare, written(supporting(bare, passages, named=named))

    numbers = grounding.item_numbers(text)
    lines: list[str] = []
    place, lead = 0, -1
    for block in _blocks(text):
        if block.kind is _Kind.CODE:
            behind = supporting("\n".join(block.lines), passages)
            if lead >= 0:
                had = [used[number - 1] for number in _marks_of(lines[lead])]
                more = written([index for index in behind if index not in had])
                lines[lead] = attach(lines[lead], more)
            lines += block.lines
            if lead < 0 and block.whole and behind:
                lines.append(written(behind))
            lead = -1
        elif block.kind is _Kind.TABLE:
            lines += block.lines[:2]
            for row in block.lines[2:]:
                bare, its = cited(row.strip()[:-1])
                lines.append(f"{attach(bare, its)} |")
            lead = -1
        else:
            (line,) = block.lines
            head = numbers.get(place) or line[: len(line) - len(line.lstrip())]
            parts = grounding.sentences(_inside(line[len(head) :]))
            if parts:
                lead = len(lines)
            lines.append(head + grounding.line_of(attach(*cited(part)) for part in parts))
        place += len(block.lines)
    return "\n".join(lines).strip(), used


class _Kind(Enum):
    LINE = auto()
    CODE = auto()
    TABLE = auto()


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What is marked in one way. ``whole``: its end is there, too."""

    kind: _Kind
    lines: Sequence[str]
    whole: bool = True


def _blocks(text: str) -> Iterator[_Block]:
    """Markdown's blocks of code and tables, and the other lines one by one."""
    left = deque(text.split("\n"))
    while left:
        if fence := _FENCE.match(left[0]):
            lines, ends = [left.popleft()], False
            while left and not ends:
                lines.append(left.popleft())
                ends = _closes(lines[-1], fence["fence"])
            yield _Block(kind=_Kind.CODE, lines=lines, whole=ends)
        elif len(left) > 1 and _is_row(left[0]) and _is_ruler(left[1]):
            lines = [left.popleft(), left.popleft()]
            while left and _is_row(left[0]):
                lines.append(left.popleft())
            yield _Block(kind=_Kind.TABLE, lines=lines)
        else:
            yield _Block(kind=_Kind.LINE, lines=[left.popleft()])


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]}


def _is_row(line: str) -> bool:
    bare = line.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == "|"


def _is_ruler(line: str) -> bool:
    return _is_row(line) and "-" in line and set(line.strip()) <= set("|:- ")


def _without_lead(sentence: str) -> str:
    """`The passage states that it is` becomes `It is`: readers see sources, not passages."""
    bare = _LEAD.sub("", sentence)
    return bare[:1].upper() + bare[1:] if bare != sentence else sentence


def attach(sentence: str, numbers: str) -> str:
    """The sentence with its marks, which stand before the full stop."""
    if not numbers:
        return sentence
    if sentence and sentence[-1] in ".!?。！？":
        return f"{sentence[:-1].rstrip()} {numbers}{sentence[-1]}"
    return f"{sentence} {numbers}"
