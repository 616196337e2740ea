"""One document's bytes to text, in this process. `sandboxed_parse` is how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tools.retrieval.documents import Parsed
from tools.retrieval.errors import DamagedDocument, ParseError, TooLarge
from tools.retrieval.ocr import Ocr, Recognizer
from tools.retrieval.sniff import Format, sniff

# An attachment of an attachment of an attachment.
MAX_DEPTH = 3


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

    def __init__(self, *, limits: Limits | None = None, ocr: Ocr | None = None) -> None:
        self._limits = limits or Limits()
        self._ocr = ocr

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        """The text of ``data``. Raises ParseError."""
        recognizer = Recognizer(self._ocr) if self._ocr is not None else None
        return parse(data, name=name, limits=self._limits, format=format, recognizer=recognizer)


def check_size(data: bytes, *, name: str, limits: Limits) -> None:
    """Raises TooLarge for a document over the limit on its bytes."""
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{name}: {len(data) / 1e6:.1f} MB, the limit is {limits.max_bytes / 1e6:.1f} MB;"
            " split it"
        )


def parse(
    data: bytes,
    *,
    name: str,
    limits: Limits,
    format: Format | None = None,  # noqa: A002
    recognizer: Recognizer | None = None,
    depth: int = 0,
) -> Parsed:
    """The text of ``data``, scans by ``recognizer`` where there is one; ``depth`` counts what it
    is attached to.

    Raises ParseError, and MemoryError where memory is limited.
    """
    # Not above: a server that parses in another process need not carry every format's library.
    from tools.retrieval import formats

    check_size(data, name=name, limits=limits)
    kind = format or sniff(data, name=name)
    try:
        return formats.read(
            kind, data, name=name, limits=limits, recognizer=recognizer, depth=depth
        )
    except (ParseError, MemoryError):
        raise
    except Exception as error:
        # Libraries answer damage with whatever it happens to trip.
        raise DamagedDocument(
            f"{name}: cannot be read as {formats.NAMES[kind]} ({type(error).__name__}); open it"
            " in a program that can, save it anew and ingest it"
        ) from error
