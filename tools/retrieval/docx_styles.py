"""What a paragraph of a DOCX is, by its style: a heading of some level, an item, a caption."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docx.oxml.ns import qn
from docx.text.paragraph import Paragraph

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_TITLE = "Title"
_MOST_BASES = 20


class Styles:
    """The styles of one document, each looked up once: that takes python-docx milliseconds."""

    def __init__(self) -> None:
        self._known: dict[str | None, tuple[str, int]] = {}

    def name(self, paragraph: Paragraph) -> str:
        """The style's name, which is English for those that Word brings; perhaps empty."""
        return self._of(paragraph)[0]

    def level(self, paragraph: Paragraph) -> int:
        """Of which level a heading is, by itself or its style; 0 where it is none."""
        own = _outlined(paragraph._p)
        return self._of(paragraph)[1] if own is None else own

    def _of(self, paragraph: Paragraph) -> tuple[str, int]:
        key = paragraph._p.style
        if key not in self._known:
            style = paragraph.style
            self._known[key] = ((style.name if style is not None else "") or "", _level(style))
        return self._known[key]


def lineage(style: Any) -> Iterator[Any]:
    """A style and those that it is made from, the nearest first."""
    for _ in range(_MOST_BASES):
        if style is None:
            return
        yield style
        style = style.base_style


def _level(style: Any) -> int:
    """By the style itself, or the nearest one that it is made from."""
    for one in lineage(style):
        if (outlined := _outlined(one.element)) is not None:
            return outlined
        if heading := _HEADING.match(one.name or ""):
            return int(heading[1])
        if one.name == _TITLE:
            return 1
    return 0


def _outlined(element: Any) -> int | None:
    """The level in the outline; 0 for what is explicitly none."""
    found = element.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    value = "" if found is None else found.get(qn("w:val"), "")
    return (int(value) + 1) % 10 if len(value) == 1 and value in "0123456789" else None
