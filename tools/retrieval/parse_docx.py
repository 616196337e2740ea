"""DOCX through python-docx: paragraphs, headings, lists, tables within tables."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import docx
import docx.opc.exceptions
from docx.document import Document
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph
from lxml import etree

from tools.retrieval.assembly import Assembly, markdown_table
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import DamagedDocument, EmptyDocument, NeedsOcr, TooLarge
from tools.retrieval.sniff import Format

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_MAX_RATIO = 200
_MAX_DEPTH = 20


def parse(data: bytes, *, name: str, max_unpacked: int) -> Parsed:
    """The text of a DOCX, with headers and footers at the end.

    Raises TooLarge for an archive that unpacks to over ``max_unpacked`` bytes, DamagedDocument,
    EmptyDocument, or NeedsOcr if it holds pictures and no text.
    """
    _guard_unpacked_size(data, name=name, max_unpacked=max_unpacked)
    try:
        document = docx.Document(io.BytesIO(data))
        return _parse(document, name=name)
    except (
        docx.opc.exceptions.PackageNotFoundError,
        zipfile.BadZipFile,
        etree.XMLSyntaxError,
        KeyError,
        ValueError,
        AttributeError,
    ) as error:
        raise DamagedDocument(
            f"{name}: a DOCX that is cut short or broken ({type(error).__name__});"
            " open it in Word, save it anew and ingest it"
        ) from error


def _guard_unpacked_size(data: bytes, *, name: str, max_unpacked: int) -> None:
    unpacked = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            # Counted by unpacking: the size that an archive declares can lie.
            with archive.open(entry) as stream:
                try:
                    while part := stream.read(1 << 20):
                        unpacked += len(part)
                        if unpacked > max_unpacked or (
                            unpacked > 10_000_000 and unpacked > _MAX_RATIO * len(data)
                        ):
                            raise TooLarge(
                                f"{name}: unpacks to over {unpacked // 1_000_000} MB from"
                                f" {len(data) / 1_000_000:.1f} MB; split it or save it as PDF"
                            )
                except (zipfile.BadZipFile, EOFError, OSError) as error:
                    raise DamagedDocument(
                        f"{name}: the archive inside is broken; get a good copy and ingest it"
                    ) from error


def _parse(document: Document, *, name: str) -> Parsed:
    assembly = Assembly()
    title = document.core_properties.title or ""
    first_heading = ""
    previous_was_item = False
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            rows = _rows(block, depth=0)
            assembly.block(markdown_table(rows), kind=Kind.TABLE)
            previous_was_item = False
            continue
        text = _text(block)
        style = (block.style.name if block.style is not None else None) or ""
        heading = _HEADING.match(style)
        if heading is not None or style == "Title":
            assembly.heading(int(heading.group(1)) if heading else 1, text)
            first_heading = first_heading or text.strip()
            previous_was_item = False
        else:
            item = (
                style.startswith("List")
                or block._p.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None
            )
            assembly.block(
                f"- {text}" if item and text.strip() else text, tight=item and previous_was_item
            )
            previous_was_item = item
    _margins(document, assembly)
    parsed = assembly.finish(title=title or first_heading or name, media_type=Format.DOCX)
    if not parsed.sections:
        if document.inline_shapes:
            raise NeedsOcr(
                f"{name}: holds only images, no text; save it as PDF, run OCR on it and ingest that"
            )
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return parsed


def _margins(document: Document, assembly: Assembly) -> None:
    seen: set[str] = set()
    for section in document.sections:
        for margin in (
            section.first_page_header,
            section.header,
            section.even_page_header,
            section.first_page_footer,
            section.footer,
            section.even_page_footer,
        ):
            text = "\n".join(_lines(margin.iter_inner_content(), depth=0)).strip()
            if text and text not in seen:
                seen.add(text)
                assembly.block(text)


def _text(paragraph: Paragraph) -> str:
    # Paragraph.text leaves out equations, fields, content controls and tracked insertions.
    parts: list[str] = []
    for node in paragraph._p.iter(
        qn("w:t"), _MATH_TEXT, qn("w:tab"), qn("w:br"), qn("w:cr"), qn("w:noBreakHyphen")
    ):
        if node.tag in (qn("w:t"), _MATH_TEXT):
            parts.append(node.text or "")
        elif node.tag == qn("w:tab"):
            # A tab stop's definition carries the same tag as a tab.
            parts.append("\t" if node.getparent().tag == qn("w:r") else "")
        else:
            parts.append("-" if node.tag == qn("w:noBreakHyphen") else "\n")
    return "".join(parts)


def _rows(table: Table, *, depth: int) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in table.rows:
        cells: list[str] = []
        last: object = None
        for cell in row.cells:
            # A merged cell is given once for every column that it covers.
            cells.append("" if cell._tc is last else _cell(cell, depth=depth))
            last = cell._tc
        rows.append(cells)
    return rows


def _cell(cell: _Cell, *, depth: int) -> str:
    return " ".join(_lines(cell.iter_inner_content(), depth=depth + 1))


def _lines(blocks: Iterator[Paragraph | Table], *, depth: int) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Paragraph):
            yield _text(block)
        elif depth < _MAX_DEPTH:
            for row in _rows(block, depth=depth):
                yield ", ".join(cell for cell in row if cell.strip()) + ";"
