"""Puts a document's text together, block by block, and keeps each block's place in it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import takewhile

from tools.retrieval.documents import Kind, Parsed, Section

# Control characters and zero-width spaces say nothing; surrogates cannot be stored as UTF-8. A soft
# hyphen stands within a word that is searched without it.
_UNPRINTABLE = re.compile("\u00ad\n?|[\x00-\x08\x0e-\x1f\x7f\u200b\u2060\ufeff\ud800-\udfff]")
# A new line within a cell, a new page; and letters that a font draws as one.
_PLAINLY = str.maketrans(
    {"\v": " ", "\f": "\n", "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi"}
    | {"\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
)

_RAISED_AFTER = frozenset("0123456789)")
_RAISED = re.compile(r"[-+\u2212\u2013]?\d[\d.,]*")


def is_raised(text: str, *, after: str) -> bool:
    """Whether the superscript ``text`` would make another number of what stands before it."""
    return after[-1:] in _RAISED_AFTER and _RAISED.fullmatch(text.strip()) is not None


def clean(text: str) -> str:
    """Text with one kind of line end, one form of each letter, and without control characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_PLAINLY)
    return unicodedata.normalize("NFC", _UNPRINTABLE.sub("", text))


def markdown_table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table, the first as its header; empty if no cell has text."""
    rows = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    if not rows:
        return ""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


@dataclass(kw_only=True)
class _Span:
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int | None
    kind: Kind
    caption: str = ""


class Assembly:
    """Collects blocks in reading order. Not a parser: it knows no format."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._spans: list[_Span] = []
        self._path: list[tuple[int, str]] = []
        self._page: int | None = None
        self._bare_heading: _Span | None = None

    def page(self, number: int) -> None:
        """Start page ``number``, counted from 1."""
        self._page = number

    def heading(self, level: int, text: str) -> None:
        """A heading; those of its level and below end here."""
        text = " ".join(clean(text).split())
        if not text:
            return
        if self._path and level <= self._path[-1][0]:
            self._keep_bare_heading()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._bare_heading = self._span(text, separator="\n\n", kind=Kind.PROSE)
        self._path.append((level, text))

    def block(
        self, text: str, *, kind: Kind = Kind.PROSE, tight: bool = False, caption: str = ""
    ) -> None:
        """A paragraph, table or code block; ``tight`` leaves no empty line before it.

        ``caption`` is kept with a table or code block; it is not written into the text.
        """
        text = clean(text).strip("\n" if kind is Kind.CODE else None)
        if not text.strip():
            return
        separator = "\n" if tight else "\n\n"
        span = self._span(text, separator=separator, kind=kind)
        span.caption = " ".join(clean(caption).split())
        self._bare_heading = None
        last = self._spans[-1] if self._spans else None
        if (
            last is not None
            and kind is Kind.PROSE
            and last.kind is Kind.PROSE
            and last.page == span.page
            and last.heading_path == span.heading_path
            and last.end + len(separator) == span.start
        ):
            last.end = span.end
        else:
            self._spans.append(span)

    def include(self, parsed: Parsed, *, heading: str = "") -> None:
        """A document within this one, with its own pages and headings: under ``heading`` at the
        top level, or under what stands here where that is empty.
        """
        outer, self._page = self._page, None
        if heading:
            self.heading(1, heading)
        level = self._path[-1][0] if self._path else 0
        for section in parsed.sections:
            self._page = section.page
            path = section.heading_path
            here = tuple(text for at, text in self._path if at > level)
            pairs = zip(here, path, strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            self._leave(level + same)
            for depth in range(same, len(path)):
                self.heading(level + 1 + depth, path[depth])
            self.block(section.text, kind=section.kind, caption=section.caption)
        self._leave(0 if heading else level)
        self._page = outer

    def _leave(self, level: int) -> None:
        while self._path and self._path[-1][0] > level:
            self._path.pop()

    def finish(
        self,
        *,
        title: str,
        media_type: str,
        pages: int | None = None,
        pages_without_text: tuple[int, ...] = (),
        pages_by_ocr: tuple[int, ...] = (),
    ) -> Parsed:
        """The whole document."""
        self._keep_bare_heading()
        text = "".join(self._parts)
        return Parsed(
            title=" ".join(clean(title).split())[:300],
            text=text,
            sections=tuple(
                Section(
                    text=text[span.start : span.end],
                    start=span.start,
                    heading_path=span.heading_path,
                    page=span.page,
                    kind=span.kind,
                    caption=span.caption,
                )
                for span in self._spans
            ),
            media_type=media_type,
            pages=pages,
            pages_without_text=pages_without_text,
            pages_by_ocr=pages_by_ocr,
        )

    def _span(self, text: str, *, separator: str, kind: Kind) -> _Span:
        if self._parts:
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        return _Span(
            start=start,
            end=self._length,
            heading_path=tuple(heading for _, heading in self._path),
            page=self._page,
            kind=kind,
        )

    def _keep_bare_heading(self) -> None:
        # A heading with nothing under it would otherwise be in no passage.
        if self._bare_heading is not None:
            self._spans.append(self._bare_heading)
            self._bare_heading = None
