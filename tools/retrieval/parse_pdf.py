"""PDF through pypdfium2: the text of each page, in the file's own reading order."""

from __future__ import annotations

import re

import pypdfium2
import pypdfium2.raw

from tools.retrieval.assembly import Assembly
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import DamagedDocument, EncryptedDocument, NeedsOcr, TooLarge
from tools.retrieval.sniff import Format

# PDFium marks a word broken at a line's end with U+0002 (or U+FFFE) in place of hyphen and break.
_BROKEN_WORD = re.compile("[\x02\ufffe](?:\r?\n)?")


def parse(data: bytes, *, name: str, max_pages: int) -> Parsed:
    """The text of a PDF.

    Raises EncryptedDocument, DamagedDocument, TooLarge, or NeedsOcr if no page has text.
    """
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise EncryptedDocument(
                f"{name}: encrypted; remove the password and ingest it again"
            ) from None
        raise DamagedDocument(
            f"{name}: a PDF that is cut short or broken; get a good copy and ingest it"
        ) from None
    try:
        return _parse(pdf, name=name, max_pages=max_pages)
    finally:
        pdf.close()


def _parse(pdf: pypdfium2.PdfDocument, *, name: str, max_pages: int) -> Parsed:
    pages = len(pdf)
    if pages > max_pages:
        raise TooLarge(f"{name}: {pages} pages, the limit is {max_pages}; split it")
    assembly = Assembly()
    without_text: list[int] = []
    unreadable = 0
    for number in range(1, pages + 1):
        assembly.page(number)
        try:
            page = pdf[number - 1]
            text = page.get_textpage().get_text_bounded()
            page.close()
        except pypdfium2.PdfiumError:
            unreadable += 1
            text = ""
        text = _BROKEN_WORD.sub("", text).strip()
        if text:
            assembly.block(text)
        else:
            without_text.append(number)
    if len(without_text) == pages:
        if unreadable or not pages:
            raise DamagedDocument(
                f"{name}: no page of this PDF can be read; get a good copy and ingest it"
            )
        raise NeedsOcr(
            f"{name}: holds only images, no text; run OCR on it (for example ocrmypdf)"
            " and ingest it again"
        )
    title = pdf.get_metadata_dict().get("Title", "").strip()
    return assembly.finish(
        title=title if title.lower() not in ("", "untitled", "(anonymous)") else name,
        media_type=Format.PDF,
        pages=pages,
        pages_without_text=tuple(without_text),
    )
