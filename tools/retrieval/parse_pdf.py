"""PDF through pypdfium2: the text of each page in the file's own reading order, tables where
they are plain, and scans where there is a program to read them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pypdfium2
import pypdfium2.raw

from tools.retrieval import attachments, grid, pdf_annotations, pdf_layout, pdf_tables, titles
from tools.retrieval.assembly import Assembly
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import DamagedDocument, EncryptedDocument, NeedsOcr, TooLarge
from tools.retrieval.ocr import DOTS_PER_INCH, MAX_PIXELS, Recognizer
from tools.retrieval.pdf_tables import Table
from tools.retrieval.sniff import Format

# PDFium marks a word broken at a line's end with U+0002 (or U+FFFE) in place of hyphen and break.
_BROKEN_WORD = re.compile("[\x02\ufffe](?:\r?\n)?")
_MAX_ATTACHMENTS = 200
_POINTS_PER_INCH = 72
# A ruled table has at least three.
_LEAST_BARS = 3


def parse(
    data: bytes,
    *,
    name: str,
    max_pages: int,
    recognizer: Recognizer | None,
    read: attachments.Reader,
    max_chars: int,
) -> Parsed:
    """The text of a PDF, and what is attached to it, read by ``read``.

    Pages without text are read by ``recognizer`` where there is one. Raises EncryptedDocument,
    DamagedDocument, TooLarge, or NeedsOcr if no page has text.
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
        with contextlib.suppress(pypdfium2.PdfiumError):
            pdf.init_forms()
        reading = _Reading(pdf, name=name, recognizer=recognizer)
        return reading.parse(max_pages=max_pages, read=read, max_chars=max_chars)
    finally:
        pdf.close()


class _Reading:
    """One document being read."""

    def __init__(
        self, pdf: pypdfium2.PdfDocument, *, name: str, recognizer: Recognizer | None
    ) -> None:
        self._pdf = pdf
        self._name = name
        self._recognizer = recognizer
        self._assembly = Assembly()
        self._without_text: list[int] = []
        self._by_ocr: list[int] = []
        self._unreadable = 0

    def parse(self, *, max_pages: int, read: attachments.Reader, max_chars: int) -> Parsed:
        pages = len(self._pdf)
        if pages > max_pages:
            raise TooLarge(f"{self._name}: {pages} pages, the limit is {max_pages}; split it")
        for number in range(1, pages + 1):
            self._assembly.page(number)
            try:
                page = self._pdf[number - 1]
                self._page(page, number)
                page.close()
            except pypdfium2.PdfiumError:
                self._unreadable += 1
                self._without_text.append(number)
        attached = self._attached()
        if len(self._without_text) == pages and not attached:
            raise self._nothing(pages)
        attachments.include(
            attached, self._assembly, name=self._name, read=read, max_chars=max_chars
        )
        title = titles.told(self._pdf.get_metadata_dict().get("Title"))
        return self._assembly.finish(
            title=title or self._name,
            media_type=Format.PDF,
            pages=pages,
            pages_without_text=tuple(self._without_text),
            pages_by_ocr=tuple(self._by_ocr),
        )

    def _page(self, page: Any, number: int) -> None:
        fields = pdf_annotations.fields(page, self._pdf.formenv)
        self._text(page, number, filled_in=bool(fields))
        self._assembly.block("\n".join(fields))
        self._assembly.block("\n".join(pdf_annotations.comments(page)))

    def _text(self, page: Any, number: int, *, filled_in: bool) -> None:
        textpage = page.get_textpage()
        text = _mended(textpage.get_text_bounded())
        if not text and self._recognizer is not None:
            text = self._recognized(page)
            if text:
                self._by_ocr.append(number)
                self._assembly.block(text)
                return
        if not text:
            self._without_text += [number] * (not filled_in)
            return
        whole = textpage.get_text_range()
        carets = pdf_layout.raised(textpage, whole)
        words, tables = _tables_of(page, textpage, whole, carets)
        if not tables:
            within = whole if carets and _mended(whole) == text else ""
            marked = _mended(pdf_layout.with_carets(within, 0, len(within), carets))
            self._assembly.block(marked or text)
            return
        before = ""
        pieces = list(_pieces(whole, words, tables, carets))
        for place, piece in enumerate(pieces):
            if isinstance(piece, str):
                before = _mended(piece)
                self._assembly.block(before)
                continue
            after = pieces[place + 1] if place + 1 < len(pieces) else ""
            lines = [*before.splitlines()[-1:], *str(after).strip().splitlines()[:1]]
            caption = next((line for line in lines if pdf_tables.is_caption(line)), "")
            grid.write(piece.rows, self._assembly, gaps=False, caption=caption)

    def _recognized(self, page: Any) -> str:
        assert self._recognizer is not None
        width, height = page.get_size()
        scale = DOTS_PER_INCH / _POINTS_PER_INCH
        if width * height <= 0:
            return ""
        scale = min(scale, (MAX_PIXELS / (width * height)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True, rev_byteorder=False)
        rows = bitmap.to_numpy()
        pixels = rows.reshape(bitmap.height, bitmap.width).tobytes()
        text = self._recognizer.text(
            pixels, width=bitmap.width, height=bitmap.height, name=self._name
        )
        bitmap.close()
        return text or ""

    def _attached(self) -> list[tuple[str, bytes]]:
        count = self._pdf.count_attachments()
        if count > _MAX_ATTACHMENTS:
            raise TooLarge(
                f"{self._name}: {count} attachments, the limit is {_MAX_ATTACHMENTS};"
                " save them one by one"
            )
        found: list[tuple[str, bytes]] = []
        for place in range(count):
            try:
                attachment = self._pdf.get_attachment(place)
                name = attachment.get_name() or f"attachment {place + 1}"
                found.append((name, bytes(attachment.get_data())))
            except pypdfium2.PdfiumError:
                continue
        return found

    def _nothing(self, pages: int) -> Exception:
        if self._unreadable or not pages:
            return DamagedDocument(
                f"{self._name}: no page of this PDF can be read; get a good copy and ingest it"
            )
        if self._recognizer is not None:
            return NeedsOcr(
                f"{self._name}: holds only images, and OCR found no text in them; set"
                " ocr_languages to its language, or scan it anew, sharper"
            )
        return NeedsOcr(
            f"{self._name}: holds only images, no text; run OCR on it (for example ocrmypdf), or"
            " install the package tesseract-ocr on the server, and ingest it again"
        )


def _tables_of(
    page: Any, textpage: Any, text: str, carets: list[int]
) -> tuple[list[pdf_layout.Word], list[Table]]:
    rules = pdf_layout.rules(page)
    bars = sum(not rule.horizontal for rule in rules)
    # Gaps are looked for along the lines of a page that is not turned.
    if bars < _LEAST_BARS and not page.get_rotation() and not pdf_layout.may_hold_table(textpage):
        return [], []
    words = pdf_layout.words(page, textpage, text, carets=carets)
    return words, pdf_tables.tables(words, rules) if words else []


def _pieces(
    text: str, words: list[pdf_layout.Word], tables: list[Table], carets: list[int]
) -> Iterator[str | Table]:
    """Text and tables in reading order: a table stands where its first word did."""
    owner = {place: table for table in tables for place in table.words}
    given: set[int] = set()
    for _, group in groupby(range(len(words)), key=lambda place: id(owner.get(place))):
        places = list(group)
        table = owner.get(places[0])
        if table is None:
            yield pdf_layout.with_carets(
                text, words[places[0]].start, words[places[-1]].end, carets
            )
        elif id(table) not in given:
            given.add(id(table))
            yield table


def _mended(text: str) -> str:
    return _BROKEN_WORD.sub("", text).strip()
