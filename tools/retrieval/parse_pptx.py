"""PPTX through python-pptx: slides in order, their titles as headings, tables, charts and notes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER

from tools.retrieval.assembly import Assembly, markdown_table
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import EmptyDocument, NeedsOcr, TooLarge
from tools.retrieval.office_archive import guard
from tools.retrieval.sniff import Format

_MAX_DEPTH = 20
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
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
    deck = pptx.Presentation(io.BytesIO(data))
    count = len(deck.slides)
    if count > max_pages:
        raise TooLarge(f"{name}: {count} slides, the limit is {max_pages}; split it")
    assembly = Assembly()
    without_text: list[int] = []
    empty = True
    first_title = ""
    for number, slide in enumerate(deck.slides, start=1):
        assembly.page(number)
        blocks = list(_blocks(slide))
        title = next((text for kind, text in blocks if kind == "title"), "")
        if not any(text.strip() for _, text in blocks):
            # A picture may be one of text.
            without_text += [number] * any(kind == "picture" for kind, _ in blocks)
            continue
        empty = False
        first_title = first_title or title
        assembly.heading(1, title or f"Slide {number}")
        for kind, text in blocks:
            if kind in ("text", "table"):
                assembly.block(text, kind=Kind.TABLE if kind == "table" else Kind.PROSE)
    if empty:
        if without_text:
            raise NeedsOcr(
                f"{name}: holds only images, no text; save it as PDF, run OCR on it and ingest that"
            )
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return assembly.finish(
        title=(deck.core_properties.title or "").strip() or first_title or name,
        media_type=Format.PPTX,
        pages=count,
        pages_without_text=tuple(without_text),
    )


def _blocks(slide: Any) -> Iterator[tuple[str, str]]:
    shapes = sorted(_flat(slide.shapes, depth=0), key=lambda place: place[0])
    for _, shape in shapes:
        yield from _of_shape(shape)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        notes = frame.text.strip()
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
            ["" if cell.is_spanned else cell.text for cell in row.cells] for row in shape.table.rows
        ]
        yield "table", markdown_table(rows)
    elif getattr(shape, "has_chart", False):
        yield from _of_chart(shape.chart)
    elif shape.has_text_frame:
        if role in _TITLES:
            yield "title", " ".join(shape.text_frame.text.split())
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


def _of_chart(chart: Any) -> Iterator[tuple[str, str]]:
    if chart.has_title and chart.chart_title.has_text_frame:
        yield "text", chart.chart_title.text_frame.text
    for plot in chart.plots:
        series = list(plot.series)
        rows = [["", *(one.name for one in series)]]
        for place, category in enumerate(plot.categories):
            values = [one.values[place] if place < len(one.values) else None for one in series]
            rows.append([str(category), *("" if one is None else f"{one:.15g}" for one in values)])
        yield "table", markdown_table(rows)


def _text(frame: Any, *, bullets: bool) -> str:
    lines = []
    for paragraph in frame.paragraphs:
        line = " ".join(paragraph.text.replace("\v", " ").split())
        if line:
            lines.append(f"{'  ' * paragraph.level}- {line}" if bullets else line)
    return "\n".join(lines)
