"""The numbers that Word gives paragraphs, which stand in no text: `3.2`, `(a)`, `Article IV`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from tools.retrieval.docx_styles import lineage
from tools.retrieval.office_archive import is_on

_MOST_LEVELS = 9
_MOST_DIGITS = 9
# Beyond it Word itself repeats letters over half a line.
_MOST_LETTERS = 26 * 4
# As a tracked change has it.
_DELETED = "/".join(map(qn, ("w:pPr", "w:rPr", "w:del")))
_NUMBERING = f"{qn('w:pPr')}/{qn('w:numPr')}"
_PLACE = re.compile(r"%([1-9])")
_PLAIN = frozenset({"decimal", "decimalZero", "lowerLetter", "upperLetter", "lowerRoman"}) | {
    "upperRoman"
}
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l")),
    *((40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """How a level is numbered: `%1.%2` is this level's number behind the one above."""

    kind: str
    text: str
    start: int
    legal: bool


class Numbers:
    """Counts the numbered paragraphs of one document, which come in their order."""

    def __init__(self, document: Document) -> None:
        self._abstract: dict[str, dict[int, _Level]] = {}
        self._numberings: dict[str, tuple[str, dict[int, int]]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._begun: set[tuple[str, int]] = set()
        self._by_style: dict[str | None, tuple[str, int] | None] = {}
        self._tables = any(
            style.get(qn("w:type")) == "table" and style.find(_NUMBERING) is not None
            for style in document.styles.element.findall(qn("w:style"))
        )
        for relation in document.part.rels.values():
            if relation.reltype == RELATIONSHIP_TYPE.NUMBERING and not relation.is_external:
                root = getattr(relation.target_part, "element", None)
                if root is not None:
                    self._read(root)

    def of(self, paragraph: Paragraph, *, table: Table | None = None) -> str:
        """The paragraph's number as Word shows it; empty where it has none, or a bullet.

        In a ``table`` it may be by the table's style.
        """
        if paragraph._p.find(_DELETED) is not None:
            return ""
        found = self._numbered(paragraph, table)
        if found is None or found[0] not in self._numberings:
            return ""
        number, at = found
        key, restarts = self._numberings[number]
        levels = self._abstract.get(key, {})
        if at not in levels:
            return ""
        counts = self._counts.setdefault(key, {})
        if at in restarts and (number, at) not in self._begun:
            counts.pop(at, None)
        self._begun.add((number, at))
        first = restarts.get(at, levels[at].start)
        counts[at] = counts[at] + 1 if at in counts else first
        for below in [one for one in counts if one > at]:
            del counts[below]
        return _shown(levels, counts, at)

    def _numbered(self, paragraph: Paragraph, table: Table | None) -> tuple[str, int] | None:
        """Its numbering and level, by itself, its style or its table's."""
        own, level = _own(paragraph._p)
        style = paragraph._p.style
        if style not in self._by_style:
            self._by_style[style] = _of_style(paragraph.style)
        inherited = self._by_style[style]
        if inherited is None and table is not None and self._tables:
            inherited = self._of_table(table)
        if own is None:
            return inherited if inherited is None or level is None else (inherited[0], level)
        if own == "0":
            return None
        if level is None:
            level = inherited[1] if inherited is not None else 0
        return own, level

    def _of_table(self, table: Table) -> tuple[str, int] | None:
        name = table._tbl.tblStyle_val
        if name is None:
            return None
        key = f"table {name}"
        if key not in self._by_style:
            self._by_style[key] = _of_style(table.style)
        return self._by_style[key]

    def _read(self, root: Any) -> None:
        for one in root.findall(qn("w:abstractNum")):
            levels = {}
            for level in one.findall(qn("w:lvl")):
                at = _whole(level.get(qn("w:ilvl"), ""))
                if at is not None and at < _MOST_LEVELS:
                    levels[at] = _level(level)
            self._abstract[one.get(qn("w:abstractNumId"), "")] = levels
        for one in root.findall(qn("w:num")):
            restarts = {}
            for changed in one.findall(qn("w:lvlOverride")):
                at = _whole(changed.get(qn("w:ilvl"), ""))
                start = _whole(_value(changed, "w:startOverride"))
                if at is not None and start is not None:
                    restarts[at] = start
            abstract = _value(one, "w:abstractNumId")
            self._numberings[one.get(qn("w:numId"), "")] = (abstract, restarts)


def _shown(levels: dict[int, _Level], counts: dict[int, int], at: int) -> str:
    level = levels[at]
    if level.kind not in _PLAIN:
        return ""

    def number(found: re.Match[str]) -> str:
        place = int(found[1]) - 1
        above = levels.get(place)
        if above is None or place > at:
            return ""
        kind = "decimal" if level.legal else above.kind
        return _written(counts.get(place, above.start), kind)

    return " ".join(_PLACE.sub(number, level.text).split())


def _written(value: int, kind: str) -> str:
    match kind:
        case "lowerLetter" | "upperLetter" if 0 < value <= _MOST_LETTERS:
            # 27 is aa, 28 is bb.
            text = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
        case "lowerRoman" | "upperRoman" if 0 < value < 4_000:
            text = _roman(value)
        case "decimalZero":
            text = f"{value:02}"
        case _:
            text = str(value)
    return text.upper() if kind.startswith("upper") else text


def _roman(value: int) -> str:
    text = ""
    for worth, letters in _ROMAN:
        text += letters * (value // worth)
        value %= worth
    return text


def _level(element: Any) -> _Level:
    legal = element.find(qn("w:isLgl"))
    return _Level(
        kind=_value(element, "w:numFmt") or "decimal",
        text=_value(element, "w:lvlText"),
        start=_whole(_value(element, "w:start")) or 0,
        legal=is_on(legal, qn("w:val")),
    )


def _of_style(style: Any) -> tuple[str, int] | None:
    """The numbering of a style, or of the nearest one that it is made from."""
    number, level = None, None
    for one in lineage(style):
        own, at = _own(one.element)
        number = own if number is None else number
        level = at if level is None else level
    return None if number in (None, "0") else (str(number), level or 0)


def _own(element: Any) -> tuple[str | None, int | None]:
    found = element.find(_NUMBERING)
    if found is None:
        return None, None
    level = _whole(_value(found, "w:ilvl"))
    at = level if level is not None and level < _MOST_LEVELS else None
    return _value(found, "w:numId") or None, at


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _value(element: Any, name: str) -> str:
    found = element.find(qn(name))
    return "" if found is None else str(found.get(qn("w:val"), ""))
