"""Where a PDF page's words and ruled lines stand, out of PDFium."""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pypdfium2.raw as pdfium

_WORD = re.compile(r"[^\s\x00\ufffe\x02]+")
_LINE_END = re.compile(r"\r\n|\n|\r")
# Thinner than this, in points, a rectangle is a line.
_THIN = 3.0
# Shares of a line's height: a letter's greatest mean width, and a gap within no word.
_WIDEST = 0.8
_APART = 0.5
_LEAST_GAPS = 3
# A digit that may be raised above the number in front of it, and by which shares of its height.
_RAISED = re.compile("(?<=[0-9)])[-+\u2212\u2013]?[0-9]")
_SMALLER = 0.85
_HIGHER = 0.15
_MAX_OBJECTS = 5_000
_MAX_FORMS = 5


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word as the page shows it: x to the right, y down, in points.

    ``start`` and ``end`` are its place in the page's text, ``line`` its line in reading order.
    """

    text: str
    start: int
    end: int
    line: int
    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A horizontal line at ``at`` = y from x ``low`` to ``high``, or a vertical one at x."""

    horizontal: bool
    at: float
    low: float
    high: float


def may_hold_table(textpage: Any) -> bool:
    """Whether at least three lines have a wide gap, which is told far faster than by words."""
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    places = [ctypes.byref(one) for one in (left, top, right, bottom)]
    gaps = 0
    end, low, high = 0.0, 0.0, 0.0
    for number in range(pdfium.FPDFText_CountRects(textpage.raw, 0, -1)):
        pdfium.FPDFText_GetRect(textpage.raw, number, *places)
        height = top.value - bottom.value
        overlap = min(top.value, high) - max(bottom.value, low)
        gaps += overlap > 0.3 * height and left.value - end > 0.5 * height
        if gaps >= _LEAST_GAPS:
            return True
        end, low, high = right.value, bottom.value, top.value
    return False


def raised(textpage: Any, text: str) -> list[int]:
    """Where in ``text``, which is all of ``textpage``, a superscript follows a number."""
    if len(text) != textpage.count_chars():
        return []
    return [
        match.start() for match in _RAISED.finditer(text) if _is_raised(textpage, match.start())
    ]


def with_carets(text: str, start: int, end: int, places: Sequence[int]) -> str:
    """``text`` from ``start`` to ``end``, with a caret in front of each of ``places``."""
    inner = places[bisect_right(places, start) : bisect_left(places, end)]
    return "^".join(text[first:last] for first, last in pairwise([start, *inner, end]))


def _is_raised(textpage: Any, place: int) -> bool:
    before, after = (_box(textpage, at, at, turn=0) for at in (place - 1, place))
    low, high = (_origin(textpage, at) for at in (place - 1, place))
    height = before[3] - before[1]
    return after[3] - after[1] < _SMALLER * height and high - low > _HIGHER * height


def _origin(textpage: Any, place: int) -> float:
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(textpage.raw, place, ctypes.byref(x), ctypes.byref(y))
    return y.value


def words(page: Any, textpage: Any, text: str, *, carets: Sequence[int] = ()) -> list[Word]:
    """The words of ``text``, which is all of ``textpage``; none where the two do not agree.

    A word has a caret in front of each of the places ``carets``.
    """
    if len(text) != textpage.count_chars():
        return []
    turn = page.get_rotation()
    found: list[Word] = []
    ends = [match.start() for match in _LINE_END.finditer(text)]
    line = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        while line < len(ends) and ends[line] < start:
            line += 1
        whole = _box(textpage, start, end - 1, turn=turn)
        cuts = _cuts(textpage, start, end, whole, turn=turn)
        for first, last in pairwise([start, *cuts, end]):
            box = _box(textpage, first, last - 1, turn=turn) if cuts else whole
            x0, y0, x1, y1 = box
            found.append(
                Word(
                    text=with_carets(text, first, last, carets),
                    start=first,
                    end=last,
                    line=line,
                    x0=x0,
                    x1=x1,
                    y0=y0,
                    y1=y1,
                )
            )
    return found


def _cuts(
    textpage: Any, start: int, end: int, whole: tuple[float, float, float, float], *, turn: int
) -> list[int]:
    """Where to part a word that PDFium joined of what stands far apart, as two cells' zeros do."""
    x0, y0, x1, y1 = whole
    if x1 - x0 <= _WIDEST * (y1 - y0) * (end - start):
        return []
    cuts: list[int] = []
    before = _box(textpage, start, start, turn=turn)
    for place in range(start + 1, end):
        box = _box(textpage, place, place, turn=turn)
        if box[0] - before[2] > _APART * (box[3] - box[1]):
            cuts.append(place)
        before = box
    return cuts


def _box(textpage: Any, first: int, last: int, *, turn: int) -> tuple[float, float, float, float]:
    """The box from one character to another."""
    begin, finish = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(textpage.raw, first, ctypes.byref(begin))
    pdfium.FPDFText_GetLooseCharBox(textpage.raw, last, ctypes.byref(finish))
    return _turned(
        min(begin.left, finish.left),
        min(begin.bottom, finish.bottom),
        max(begin.right, finish.right),
        max(begin.top, finish.top),
        turn=turn,
    )


def rules(page: Any) -> list[Rule]:
    """Straight lines, thin rectangles and the edges of boxes; none on a page of countless ones."""
    turn = page.get_rotation()
    found: list[Rule] = []
    for number, thing in enumerate(
        page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH], max_depth=_MAX_FORMS)
    ):
        if number >= _MAX_OBJECTS:
            return []
        # A path within a form would need the form's own matrix as well.
        if thing.level == 0:
            for box in _boxes(thing):
                found.extend(_edges(*_turned(*box, turn=turn)))
    return found


def _boxes(path: Any) -> list[tuple[float, float, float, float]]:
    count = pdfium.FPDFPath_CountSegments(path.raw)
    if not 0 < count <= _MAX_OBJECTS:
        return []
    matrix = path.get_matrix()
    x, y = ctypes.c_float(), ctypes.c_float()
    boxes: list[tuple[float, float, float, float]] = []
    points: list[tuple[float, float]] = []

    def close() -> None:
        if len(points) > 1:
            xs, ys = [one for one, _ in points], [one for _, one in points]
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
        points.clear()

    for number in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(path.raw, number)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_BEZIERTO:
            return []
        pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            close()
        points.append(matrix.on_point(x.value, y.value))
    close()
    return boxes


def _edges(x0: float, y0: float, x1: float, y1: float) -> list[Rule]:
    if y1 - y0 < _THIN:
        return [Rule(horizontal=True, at=(y0 + y1) / 2, low=x0, high=x1)]
    if x1 - x0 < _THIN:
        return [Rule(horizontal=False, at=(x0 + x1) / 2, low=y0, high=y1)]
    return [
        *(Rule(horizontal=True, at=at, low=x0, high=x1) for at in (y0, y1)),
        *(Rule(horizontal=False, at=at, low=y0, high=y1) for at in (x0, x1)),
    ]


def _turned(
    left: float, bottom: float, right: float, top: float, *, turn: int
) -> tuple[float, float, float, float]:
    """The box as the page is shown, turned clockwise by ``turn`` degrees, with y down."""
    match turn:
        case 90:
            return bottom, left, top, right
        case 180:
            return -right, bottom, -left, top
        case 270:
            return -top, -right, -bottom, -left
        case _:
            return left, -top, right, -bottom
