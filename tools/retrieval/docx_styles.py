"""What a paragraph of a DOCX is, by its style: a heading of some level, an item, a caption; and
which text styles hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docx.document import Document
from docx.oxml.ns import qn
from docx.text.paragraph import Paragraph

from tools.retrieval.office_archive import is_on

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_TITLE = "Title"
_MOST_BASES = 20
_VALUE = qn("w:val")
_VANISH = f"{qn('w:rPr')}/{qn('w:vanish')}"
_ALL = "/".join(map(qn, ("w:docDefaults", "w:rPrDefault", "w:rPr", "w:vanish")))


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


class Hidden:
    """Which runs of a document Word does not show: by themselves, or by their styles."""

    def __init__(self, document: Document) -> None:
        root = document.styles.element
        self._all = is_on(root.find(_ALL), _VALUE)
        self._styles = {one.get(qn("w:styleId")): one for one in root.findall(qn("w:style"))}
        self._default = next(
            (
                name
                for name, one in self._styles.items()
                if one.get(qn("w:type")) == "paragraph"
                and one.get(qn("w:default")) in ("1", "true")
            ),
            None,
        )
        self._plain = not self._all and root.find(f"{qn('w:style')}/{_VANISH}") is None
        self._known: dict[str | None, bool] = {}

    def has(self, run: Any) -> bool:
        """What a run says itself counts; two styles that hide it show it, as a switch twice."""
        own = run.find(_VANISH)
        if own is not None:
            return is_on(own, _VALUE)
        if self._plain:
            return False
        paragraph = next(run.iterancestors(qn("w:p")), None)
        by_paragraph = self._default if paragraph is None else _style(paragraph, "p")
        hides = self._hides(by_paragraph or self._default) != self._hides(_style(run, "r"))
        return self._all or hides

    def _hides(self, name: str | None) -> bool:
        """By the style itself, or the nearest one that it is made from."""
        if name not in self._known:
            self._known[name] = False
            at = name
            for _ in range(_MOST_BASES):
                style = self._styles.get(at) if at is not None else None
                if style is None:
                    break
                if (found := style.find(_VANISH)) is not None:
                    self._known[name] = is_on(found, _VALUE)
                    break
                base = style.find(qn("w:basedOn"))
                at = None if base is None else base.get(_VALUE)
        return self._known[name]


def _style(element: Any, kind: str) -> str | None:
    """The id of the style of a paragraph (``p``) or a run (``r``)."""
    found = element.find(f"{qn(f'w:{kind}Pr')}/{qn(f'w:{kind}Style')}")
    return None if found is None else found.get(_VALUE)


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
