"""Rows of cells, as sheets and CSV files hold them, taken apart into tables and lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tools.retrieval.assembly import Assembly, markdown_table
from tools.retrieval.documents import Kind

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s*\d[\d.,' \u00a0]*(?:[eE][-+]?\d+)?\s*[%)€$£¥]?|\d{4}-\d\d.*")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Lines of text, or a table of which ``rows[0]`` is the header."""

    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    caption: str = ""


def pieces(rows: Iterable[Sequence[str]], *, gaps: bool = True) -> Iterator[Piece]:
    """Tables and lines in order.

    Where ``gaps``, an empty row ends a table, unless what follows begins with numbers: then it
    goes on. Rows of one cell in front of a wider row are lines, and the last is its caption.
    """
    kept: list[tuple[str, ...]] = []
    blocks: list[list[tuple[str, ...]]] = []
    for filled, group in groupby(rows, key=lambda row: any(cell.strip() for cell in row)):
        if filled:
            blocks.append([tuple(row) for row in group])
    if not gaps:
        blocks = [[row for block in blocks for row in block]] if blocks else []
    caption = ""
    for block in blocks:
        lead = _lead(block)
        if kept and not lead and _goes_on(block):
            kept.extend(block)
            continue
        if kept:
            yield Piece(rows=_narrowed(kept), caption=caption)
            kept = []
        lines = tuple(_only(row) for row in block[:lead])
        if lines:
            yield Piece(lines=lines)
        caption = lines[-1] if lines and lead < len(block) else ""
        kept = block[lead:]
    if kept:
        yield Piece(rows=_narrowed(kept), caption=caption)


def write(
    rows: Iterable[Sequence[str]], assembly: Assembly, *, gaps: bool = True, caption: str = ""
) -> None:
    """The rows as blocks of ``assembly``; ``caption`` is that of tables without their own."""
    for piece in pieces(rows, gaps=gaps):
        if piece.lines:
            assembly.block("\n".join(piece.lines))
        else:
            assembly.block(
                markdown_table([list(row) for row in piece.rows]),
                kind=Kind.TABLE,
                caption=piece.caption or caption,
            )


def _lead(block: list[tuple[str, ...]]) -> int:
    for place, row in enumerate(block):
        if sum(bool(cell.strip()) for cell in row) > 1:
            return place
    return len(block)


def _goes_on(block: list[tuple[str, ...]]) -> bool:
    return any(_NUMBER.fullmatch(cell.strip()) for cell in block[0])


def _only(row: tuple[str, ...]) -> str:
    return next(cell.strip() for cell in row if cell.strip())


def _narrowed(rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    used = sorted({place for row in rows for place, cell in enumerate(row) if cell.strip()})
    return tuple(tuple(row[place] if place < len(row) else "" for place in used) for row in rows)
