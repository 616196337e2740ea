"""The numbers behind a chart of a slide, as they were saved with it: of every kind of chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openpyxl.styles.numbers import is_date_format
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

from tools.retrieval.office_archive import is_on
from tools.retrieval.parse_xlsx import shown

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
# As many points as an axis can show; a file may claim any number.
_MAX_POINTS = 32_000
_PLACES = ("xVal", "yVal", "bubbleSize")
_PLACE_NAMES = {"xVal": "x", "yVal": "y", "bubbleSize": "size"}


def words(space: Any) -> list[str]:
    """The titles of the chart and of its axes."""
    found = [_words(title) for title in space.iter(f"{_C}title")]
    return [text for text in found if text]


def tables(space: Any) -> Iterator[list[list[str]]]:
    """A table for each plot of the chart, the first row its header."""
    old = space.find(f"{_C}date1904")
    epoch = CALENDAR_MAC_1904 if is_on(old, "val") else CALENDAR_WINDOWS_1900
    for area in space.iter(f"{_C}plotArea"):
        for plot in area:
            series = plot.findall(f"{_C}ser")
            if any(one.find(f"{_C}{_PLACES[1]}") is not None for one in series):
                yield _points(series, epoch)
            elif series:
                yield _categories(series, epoch)


def _categories(series: list[Any], epoch: Any) -> list[list[str]]:
    labels: dict[int, str] = {}
    for one in series:
        labels = labels or _labels(one.find(f"{_C}cat"), epoch)
    values = [_values(one.find(f"{_C}val"), epoch) for one in series]
    count = max((place + 1 for held in (labels, *values) for place in held), default=0)
    return [
        ["", *map(_name, series)],
        *(
            [labels.get(place, ""), *(held.get(place, "") for held in values)]
            for place in range(count)
        ),
    ]


def _points(series: list[Any], epoch: Any) -> list[list[str]]:
    kinds = [kind for kind in _PLACES if any(one.find(f"{_C}{kind}") is not None for one in series)]
    rows = [["", *(_PLACE_NAMES[kind] for kind in kinds)]]
    for one in series:
        values = [_values(one.find(f"{_C}{kind}"), epoch) for kind in kinds]
        for place in sorted({place for held in values for place in held}):
            rows.append([_name(one), *(held.get(place, "") for held in values)])
    return rows


def _labels(held: Any, epoch: Any) -> dict[int, str]:
    """The categories; of several levels, ``USA / New York``."""
    if held is None:
        return {}
    levels = [_values(level, epoch) for level in held.iter(f"{_C}lvl")]
    if not levels:
        return _values(held, epoch)
    inner, *outer = levels
    names = dict(inner)
    for level in outer:
        # A group is named at its first category.
        group = ""
        for place in range(max(names, default=-1) + 1):
            group = level.get(place, group)
            names[place] = " / ".join(filter(None, (group, names.get(place, ""))))
    return names


def _values(held: Any, epoch: Any) -> dict[int, str]:
    if held is None:
        return {}
    whole = held.find(f".//{_C}formatCode")
    found: dict[int, str] = {}
    for point in held.iter(f"{_C}pt"):
        value = point.find(f"{_C}v")
        place = point.get("idx", "")
        if value is None or not place.isdecimal() or int(place) >= _MAX_POINTS:
            continue
        is_number = point.getparent().tag in (f"{_C}numCache", f"{_C}numLit")
        form = point.get("formatCode") or (whole.text if whole is not None else None)
        text = value.text or ""
        found[int(place)] = _shown(text, form, epoch) if is_number else text
    return found


def _shown(text: str, form: str | None, epoch: Any) -> str:
    try:
        number = float(text)
        if form and is_date_format(form):
            return shown(from_excel(number, epoch=epoch))
    except (ValueError, OverflowError):
        return text
    return shown(number, form)


def _name(series: Any) -> str:
    held = series.find(f"{_C}tx")
    texts = [] if held is None else [node.text or "" for node in held.iter(f"{_C}v")]
    return " ".join(texts)


def _words(title: Any) -> str:
    lines = [
        "".join(node.text or "" for node in paragraph.iter(f"{_A}t"))
        for paragraph in title.iter(f"{_A}p")
    ]
    return " ".join(" ".join([*lines, *(node.text or "" for node in title.iter(f"{_C}v"))]).split())
