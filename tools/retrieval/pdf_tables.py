"""Tables on a page, told from ruled cells or from words in aligned columns. Pure.

Where neither is plain the words stay what they are, lines in reading order.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from tools.retrieval.pdf_layout import Rule, Word

# Shares of a line's height: between words that far apart a column may end.
_GAP = 0.8
_NEXT_LINE = 3.5
_MIN_ROWS = 3
_MAX_COLUMNS = 40
_SHORT_WORDS = 3
_SNAP = 3.0
_MAX_RULES = 1_000
_MARK = re.compile(r"[\W_]*[0-9A-Za-z]{0,3}[\W_]*")
_DIGIT = re.compile(r"\d")
_CAPTION = re.compile(
    r"(?i:table|tab\.|tabelle|tableau|tabla|figure|fig\.|exhibit)(?:\s*\d|\s+[IVX]+\b|\s+[A-Z]\b)"
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells, all of one width, and which of the page's words they are made of."""

    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int]


@dataclass(frozen=True)
class _Segment:
    """Words so near to each other that they are in one cell."""

    places: tuple[int, ...]
    x0: float
    x1: float
    text: str

    @property
    def words(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class _Line:
    segments: tuple[_Segment, ...]
    y0: float
    y1: float


def tables(words: Sequence[Word], rules: Iterable[Rule] = ()) -> list[Table]:
    """The tables among ``words``, which are in reading order; each word is in one at most."""
    rules = list(rules)
    found = _ruled(words, rules)
    taken = frozenset(place for table in found for place in table.words)
    bars = sorted((rule for rule in rules if not rule.horizontal), key=lambda rule: rule.at)
    return found + _aligned(words, taken, bars)


def is_caption(line: str) -> bool:
    """Whether a line near a table names it."""
    return _CAPTION.match(line.strip()) is not None and len(line) < 400


def _aligned(words: Sequence[Word], taken: frozenset[int], bars: list[Rule]) -> list[Table]:
    lines = [
        _line(words, [place for place, _ in group], bars)
        for _, group in groupby(
            ((place, word) for place, word in enumerate(words) if place not in taken),
            key=lambda one: one[1].line,
        )
    ]
    found: list[Table] = []
    run: list[_Line] = []
    for line in lines:
        if run and not _follows(run[-1], line):
            found.extend(_table(run))
            run = []
        if len(line.segments) > 1:
            run.append(line)
        elif run:
            found.extend(_table(run))
            run = []
    found.extend(_table(run))
    return found


def _line(words: Sequence[Word], places: list[int], bars: list[Rule]) -> _Line:
    places = sorted(places, key=lambda place: words[place].x0)
    height = median(words[place].y1 - words[place].y0 for place in places)
    segments: list[list[int]] = [[places[0]]]
    for before, place in pairwise(places):
        gap = words[place].x0 - words[before].x1
        if gap > _GAP * height or (gap > 0 and _barred(words[before], words[place], bars)):
            segments.append([])
        segments[-1].append(place)
    return _Line(
        tuple(
            _Segment(
                tuple(segment),
                min(words[place].x0 for place in segment),
                max(words[place].x1 for place in segment),
                " ".join(words[place].text for place in segment),
            )
            for segment in segments
        ),
        min(words[place].y0 for place in places),
        max(words[place].y1 for place in places),
    )


def _barred(before: Word, word: Word, bars: list[Rule]) -> bool:
    middle = (word.y0 + word.y1) / 2
    first = bisect_left(bars, before.x1 - 1, key=lambda bar: bar.at)
    last = bisect_right(bars, word.x0 + 1, key=lambda bar: bar.at)
    return any(bar.low <= middle <= bar.high for bar in bars[first:last])


def _follows(above: _Line, line: _Line) -> bool:
    height = above.y1 - above.y0
    return -0.5 * height < line.y0 - above.y1 < (_NEXT_LINE - 1) * height


def _table(run: list[_Line]) -> list[Table]:
    """The run as a table, less what at its top or end crosses its columns; or nothing."""
    if len(run) < _MIN_ROWS:
        return []
    columns = _columns(run)
    if not 2 <= len(columns) <= _MAX_COLUMNS:
        return []
    rows = [_row(line, columns) for line in run]
    while rows and rows[0] is None:
        rows.pop(0)
        run = run[1:]
    while rows and rows[-1] is None:
        rows.pop()
    kept = [row for row in rows if row is not None]
    if len(kept) != len(rows) or len(kept) < _MIN_ROWS or not _is_table(kept):
        return []
    return [
        Table(
            rows=tuple(tuple(" ".join(one.text for one in cell) for cell in row) for row in kept),
            words=frozenset(
                place for row in kept for cell in row for one in cell for place in one.places
            ),
        )
    ]


def _columns(run: list[_Line]) -> list[tuple[float, float]]:
    """The ranges of x between gutters, which at most one line in ten crosses."""
    edges: list[tuple[float, int]] = []
    for line in run:
        for segment in line.segments:
            edges += [(segment.x0, 1), (segment.x1, -1)]
    edges.sort()
    allowed = len(run) // 10
    columns: list[tuple[float, float]] = []
    covering, start = 0, 0.0
    for x, step in edges:
        before, covering = covering, covering + step
        if before <= allowed < covering:
            start = x
        elif covering <= allowed < before:
            columns.append((start, x))
    return columns


def _row(
    line: _Line, columns: list[tuple[float, float]]
) -> tuple[tuple[_Segment, ...], ...] | None:
    """The line's segments by column; None where one is in no column or in two."""
    cells: list[list[_Segment]] = [[] for _ in columns]
    for segment in line.segments:
        touched = [
            place for place, (x0, x1) in enumerate(columns) if segment.x0 < x1 and x0 < segment.x1
        ]
        if len(touched) != 1:
            return None
        cells[touched[0]].append(segment)
    return tuple(map(tuple, cells))


def _is_table(rows: list[tuple[tuple[_Segment, ...], ...]]) -> bool:
    """Whether all columns but one hold few words, and are not the marks of a list."""
    columns = [[cell for row in rows if (cell := row[place])] for place in range(len(rows[0]))]
    short = [
        median(sum(segment.words for segment in cell) for cell in column) <= _SHORT_WORDS
        for column in columns
    ]
    if sum(short) < len(columns) - 1 or min(map(len, columns)) * 4 < len(rows):
        # Where a column is nearly empty the others must speak for themselves.
        filled = [len(column) * 4 >= len(rows) for column in columns]
        if sum(short) < len(columns) - 1 or sum(filled) < 2:
            return False
    if len(columns) == 2:
        first = [" ".join(one.text for one in cell) for cell in columns[0]]
        if not short[0] or sum(map(bool, map(_MARK.fullmatch, first))) * 2 > len(first):
            return False
        return all(len(column) * 4 >= len(rows) * 3 for column in columns)
    return True


def _ruled(words: Sequence[Word], rules: list[Rule]) -> list[Table]:
    """Tables of closed cells, whose words may take several lines in each."""
    if not rules or len(rules) > _MAX_RULES:
        return []
    found: list[Table] = []
    taken: set[int] = set()
    for region in _regions(rules):
        across = [rule for rule in region if rule.horizontal]
        down = [rule for rule in region if not rule.horizontal]
        if not across or not down:
            continue
        # The outer borders are often left out.
        xs = _snapped(
            [
                *(rule.at for rule in down),
                *(end for rule in across for end in (rule.low, rule.high)),
            ]
        )
        ys = _snapped(
            [
                *(rule.at for rule in across),
                *(end for rule in down for end in (rule.low, rule.high)),
            ]
        )
        if len(ys) < 3 or not 3 <= len(xs) <= _MAX_COLUMNS + 1 or not _is_closed(region, xs, ys):
            continue
        cells: dict[tuple[int, int], list[int]] = {}
        for place, word in enumerate(words):
            column = _between(xs, (word.x0 + word.x1) / 2)
            row = _between(ys, (word.y0 + word.y1) / 2)
            if column is not None and row is not None and place not in taken:
                while column > 0 and not _drawn(down, xs[column], ys[row], ys[row + 1]):
                    column -= 1
                cells.setdefault((row, column), []).append(place)
        rows = [
            line
            for row in range(len(ys) - 1)
            for line in _lines_of(words, [cells.get((row, one), []) for one in range(len(xs) - 1)])
        ]
        rows = _one_header(rows, down, xs, ys)
        used = [column for column in range(len(xs) - 1) if any(row[column] for row in rows)]
        if len(rows) < 2 or len(used) < 2:
            continue
        places = frozenset(place for held in cells.values() for place in held)
        taken |= places
        found.append(
            Table(rows=tuple(tuple(row[column] for column in used) for row in rows), words=places)
        )
    return found


def _one_header(
    rows: list[list[str]], down: list[Rule], xs: list[float], ys: list[float]
) -> list[list[str]]:
    """The rows; of a header of groups over names one row is made, each name after its group."""
    title = next((at for at, row in enumerate(rows) if sum(map(bool, row)) > 1), len(rows))
    if len(rows) < title + 3 or any(map(_DIGIT.search, "".join(rows[title] + rows[title + 1]))):
        return rows
    groups, names = rows[title], rows[title + 1]
    above, below = sum(map(bool, groups)), sum(map(bool, names))
    if (
        above * 5 > below * 3
        or below * 5 < len(names) * 4
        or not any(map(_DIGIT.search, rows[title + 2]))
    ):
        return rows
    # The groups stand in the first line in which each begins at a border.
    for y0, y1 in pairwise(ys):
        borders = [at == 0 or _drawn(down, x, y0, y1) for at, x in enumerate(xs[:-1])]
        if all(border for border, group in zip(borders, groups, strict=True) if group):
            break
    else:
        return rows
    header, group = [], ""
    for border, starting, name in zip(borders, groups, names, strict=True):
        group = starting if border else group
        header.append(f"{group} {name}".strip())
    return [*rows[:title], header, *rows[title + 2 :]]


def _ends(rules: list[Rule]) -> list[float]:
    return [end for rule in rules for end in (rule.low, rule.high)]


def _lines_of(words: Sequence[Word], cells: list[list[int]]) -> list[list[str]]:
    """One row of cells; or several, where all that are filled have as many lines, side by side."""
    held = sorted((place for cell in cells for place in cell), key=lambda one: words[one].y0)
    if not held:
        return []
    line_of: dict[int, int] = {}
    line = 0
    for before, place in zip([held[0], *held], held, strict=False):
        middle = (words[before].y0 + words[before].y1) / 2
        line += words[place].y0 > middle
        line_of[place] = line
    filled = [cell for cell in cells if cell]
    if line and len(filled) > 1 and all(len({line_of[one] for one in c}) > line for c in filled):
        return [
            [" ".join(words[one].text for one in cell if line_of[one] == number) for cell in cells]
            for number in range(line + 1)
        ]
    return [
        [
            " ".join(words[one].text for one in sorted(cell, key=lambda one: (line_of[one], one)))
            for cell in cells
        ]
    ]


def _drawn(down: list[Rule], x: float, y0: float, y1: float) -> bool:
    middle = (y0 + y1) / 2
    return any(abs(rule.at - x) <= _SNAP and rule.low <= middle <= rule.high for rule in down)


def _regions(rules: list[Rule]) -> list[list[Rule]]:
    """Rules that touch, directly or through others."""
    groups = list(range(len(rules)))

    def root(place: int) -> int:
        while groups[place] != place:
            groups[place] = groups[groups[place]]
            place = groups[place]
        return place

    for first, one in enumerate(rules):
        for second in range(first + 1, len(rules)):
            if _touch(one, rules[second]):
                groups[root(second)] = root(first)
    regions: dict[int, list[Rule]] = {}
    for place, rule in enumerate(rules):
        regions.setdefault(root(place), []).append(rule)
    return [region for region in regions.values() if len(region) >= 6]


def _touch(one: Rule, other: Rule) -> bool:
    if one.horizontal == other.horizontal:
        return (
            abs(one.at - other.at) < _SNAP
            and one.low - _SNAP < other.high
            and other.low - _SNAP < one.high
        )
    return (
        one.low - _SNAP < other.at < one.high + _SNAP
        and other.low - _SNAP < one.at < other.high + _SNAP
    )


def _snapped(places: Iterable[float]) -> list[float]:
    kept: list[float] = []
    for place in sorted(places):
        if not kept or place - kept[-1] > _SNAP:
            kept.append(place)
    return kept


def _is_closed(region: list[Rule], xs: list[float], ys: list[float]) -> bool:
    """Whether most borders between neighbouring cells are drawn: a chart's axes are not cells."""
    drawn = wanted = 0
    for horizontal, ats, others in ((True, ys, xs), (False, xs, ys)):
        for at in ats:
            near = [
                rule
                for rule in region
                if rule.horizontal == horizontal and abs(rule.at - at) <= _SNAP
            ]
            for low, high in pairwise(others):
                wanted += 1
                middle = (low + high) / 2
                drawn += any(rule.low <= middle <= rule.high for rule in near)
    return drawn * 10 >= wanted * 7


def _between(edges: list[float], at: float) -> int | None:
    for place, (low, high) in enumerate(pairwise(edges)):
        if low <= at < high:
            return place
    return None
