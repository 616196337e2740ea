"""Documents within a document: each is read by itself, under its own name and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tools.retrieval.assembly import Assembly
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import ParseError, TooLarge

# Reads an attachment by its name and bytes; raises ParseError.
Reader = Callable[[str, bytes], Parsed]


def include(
    attached: Iterable[tuple[str, bytes]],
    assembly: Assembly,
    *,
    name: str,
    read: Reader,
    max_chars: int,
) -> None:
    """Each of ``attached`` under its name; one that cannot be read is named with the reason.

    Raises TooLarge where all together give more than ``max_chars`` characters.
    """
    for title, data in attached:
        try:
            parsed = read(title, data)
        except ParseError as error:
            assembly.heading(1, f"Attachment {title}")
            assembly.block(f"Not read: {error}")
            continue
        max_chars -= len(parsed.text)
        if max_chars < 0:
            raise TooLarge(
                f"{name}: too much text with its attachments; save them one by one and ingest them"
            )
        assembly.include(parsed, heading=f"Attachment {title}")
