"""One document's bytes to text, in this process. `sandboxed_parse` is how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, assert_never

from tools.retrieval import parse_docx, parse_html, parse_pdf, parse_text
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import TooLarge
from tools.retrieval.sniff import Format, sniff


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one document may take. Bytes, pages and seconds."""

    max_bytes: int = 100_000_000
    max_unpacked: int = 200_000_000
    max_pages: int = 5_000
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
    """The text of ``data``. Raises ParseError; anything else is the document's damage."""
    check_size(data, name=name, limits=limits)
    kind = format or sniff(data, name=name)
    match kind:
        case Format.PDF:
            return parse_pdf.parse(data, name=name, max_pages=limits.max_pages)
        case Format.DOCX:
            return parse_docx.parse(data, name=name, max_unpacked=limits.max_unpacked)
        case Format.HTML:
            return parse_html.parse(data, name=name)
        case Format.MARKDOWN:
            return parse_text.parse_markdown(data, name=name)
        case Format.TEXT:
            return parse_text.parse_plain(data, name=name)
        case Format.CODE:
            return parse_text.parse_code(data, name=name)
        case _:
            assert_never(kind)
