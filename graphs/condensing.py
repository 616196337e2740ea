"""A long document into a short text, its citations kept: parts, notes, a tree of notes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from graphs import evidence
from guardrails import citations, grounding, spans

MOST_PARTS = 24
"""Model calls that read a document, however long it is."""

_PASSAGE = 850  # characters: what a chunk has, so that the parts can be planned before reading
WHOLE = 10 * _PASSAGE
"""Where a passage may have as many characters, it is read whole."""
_SHORTEST = 120
_HEAD = 60
_SENTENCES = 3
_SECTIONS = 12
_FEWEST = 4


class Note(TypedDict):
    """One sentence from a document, and the ids of the passages that bear it."""

    text: str
    chunks: list[str]
    place: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How a document is read: ``count`` parts of ``per`` passages, each cut to ``characters``."""

    count: int
    per: int
    characters: int


def parts_of(total: int, *, characters: int) -> Parts:
    """The plan for ``total`` passages with ``characters`` in one prompt.

    Where there are more passages than fit, of each only the first sentences are read.
    """
    whole = max(1, characters // (_PASSAGE + _HEAD))
    if total <= whole * MOST_PARTS:
        return Parts(count=-(-total // whole), per=whole, characters=WHOLE)
    most = max(1, characters // (_SHORTEST + _HEAD))
    per = min(-(-total // MOST_PARTS), most)
    each = max(_SHORTEST, characters // per - _HEAD)
    return Parts(count=min(-(-total // per), MOST_PARTS), per=per, characters=each)


def shortened(passage: Mapping[str, Any], *, characters: int) -> dict[str, Any]:
    """The passage with its first sentences only, at least one, and their span."""
    text = str(passage["text"])
    if len(text) <= characters:
        return dict(passage)
    end = 0
    for _, until in spans.pieces(text):
        if end and until > characters:
            break
        end = until
    end = min(end or characters, characters + _SHORTEST)
    span = passage.get("span")
    if span:
        # A repeated table header in front lies outside the span.
        lead = max(0, len(text) - (span[1] - span[0]))
        span = [span[0], min(span[1], span[0] + max(1, end - lead))]
    return {**passage, "text": text[:end].rstrip() if not span else text[:end], "span": span}


def for_notes(request: str, shown: str) -> str:
    """The prompt of one part; ``shown`` are its passages as a model may see them."""
    asked = f"Request: {request}"
    return f"{asked}\n\nPassages:\n{shown}\n\n{asked}"


def for_condensing(request: str, notes: Sequence[Note]) -> str:
    """The prompt that makes one text of notes."""
    listed = "\n".join(f"[{n}] {note['text']}" for n, note in enumerate(notes, 1))
    asked = f"Request: {request}"
    return f"{asked}\n\nNotes:\n{listed}\n\n{asked}"


def notes_of(reply: str, passages: Sequence[Mapping[str, Any]]) -> list[Note]:
    """The sentences of a reply that its passages bear, with the passages; others are dropped."""
    texts = [str(one["text"]) for one in passages]
    places = [evidence.place(one) for one in passages]
    found: list[Note] = []
    for bare, behind in _borne(reply, texts, known=places):
        heading = next((h for i in behind for h in (passages[i].get("heading") or ())[-1:]), "")
        chunks = [str(passages[index]["chunk_id"]) for index in behind]
        found.append(Note(text=bare, chunks=chunks, place=str(heading)))
    return found[:_SENTENCES]


def condensed(reply: str, notes: Sequence[Note]) -> list[Note]:
    """The sentences of a reply that the notes bear, citing what those cite; else every second
    note, so that each step is shorter than the one before.
    """
    texts = [note["text"] for note in notes]
    found: list[Note] = []
    for bare, behind in _borne(reply, texts):
        chunks = list(dict.fromkeys(chunk for index in behind for chunk in notes[index]["chunks"]))
        found.append(Note(text=bare, chunks=chunks, place=notes[behind[0]]["place"]))
    if found and len(found) < len(notes):
        return found
    return list(notes[::2])


def _borne(
    reply: str, texts: Sequence[str], *, known: Sequence[str] = ()
) -> list[tuple[str, list[int]]]:
    borne = []
    for sentence in grounding.sentences(reply):
        bare = citations.without_marks(sentence).lstrip("-*• ").strip()
        named = [number - 1 for number in citations.marks(sentence)]
        behind = citations.supporting(bare, texts, named=named)
        if behind and not grounding.unsupported_numbers(
            bare, [*(texts[index] for index in behind), *known]
        ):
            borne.append((bare, behind))
    return borne


def groups(notes: Sequence[Note], *, characters: int) -> list[list[Note]]:
    """Notes in their order, as many together as one prompt holds; two at least where there are."""
    found: list[list[Note]] = []
    used = 0
    for note in notes:
        length = len(note["text"]) + 8
        if not found or (used + length > characters and len(found[-1]) > 1):
            found.append([])
            used = 0
        found[-1].append(note)
        used += length
    return found


def text_of(
    summary: Sequence[Note], sections: Sequence[Note], known: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """The answer with marks, and the passages that it cites in the order of their numbers.

    ``sections`` are notes of the parts: one line for each heading follows the summary, where there
    are enough. Only what is among the ``known`` passages is cited; what cites none is left out.
    """
    order: dict[str, int] = {}

    def written(note: Note) -> str:
        chunks = [chunk for chunk in note["chunks"] if chunk in known]
        behind = citations.supporting(note["text"], [str(known[one]["text"]) for one in chunks])
        loose = spans.unsupported(
            note["text"],
            [str(known[one]["text"]) for one in chunks],
            places=[evidence.place(known[one]) for one in chunks],
        )
        if not behind or loose:
            return ""
        marks = "".join(f"[{order.setdefault(chunks[index], len(order) + 1)}]" for index in behind)
        return citations.attach(note["text"], marks)

    sentences = [line for note in summary if (line := written(note))]
    lines = []
    chosen = _by_place(sections)
    if len(chosen) >= _FEWEST:
        for place, note in chosen:
            if line := written(note):
                lines.append(f"- {place}: {line}" if place else f"- {line}")
    text = " ".join(sentences)
    if lines:
        text = "\n".join(filter(None, [text, *lines]))
    return text, [dict(known[chunk]) for chunk in order]


def _by_place(notes: Sequence[Note]) -> list[tuple[str, Note]]:
    """The first note of each heading, at most so many, spread over the document."""
    first: dict[str, Note] = {}
    for note in notes:
        first.setdefault(note["place"], note)
    listed = list(first.items())
    if len(listed) <= _SECTIONS:
        return listed
    step = len(listed) / _SECTIONS
    return [listed[int(index * step)] for index in range(_SECTIONS)]
