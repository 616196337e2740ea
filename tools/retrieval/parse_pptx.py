"""PPTX through python-pptx: slides in order, titles as headings, tables, charts, notes, remarks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from lxml import etree
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER
from pptx.package import Package

from tools.retrieval import omml, pptx_charts, pptx_comments, titles
from tools.retrieval.assembly import Assembly, is_raised, markdown_table
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import EmptyDocument, NeedsOcr, TooLarge
from tools.retrieval.office_archive import guard
from tools.retrieval.sniff import Format

_MAX_DEPTH = 20
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_OTHERWISE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
_TITLES = (PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE)
_BODIES = (PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY)
_FURNITURE = (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE)


def parse(data: bytes, *, name: str, max_unpacked: int, max_pages: int) -> Parsed:
    """Each slide as a page, hidden ones too.

    Raises TooLarge for more than ``max_pages`` slides, NeedsOcr for slides of pictures alone,
    EmptyDocument, or DamagedDocument.
    """
    guard(data, name=name, max_unpacked=max_unpacked)
    # Not pptx.Presentation, which refuses slide shows and templates.
    deck = Package.open(io.BytesIO(data)).main_document_part.presentation
    count = len(deck.slides)
    if count > max_pages:
        raise TooLarge(f"{name}: {count} slides, the limit is {max_pages}; split it")
    assembly = Assembly()
    without_text: list[int] = []
    empty = True
    first_title = ""
    authors = pptx_comments.authors(deck)
    for number, slide in enumerate(deck.slides, start=1):
        assembly.page(number)
        _unwrap(slide._element)
        blocks = list(_blocks(slide))
        title = next((text for kind, text in blocks if kind == "title"), "")
        comments = list(pptx_comments.of(slide, authors))
        if not any(text.strip() for _, text in blocks):
            # A picture may be one of text.
            without_text += [number] * any(kind == "picture" for kind, _ in blocks)
            if not comments:
                continue
        empty = False
        first_title = first_title or title
        assembly.heading(1, title or f"Slide {number}")
        for kind, text in blocks:
            if kind in ("text", "table"):
                assembly.block(text, kind=Kind.TABLE if kind == "table" else Kind.PROSE)
        for comment in comments:
            assembly.block(comment)
    if empty:
        if without_text:
            raise NeedsOcr(
                f"{name}: holds only images, no text; save it as PDF, run OCR on it and ingest that"
            )
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return assembly.finish(
        title=titles.told(deck.core_properties.title) or first_title or name,
        media_type=Format.PPTX,
        pages=count,
        pages_without_text=tuple(without_text),
    )


def _unwrap(slide: Any) -> None:
    """Put shapes that only newer programs know, as those with equations, where all others are."""
    for choices in list(slide.iter(f"{_OTHERWISE}AlternateContent")):
        if choices.getparent().tag.endswith(("}spTree", "}grpSp")):
            for shape in list(choices[0]) if len(choices) else ():
                choices.addprevious(shape)
            choices.getparent().remove(choices)


def _blocks(slide: Any) -> Iterator[tuple[str, str]]:
    shapes = sorted(_flat(slide.shapes, depth=0), key=lambda place: place[0])
    for _, shape in shapes:
        yield from _of_shape(shape)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        notes = _text(frame, bullets=False)
        if notes:
            yield "text", f"Speaker notes: {notes}"


def _flat(shapes: Any, *, depth: int) -> Iterator[tuple[tuple[int, int], Any]]:
    for shape in shapes:
        # Reading order is not the order of drawing; a group stays together where it lies.
        place = (shape.top or 0, shape.left or 0)
        if hasattr(shape, "shapes"):
            if depth < _MAX_DEPTH:
                for _, inner in sorted(
                    _flat(shape.shapes, depth=depth + 1), key=lambda one: one[0]
                ):
                    yield place, inner
        else:
            yield place, shape


def _of_shape(shape: Any) -> Iterator[tuple[str, str]]:
    role = shape.placeholder_format.type if shape.is_placeholder else None
    if role in _FURNITURE:
        return
    if getattr(shape, "has_table", False):
        rows = [
            ["" if cell.is_spanned else _text(cell.text_frame, bullets=False) for cell in row.cells]
            for row in shape.table.rows
        ]
        yield "table", markdown_table(rows)
    elif getattr(shape, "has_chart", False):
        space = shape.chart._chartSpace
        yield "text", "\n".join(pptx_charts.words(space))
        for rows in pptx_charts.tables(space):
            yield "table", markdown_table(rows)
    elif shape.has_text_frame:
        if role in _TITLES:
            yield "title", " ".join(_text(shape.text_frame, bullets=False).split())
        else:
            yield "text", _text(shape.text_frame, bullets=role in _BODIES)
    elif (ids := shape._element.find(f".//{_DIAGRAM}")) is not None:
        # SmartArt keeps its words in a part of its own.
        part = shape.part.related_part(ids.get(_RELATION))
        root = etree.fromstring(part.blob, etree.XMLParser(resolve_entities=False))
        lines = [
            "".join(node.text or "" for node in paragraph.iter(f"{_DRAWING}t"))
            for paragraph in root.iter(f"{_DRAWING}p")
        ]
        yield "text", "\n".join(f"- {line}" for line in lines if line.strip())
    elif shape.shape_type == MSO_SHAPE_TYPE.PICTURE:
        yield "picture", ""


def _text(frame: Any, *, bullets: bool) -> str:
    lines = []
    for paragraph in frame.paragraphs:
        line = " ".join(_line(paragraph._p).split())
        if line:
            lines.append(f"{'  ' * paragraph.level}- {line}" if bullets else line)
    return "\n".join(lines)


def _line(paragraph: Any) -> str:
    """The paragraph's text, with its equations in a line."""
    parts: list[str] = []
    skipped = {node for old in paragraph.iter(f"{_OTHERWISE}Fallback") for node in old.iter()}
    for node in paragraph.iter(f"{_DRAWING}t", f"{_DRAWING}br", omml.MATH):
        if node in skipped:
            continue
        if node.tag == omml.MATH:
            parts.append(omml.linear(node))
            skipped.update(node.iter())
        elif node.tag == f"{_DRAWING}br":
            parts.append(" ")
        else:
            text = node.text or ""
            before = next((part for part in reversed(parts) if part), "")
            raised = _is_superscript(node) and is_raised(text, after=before)
            parts.append(f"^{text}" if raised else text)
    return "".join(parts)


def _is_superscript(node: Any) -> bool:
    looks = node.getparent().find(f"{_DRAWING}rPr")
    return looks is not None and looks.get("baseline", "0").rstrip("%").lstrip("0").isdecimal()
