"""DOCX through python-docx: paragraphs, headings, lists, tables within tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docx.opc.exceptions
from docx.document import Document
from docx.opc.part import PartFactory
from docx.oxml.ns import qn
from docx.package import Package
from docx.parts.document import DocumentPart
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph
from lxml import etree

from tools.retrieval import omml, titles
from tools.retrieval.assembly import Assembly, is_raised, markdown_table
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.docx_numbers import Numbers
from tools.retrieval.docx_styles import Hidden, Styles
from tools.retrieval.errors import DamagedDocument, EmptyDocument, NeedsOcr
from tools.retrieval.office_archive import guard
from tools.retrieval.sniff import Format

# What a drawing is for programs that do not know it, and text that is tracked as moved elsewhere.
_TWICE = ("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", qn("w:moveFrom"))
_WRAPPERS = frozenset(map(qn, "w:sdt w:sdtContent w:customXml w:ins w:moveTo".split()))
_NOTES = {"footnotes": "Footnote", "endnotes": "Endnote", "comments": "Comment"}
_OTHER_KINDS = (
    "application/vnd.ms-word.document.macroEnabled.main+xml",
    "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
)
_MAX_DEPTH = 20
# Word itself has 63 columns at most.
_MAX_ACROSS = 63


def parse(data: bytes, *, name: str, max_unpacked: int) -> Parsed:
    """The text of a DOCX; notes, comments, headers and footers stand at the end.

    Raises TooLarge for an archive that unpacks to over ``max_unpacked`` bytes, DamagedDocument,
    EmptyDocument, or NeedsOcr if it holds pictures and no text.
    """
    guard(data, name=name, max_unpacked=max_unpacked)
    try:
        # Not docx.Document, which refuses templates and documents with macros.
        PartFactory.part_type_for.update(dict.fromkeys(_OTHER_KINDS, DocumentPart))
        package = Package.open(io.BytesIO(data))
        return _parse(package.main_document_part.document, name=name)
    except (
        docx.opc.exceptions.PackageNotFoundError,
        zipfile.BadZipFile,
        etree.XMLSyntaxError,
    ) as error:
        raise DamagedDocument(
            f"{name}: a DOCX that is cut short or broken ({type(error).__name__});"
            " open it in Word, save it anew and ingest it"
        ) from None


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a document's parts are read with; ``numbered`` are the paragraphs within tables."""

    hidden: Hidden
    numbered: dict[Any, str] = field(default_factory=dict)


def _parse(document: Document, *, name: str) -> Parsed:
    assembly, styles, numbers = Assembly(), Styles(), Numbers(document)
    reading = _Read(hidden=Hidden(document))
    title = titles.told(document.core_properties.title)
    first_heading = ""
    previous_was_item = False
    body = document._body
    blocks = list(_blocks(body._element, body))
    for place, block in enumerate(blocks):
        if isinstance(block, Table):
            caption = _caption(blocks, place, styles, reading)
            for held in block._tbl.iter(qn("w:p")):
                # Counted with those between the tables.
                within = Table(next(held.iterancestors(qn("w:tbl"))), block._parent)
                if number := numbers.of(Paragraph(held, block), table=within):
                    reading.numbered[held] = number
            rows = _rows(block, reading, depth=0)
            assembly.block(markdown_table(rows), kind=Kind.TABLE, caption=caption)
            previous_was_item = False
            continue
        text = _text(block, reading)
        number = numbers.of(block)
        if level := styles.level(block):
            assembly.heading(level, f"{number} {text}" if text.strip() else "")
            first_heading = first_heading or text.strip()
            previous_was_item = False
        else:
            item = styles.name(block).startswith("List") or _listed(block)
            mark = number or ("-" if item else "")
            assembly.block(
                f"{mark} {text}" if mark and text.strip() else text,
                tight=item and previous_was_item,
            )
            previous_was_item = item
    _notes(document, assembly, reading)
    _margins(document, assembly, reading)
    parsed = assembly.finish(title=title or first_heading or name, media_type=Format.DOCX)
    if not parsed.sections:
        if document.inline_shapes:
            raise NeedsOcr(
                f"{name}: holds only images, no text; save it as PDF, run OCR on it and ingest that"
            )
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return parsed


def _blocks(element: Any, parent: Any, depth: int = 0) -> Iterator[Paragraph | Table]:
    """Paragraphs and tables in order, also those in content controls and tracked insertions,
    which python-docx passes over.
    """
    for child in element:
        if child.tag == qn("w:p"):
            yield Paragraph(child, parent)
        elif child.tag == qn("w:tbl"):
            yield Table(child, parent)
        elif child.tag in _WRAPPERS and depth < _MAX_DEPTH:
            yield from _blocks(child, parent, depth + 1)


def _caption(blocks: list[Paragraph | Table], place: int, styles: Styles, reading: _Read) -> str:
    """The paragraph of style Caption above the table, or else below it."""
    for near in (place - 1, place + 1):
        if 0 <= near < len(blocks):
            block = blocks[near]
            if isinstance(block, Paragraph) and styles.name(block) == "Caption":
                return _text(block, reading)
    return ""


def _notes(document: Document, assembly: Assembly, reading: _Read) -> None:
    """Footnotes, endnotes and comments, which stand in parts of their own."""
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        label = _NOTES.get(kind)
        if label is None or relation.is_external:
            continue
        root = etree.fromstring(relation.target_part.blob, etree.XMLParser(resolve_entities=False))
        for note in root:
            if note.get(qn("w:type")) is not None:
                # The line that parts notes from text.
                continue
            text = " ".join(_runs(note, reading.hidden).split())
            author = note.get(qn("w:author")) if kind == "comments" else None
            if text:
                assembly.block(f"{label}{f' by {author}' if author else ''}: {text}")


def _margins(document: Document, assembly: Assembly, reading: _Read) -> None:
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
            lines = _lines(_blocks(margin._element, margin), reading, depth=0)
            text = "\n".join(lines).strip()
            if text and text not in seen:
                seen.add(text)
                assembly.block(text)


def _text(paragraph: Paragraph, reading: _Read) -> str:
    # Paragraph.text leaves out equations, fields, content controls and tracked insertions.
    return _runs(paragraph._p, reading.hidden)


def _runs(element: Any, hidden: Hidden) -> str:
    parts: list[str] = []
    skipped = {node for old in element.iter(*_TWICE) for node in old.iter()}
    for node in element.iter(
        qn("w:p"), qn("w:t"), omml.MATH, qn("w:tab"), qn("w:br"), qn("w:cr"), qn("w:noBreakHyphen")
    ):
        if node in skipped:
            continue
        if node.tag == qn("w:p"):
            parts.append("\n" if parts else "")
        elif node.tag == omml.MATH:
            parts.append(omml.linear(node))
            skipped.update(node.iter())
        elif node.tag == qn("w:t"):
            text = "" if hidden.has(node.getparent()) else node.text or ""
            before = next((part for part in reversed(parts) if part), "")
            raised = _is_superscript(node) and is_raised(text, after=before)
            parts.append(f"^{text}" if raised else text)
        elif node.tag == qn("w:tab"):
            # A tab stop's definition carries the same tag as a tab.
            parts.append("\t" if node.getparent().tag == qn("w:r") else "")
        else:
            parts.append("-" if node.tag == qn("w:noBreakHyphen") else "\n")
    return "".join(parts)


def _listed(paragraph: Paragraph) -> bool:
    found = paragraph._p.find("/".join(map(qn, ("w:pPr", "w:numPr", "w:numId"))))
    # 0 takes a paragraph out of the list of its style.
    return found is not None and found.get(qn("w:val")) != "0"


def _is_superscript(node: Any) -> bool:
    mark = node.getparent().find(f"{qn('w:rPr')}/{qn('w:vertAlign')}")
    return mark is not None and mark.get(qn("w:val")) == "superscript"


def _rows(table: Table, reading: _Read, *, depth: int) -> list[list[str]]:
    """The cells as they stand on the grid. One over several rows is given in each of them."""
    rows: list[list[str]] = []
    above: dict[int, str] = {}
    for row in _held(table._tbl, qn("w:tr")):
        cells = [""] * _count(row, "w:trPr/w:gridBefore", least=0)
        for held in _held(row, qn("w:tc")):
            goes_on = held.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
            is_first = goes_on is None or goes_on.get(qn("w:val")) == "restart"
            if is_first or len(cells) not in above:
                above[len(cells)] = _cell(_Cell(held, table), reading, depth=depth)
            cells.append(above[len(cells)])
            cells.extend([""] * (_count(held, "w:tcPr/w:gridSpan", least=1) - 1))
        rows.append(cells)
    return rows


def _held(element: Any, tag: str, depth: int = 0) -> Iterator[Any]:
    """Rows of a table or cells of a row, also those in content controls."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in _WRAPPERS and depth < _MAX_DEPTH:
            yield from _held(child, tag, depth + 1)


def _count(element: Any, path: str, *, least: int) -> int:
    found = element.find("/".join(map(qn, path.split("/"))))
    value = "" if found is None else found.get(qn("w:val"), "")
    return min(max(int(value), least), _MAX_ACROSS) if value.isdecimal() else least


def _cell(cell: _Cell, reading: _Read, *, depth: int) -> str:
    return " ".join(_lines(_blocks(cell._tc, cell), reading, depth=depth + 1))


def _lines(blocks: Iterator[Paragraph | Table], reading: _Read, *, depth: int) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Paragraph):
            number = reading.numbered.get(block._p, "")
            text = _text(block, reading)
            yield f"{number} {text}".rstrip() if number else text
        elif depth < _MAX_DEPTH:
            for row in _rows(block, reading, depth=depth):
                yield ", ".join(cell for cell in row if cell.strip()) + ";"
