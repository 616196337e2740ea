"""A parsed document cut into passages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tools.retrieval.documents import Chunk, Kind, Parsed, Section

MAX_CHARS = 1_000
GOOD_CHARS = 800
OVERLAP_CHARS = 200

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])|\n\s*\n|\n(?=[-*•] )"
)


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """What is not cut any further. ``ends_paragraph`` makes a good place to end a passage."""

    start: int
    end: int
    prose: bool
    ends_paragraph: bool = False
    header: str = ""
    alone: bool = False


def chunk(parsed: Parsed, *, document_id: str, max_chars: int = MAX_CHARS) -> tuple[Chunk, ...]:
    """Passages of at most ``max_chars`` characters, none across a heading or a page.

    Neighbours repeat at least one whole sentence, up to about a fifth of a passage, where the
    next sentence still fits behind it. Tables and code stay whole where they fit; a longer
    table repeats its header in every part.
    """
    good = max_chars * GOOD_CHARS // MAX_CHARS
    overlap = max_chars * OVERLAP_CHARS // MAX_CHARS
    chunks: list[Chunk] = []
    for (heading, page), sections in groupby(
        parsed.sections, key=lambda section: (section.heading_path, section.page)
    ):
        units = [unit for section in sections for unit in _units(section, max_chars=max_chars)]
        for first, last in _pack(units, max_chars=max_chars, good=good, overlap=overlap):
            start, end = units[first].start, units[last].end
            chunks.append(
                Chunk(
                    document_id=document_id,
                    chunk_id=f"{document_id}#{len(chunks)}",
                    index=len(chunks),
                    text=units[first].header + parsed.text[start:end],
                    heading=heading,
                    page=page,
                    span=(start, end),
                )
            )
    return tuple(chunks)


def embedded_text(chunk: Chunk, *, title: str) -> str:
    """What is embedded and indexed: the title and the heading path in front of the passage."""
    heading = chunk.heading if title in chunk.heading[:1] else (title, *chunk.heading)
    return f"{' > '.join(part for part in heading if part)}\n{chunk.text}"


def sentences(text: str) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether a paragraph ends there, of every sentence in ``text``."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        gap = match.group()
        end = match.start() + len(gap.rstrip())
        if text[start:end].strip():
            start += len(text[start:end]) - len(text[start:end].lstrip())
            yield start, end, "\n" in gap
        start = match.end()
    if text[start:].strip():
        start += len(text[start:]) - len(text[start:].lstrip())
        yield start, len(text.rstrip()), True


def _pack(
    units: Sequence[_Unit], *, max_chars: int, good: int, overlap: int
) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(units):
        last = first
        while last + 1 < len(units) and not (units[last].alone or units[last + 1].alone):
            length = units[last].end - units[first].start
            if units[last + 1].end - units[first].start > max_chars:
                break
            if length >= good and units[last].ends_paragraph:
                break
            last += 1
        yield first, last
        first = _next_start(units, first, last, max_chars=max_chars, overlap=overlap)


def _next_start(
    units: Sequence[_Unit], first: int, last: int, *, max_chars: int, overlap: int
) -> int:
    following = last + 1
    if following >= len(units) or units[following].alone:
        return following
    start = following
    while start - 1 > first and units[start - 1].prose:
        earlier = units[start - 1]
        if units[following].end - earlier.start > max_chars:
            break
        if start < following and units[last].end - earlier.start > overlap:
            break
        start -= 1
    return start


def _units(section: Section, *, max_chars: int) -> Iterator[_Unit]:
    match section.kind:
        case Kind.PROSE:
            yield from _prose(section, max_chars=max_chars)
        case Kind.TABLE if len(section.text) > max_chars:
            yield from _table_parts(section, max_chars=max_chars)
        case Kind.CODE if len(section.text) > max_chars:
            for start, end in _lines(section.text, max_chars=max_chars):
                yield _Unit(
                    start=section.start + start,
                    end=section.start + end,
                    prose=False,
                    ends_paragraph=section.text.startswith("\n\n", end),
                )
        case _:
            yield _Unit(
                start=section.start,
                end=section.start + len(section.text),
                prose=False,
                ends_paragraph=True,
            )


def _prose(section: Section, *, max_chars: int) -> Iterator[_Unit]:
    for start, end, ends_paragraph in sentences(section.text):
        pieces = list(_pieces(section.text, start, end, max_chars=max_chars))
        for piece_start, piece_end in pieces:
            yield _Unit(
                start=section.start + piece_start,
                end=section.start + piece_end,
                prose=len(pieces) == 1,
                ends_paragraph=ends_paragraph and piece_end == end,
            )


def _pieces(text: str, start: int, end: int, *, max_chars: int) -> Iterator[tuple[int, int]]:
    # What is too long for one passage is cut at a line's end, else a space, else anywhere.
    while end - start > max_chars:
        window = text[start : start + max_chars]
        cut = max(window.rfind("\n", max_chars // 2), -1)
        if cut < 0:
            cut = window.rfind(" ", max_chars // 2)
        cut = cut if cut > 0 else max_chars
        piece = text[start : start + cut]
        if piece.strip():
            yield start, start + len(piece.rstrip())
        start += cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _lines(text: str, *, max_chars: int) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        if line.strip():
            yield from _pieces(text, start, end, max_chars=max_chars)
        start = end + 1


def _table_parts(section: Section, *, max_chars: int) -> Iterator[_Unit]:
    lines = list(_lines(section.text, max_chars=max_chars))
    body = 2 if len(lines) > 2 and set(section.text[slice(*lines[1])]) <= set("|-: ") else 0
    header = section.text[: lines[body - 1][1]] + "\n" if body else ""
    if len(header) > max_chars // 2:
        header, body = "", 0
    room = max_chars - len(header)
    rows = [
        piece
        for start, end in lines[body:]
        for piece in _pieces(section.text, start, end, max_chars=room)
    ]
    first = 0
    for place, (_, end) in enumerate(rows):
        if place + 1 == len(rows) or rows[place + 1][1] - rows[first][0] > room:
            yield _Unit(
                start=section.start + rows[first][0],
                end=section.start + end,
                prose=False,
                ends_paragraph=True,
                header=header,
                alone=True,
            )
            first = place + 1
