"""A parsed document cut into passages. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from tools.retrieval.documents import Chunk, Kind, Parsed, Section

MAX_CHARS = 1_000
GOOD_CHARS = 800
OVERLAP_CHARS = 190

_MARKER = r"(?:[-*•+]|\d{1,3}[.)]) "
_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])"
    r"|(?<=[。！？｡])(?![。！？｡」』）】”’])\s*|(?<=[。！？｡][」』）】”’])\s*"
    rf"|\n\s*\n|\n(?=[ \t]*{_MARKER})"
)
_ITEM = re.compile(_MARKER)
# What a point does not end: the number of an item, and what is only ever short for something.
_UNENDED = re.compile(
    r"(?:^|\n\s*)\d{1,3}[.)]$|(?:^|[\s(])(?:Dr|Mr|Mrs|Ms|Prof|Figs?|Eqs?|vs|cf|e\.g|i\.e|z\.B)\.$"
)


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """What is not cut any further. ``ends_paragraph`` makes a good place to end a passage.

    ``header`` stands in front of a passage that has the unit without it. Units of one ``block``
    (a list with its lead) stay together where they fit; 0 is none.
    """

    start: int
    end: int
    prose: bool
    ends_paragraph: bool = False
    header: str = ""
    alone: bool = False
    block: int = 0


def chunk(parsed: Parsed, *, document_id: str, max_chars: int = MAX_CHARS) -> tuple[Chunk, ...]:
    """Passages of at most ``max_chars`` characters, none across a heading or a page.

    Neighbours of prose repeat whole sentences, at least one and about a fifth of a passage,
    where the next sentence still fits behind it. Lists, tables and code stay whole where they
    fit; a longer table repeats its caption and its header in every part.

    A passage's id follows from its heading and text, so that it stays where they stay.
    """
    good = max_chars * GOOD_CHARS // MAX_CHARS
    overlap = max_chars * OVERLAP_CHARS // MAX_CHARS
    chunks: list[Chunk] = []
    seen: dict[str, int] = {}
    for (heading, page), sections in groupby(
        parsed.sections, key=lambda section: (section.heading_path, section.page)
    ):
        units = [unit for section in sections for unit in _units(section, max_chars=max_chars)]
        for first, last in _pack(units, max_chars=max_chars, good=good, overlap=overlap):
            start, end = units[first].start, units[last].end
            body = parsed.text[start:end]
            text = _headers(units[first : last + 1], body=body) + body
            digest = _digest(heading, text)
            seen[digest] = seen.get(digest, 0) + 1
            again = f"-{seen[digest]}" if seen[digest] > 1 else ""
            chunks.append(
                Chunk(
                    document_id=document_id,
                    chunk_id=f"{document_id}#{digest}{again}",
                    index=len(chunks),
                    text=text,
                    heading=heading,
                    page=page,
                    span=(start, end),
                )
            )
    return tuple(chunks)


def embedded_text(chunk: Chunk, *, title: str) -> str:
    """What is embedded and indexed: title, heading path and context in front of the passage."""
    heading = chunk.heading if title in chunk.heading[:1] else (title, *chunk.heading)
    parts = (" > ".join(part for part in heading if part), chunk.context, chunk.text)
    return "\n".join(parts if chunk.context else parts[::2])


def sentences(text: str) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether a paragraph ends there, of every sentence in ``text``."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        gap = match.group()
        end = match.start() + len(gap.rstrip())
        # Before a line that begins an item, even such a point ends it.
        if "\n" not in gap and _UNENDED.search(text, max(0, end - 12), end):
            continue
        if text[start:end].strip():
            start += len(text[start:end]) - len(text[start:end].lstrip())
            yield start, end, "\n" in gap
        start = match.end()
    if text[start:].strip():
        start += len(text[start:]) - len(text[start:].lstrip())
        yield start, len(text.rstrip()), True


def _digest(heading: tuple[str, ...], text: str) -> str:
    whole = "\0".join((*heading, text)).encode("utf-8", errors="replace")
    return hashlib.sha256(whole).hexdigest()[:12]


def _headers(units: Sequence[_Unit], *, body: str) -> str:
    """The captions and headers that the passage would otherwise lack."""
    found = dict.fromkeys(unit.header for unit in units if unit.header)
    return "".join(header for header in found if header.strip() not in body)


def _pack(
    units: Sequence[_Unit], *, max_chars: int, good: int, overlap: int
) -> Iterator[tuple[int, int]]:
    ends = {unit.block: unit.end for unit in units if unit.block}
    first = 0
    while first < len(units):
        last = _last(units, first, ends=ends, max_chars=max_chars, good=good)
        yield first, last
        first = _next_start(units, first, last, ends=ends, max_chars=max_chars, overlap=overlap)


def _last(
    units: Sequence[_Unit], first: int, *, ends: dict[int, int], max_chars: int, good: int
) -> int:
    last = first
    room = max_chars - len(units[first].header)
    while last + 1 < len(units) and not (units[last].alone or units[last + 1].alone):
        start, following = units[first].start, units[last + 1]
        room -= len(following.header)
        if following.end - start > room:
            break
        within = following.block and following.block == units[last].block
        if (
            units[last].end - start >= good
            and units[last].ends_paragraph
            and not (within and ends[following.block] - start <= room)
        ):
            break
        last += 1
    return _before_block(units, first, last, ends=ends, max_chars=max_chars)


def _before_block(
    units: Sequence[_Unit], first: int, last: int, *, ends: dict[int, int], max_chars: int
) -> int:
    """Where the passage ends instead, if it would cut a list that the next one can hold whole."""
    block = units[last].block
    if not block or last + 1 >= len(units) or units[last + 1].block != block:
        return last
    begins = last
    while begins > first and units[begins - 1].block == block:
        begins -= 1
    if begins == first or units[begins - 1].end - units[first].start < max_chars // 3:
        return last
    # With the sentence before it, which is repeated.
    fits = ends[block] - units[begins - 1].start <= max_chars
    return begins - 1 if fits else last


def _next_start(
    units: Sequence[_Unit],
    first: int,
    last: int,
    *,
    ends: dict[int, int],
    max_chars: int,
    overlap: int,
) -> int:
    following = last + 1
    if following >= len(units) or units[following].alone:
        return following
    end = units[following].end
    room = max_chars - len(units[following].header)
    block = units[following].block
    if block and block != units[last].block and ends[block] - units[last].start <= room:
        end = ends[block]
    start = following
    while start - 1 > first and units[start - 1].prose:
        earlier = units[start - 1]
        if end - earlier.start > room:
            break
        longer = units[last].end - earlier.start
        shared = units[last].end - units[start].start if start < following else 0
        # As near to what is wanted as whole sentences come.
        if start < following and longer - overlap > overlap - shared:
            break
        start -= 1
    return start


def _units(section: Section, *, max_chars: int) -> Iterator[_Unit]:
    caption = f"{section.caption}\n" if section.caption else ""
    if len(caption) > max_chars // 3:
        caption = ""
    room = max_chars - len(caption)
    match section.kind:
        case Kind.PROSE:
            yield from _with_blocks(list(_prose(section, max_chars=max_chars)), section)
        case Kind.TABLE if len(section.text) > room:
            yield from _table_parts(section, caption=caption, max_chars=max_chars)
        case Kind.CODE if len(section.text) > room:
            for start, end in _lines(section.text, max_chars=room):
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
                header=caption,
            )


def _prose(section: Section, *, max_chars: int) -> Iterator[_Unit]:
    for start, end, ends_paragraph in sentences(section.text):
        # What is no sentence to anybody is repeated in parts as well.
        short = max_chars * OVERLAP_CHARS // MAX_CHARS if end - start > max_chars else max_chars
        for piece_start, piece_end in _pieces(section.text, start, end, max_chars=short):
            yield _Unit(
                start=section.start + piece_start,
                end=section.start + piece_end,
                prose=True,
                ends_paragraph=ends_paragraph and piece_end == end,
            )


def _with_blocks(units: list[_Unit], section: Section) -> Iterator[_Unit]:
    """The units, those of a list marked as such, with the sentence that leads to it."""
    block = 0
    begins = True
    for place, unit in enumerate(units):
        text = section.text[unit.start - section.start : unit.end - section.start]
        if begins:
            is_item = _ITEM.match(text) is not None
            leads = False
        if is_item and not block:
            block = unit.start + 1
        following = units[place + 1] if place + 1 < len(units) else None
        if unit.ends_paragraph and following is not None and text.endswith((":", "：")):
            after = section.text[following.start - section.start :]
            leads = not is_item and _ITEM.match(after) is not None
            if leads:
                block = unit.start + 1
        elif not is_item:
            block = 0
        yield replace(unit, block=block) if is_item or leads else unit
        begins = unit.ends_paragraph


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


def _table_parts(section: Section, *, caption: str, max_chars: int) -> Iterator[_Unit]:
    lines = list(_lines(section.text, max_chars=max_chars))
    body = 2 if len(lines) > 2 and set(section.text[slice(*lines[1])]) <= set("|-: ") else 0
    header = caption + (section.text[: lines[body - 1][1]] + "\n" if body else "")
    if len(header) > max_chars // 2:
        header, body = caption, 0
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
