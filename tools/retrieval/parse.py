"""One document's bytes to text, in this process. `sandboxed_parse` is how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, assert_never

from tools.retrieval import (
    parse_code,
    parse_csv,
    parse_docx,
    parse_eml,
    parse_html,
    parse_pdf,
    parse_pptx,
    parse_text,
    parse_xlsx,
)
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import DamagedDocument, ParseError, TooLarge, UnsupportedType
from tools.retrieval.sniff import Format, sniff, suffix_of

# An attachment of an attachment of an attachment.
MAX_DEPTH = 3
_NAMES = {
    Format.PDF: "PDF",
    Format.DOCX: "DOCX",
    Format.PPTX: "PPTX",
    Format.XLSX: "XLSX",
    Format.CSV: "CSV",
    Format.EML: "e-mail",
    Format.HTML: "HTML",
    Format.MARKDOWN: "Markdown",
    Format.TEXT: "text",
    Format.CODE: "source code",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one document may take. Bytes, pages (slides too), cells of a sheet, and seconds."""

    max_bytes: int = 100_000_000
    max_unpacked: int = 200_000_000
    max_pages: int = 5_000
    max_cells: int = 2_000_000
    max_memory: int = 2_000_000_000
    seconds: float = 60.0


class Parser(Protocol):
    """Turns a document's bytes into text."""

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        """The text of ``data``; ``format`` skips the sniffing. Raises ParseError."""
        ...


class InlineParser:
    """The in-process twin, for tests and for data that this process made itself: no time limit."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        """The text of ``data``. Raises ParseError."""
        return parse(data, name=name, limits=self._limits, format=format)


def check_size(data: bytes, *, name: str, limits: Limits) -> None:
    """Raises TooLarge for a document over the limit on its bytes."""
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{name}: {len(data) / 1e6:.1f} MB, the limit is {limits.max_bytes / 1e6:.1f} MB;"
            " split it"
        )


def parse(data: bytes, *, name: str, limits: Limits, format: Format | None = None) -> Parsed:  # noqa: A002
    """The text of ``data``. Raises ParseError, and MemoryError where memory is limited."""
    return _parse(data, name=name, limits=limits, format=format, depth=0)


def _parse(data: bytes, *, name: str, limits: Limits, format: Format | None, depth: int) -> Parsed:  # noqa: A002
    check_size(data, name=name, limits=limits)
    kind = format or sniff(data, name=name)
    try:
        return _read(kind, data, name=name, limits=limits, depth=depth)
    except (ParseError, MemoryError):
        raise
    except Exception as error:
        # Libraries answer damage with whatever it happens to trip.
        raise DamagedDocument(
            f"{name}: cannot be read as {_NAMES[kind]} ({type(error).__name__}); open it in a"
            " program that can, save it anew and ingest it"
        ) from error


def _read(kind: Format, data: bytes, *, name: str, limits: Limits, depth: int) -> Parsed:
    match kind:
        case Format.PDF:
            return parse_pdf.parse(data, name=name, max_pages=limits.max_pages)
        case Format.DOCX:
            return parse_docx.parse(data, name=name, max_unpacked=limits.max_unpacked)
        case Format.PPTX:
            return parse_pptx.parse(
                data, name=name, max_unpacked=limits.max_unpacked, max_pages=limits.max_pages
            )
        case Format.XLSX:
            return parse_xlsx.parse(
                data, name=name, max_unpacked=limits.max_unpacked, max_cells=limits.max_cells
            )
        case Format.CSV:
            return parse_csv.parse(data, name=name, max_cells=limits.max_cells)
        case Format.EML:
            return parse_eml.parse(
                data, name=name, read=_attachments(limits, depth), max_chars=limits.max_unpacked
            )
        case Format.HTML:
            return parse_html.parse(data, name=name)
        case Format.MARKDOWN:
            return parse_text.parse_markdown(data, name=name)
        case Format.TEXT:
            return parse_text.parse_plain(data, name=name)
        case Format.CODE:
            return parse_code.parse(data, name=name, suffix=suffix_of(name))
        case _:
            assert_never(kind)


def _attachments(limits: Limits, depth: int) -> parse_eml.Reader:
    def read(name: str, data: bytes) -> Parsed:
        if depth + 1 > MAX_DEPTH:
            raise UnsupportedType(
                f"{name}: attached more than {MAX_DEPTH} deep; save it and ingest it by itself"
            )
        return _parse(data, name=name, limits=limits, format=None, depth=depth + 1)

    return read
