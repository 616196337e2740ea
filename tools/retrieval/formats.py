"""Each format and what reads it."""

from __future__ import annotations

from typing import assert_never

from tools.retrieval import (
    attachments,
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
from tools.retrieval.errors import UnsupportedType
from tools.retrieval.ocr import Recognizer
from tools.retrieval.parse import Limits, parse
from tools.retrieval.sniff import Format, suffix_of

# An attachment of an attachment of an attachment.
MAX_DEPTH = 3

NAMES = {
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


def read(
    kind: Format,
    data: bytes,
    *,
    name: str,
    limits: Limits,
    recognizer: Recognizer | None,
    depth: int,
) -> Parsed:
    """The text of ``data``, which is a ``kind``. Raises whatever its library raises."""
    match kind:
        case Format.PDF:
            return parse_pdf.parse(
                data,
                name=name,
                max_pages=limits.max_pages,
                recognizer=recognizer,
                read=_attachments(limits, recognizer, depth),
                max_chars=limits.max_unpacked,
            )
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
                data,
                name=name,
                read=_attachments(limits, recognizer, depth),
                max_chars=limits.max_unpacked,
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


def _attachments(limits: Limits, recognizer: Recognizer | None, depth: int) -> attachments.Reader:
    def read_one(name: str, data: bytes) -> Parsed:
        if depth + 1 > MAX_DEPTH:
            raise UnsupportedType(
                f"{name}: attached more than {MAX_DEPTH} deep; save it and ingest it by itself"
            )
        return parse(data, name=name, limits=limits, recognizer=recognizer, depth=depth + 1)

    return read_one
