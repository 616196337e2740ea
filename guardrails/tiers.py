"""Tables whose lines are ranges: which line holds for a number of the question. Pure.

Measured: a small model takes the first line of such a table, whatever the number. Which line holds
is arithmetic, so it is not left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardrails import grounding

_NUM = r"(?P<{0}>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_SPACE = r"\s*(?:%|percent|per cent|EUR|USD|€|\$|£)?\s*"
_LOW = re.compile(
    rf"(?:at least|from|not less than|≥|>=)\s*{_NUM.format('at_least')}"
    rf"|{_NUM.format('or_more')}{_SPACE}\S{{0,20}}?\s*"
    r"(?:(?:or|and) (?:more|above|over)|\+)"
    rf"|(?:more than|over|above|greater than|exceeding|>)\s*{_NUM.format('above')}",
    re.IGNORECASE,
)
_HIGH = re.compile(
    rf"(?:less than|fewer than|under|below|<(?!=))\s*{_NUM.format('below')}"
    rf"|(?:up to|at most|not more than|no more than|until|≤|<=)\s*{_NUM.format('at_most')}"
    rf"|{_NUM.format('or_less')}{_SPACE}\S{{0,20}}?\s*"
    r"(?:or|and) (?:less|fewer|below)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    rf"^\D{{0,20}}?{_NUM.format('low')}{_SPACE}(?:to|-|–|—|and)\s*{_NUM.format('high')}",
    re.IGNORECASE,
)
_ASKED = re.compile(rf"(?<![\w.,]){_NUM.format('value')}\s*(?P<unit>%|percent\b|[^\W\d_]+)?")
_RULE = re.compile(r"^[\s|:-]+$")


@dataclass(frozen=True, kw_only=True)
class Range:
    """From ``low`` to ``high``, each None where it is open, ``_in`` where it belongs to it."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_in: bool = True
    high_in: bool = False

    def holds(self, value: Decimal) -> bool:
        if self.low is not None and (value < self.low or (value == self.low and not self.low_in)):
            return False
        if self.high is None:
            return True
        return value < self.high or (value == self.high and self.high_in)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A table's line that holds for a number of the question, in the document's own words."""

    asked: str
    line: str
    head: str
    lead: str

    def __str__(self) -> str:
        where = f"{self.lead} " if self.lead else ""
        return f"{where}For {self.asked} this line holds: {self.head} {self.line}".strip()


def read_range(cell: str) -> Range | None:
    """What a cell such as `99.0 % or more, but less than 99.5 %` spans; None where it is none."""
    low, high = _LOW.search(cell), _HIGH.search(cell)
    if low is None and high is None:
        both = _BETWEEN.search(cell)
        if both is None:
            return None
        first, last = _decimal(both["low"]), _decimal(both["high"])
        return Range(low=first, high=last, high_in=True) if first < last else None
    found_low = _first(low, "at_least", "or_more", "above")
    found_high = _first(high, "below", "at_most", "or_less")
    if found_low is not None and found_high is not None and found_low > found_high:
        return None
    return Range(
        low=found_low,
        high=found_high,
        low_in=low is None or low["above"] is None,
        high_in=high is not None and high["below"] is None,
    )


def _first(found: re.Match[str] | None, *names: str) -> Decimal | None:
    if found is None:
        return None
    return next(_decimal(found[name]) for name in names if found[name] is not None)


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def holding(question: str, texts: Sequence[str], *, most: int = 3) -> list[Tier]:
    """The lines of range tables in ``texts`` that hold for a number of the question.

    A number counts where its unit stands in the table's first column or head. Of several tables
    those are kept whose lead ("Business plan:") shares most words with the question.
    """
    asked = [(found["value"], found["unit"] or "") for found in _ASKED.finditer(question)]
    words = {grounding.stem(word) for word in grounding.content_words(question)}
    tiers: list[tuple[int, Tier]] = []
    for text in texts:
        for lead, head, rows in _tables(text):
            ranges = [(read_range(row[0]), row) for row in rows]
            if sum(one is not None for one, _ in ranges) < max(2, len(rows) - 1):
                continue
            column = " ".join([head[0], *(row[0] for row in rows)])
            for value, unit in asked:
                if not _measured_in(unit, column):
                    continue
                fits = [row for one, row in ranges if one and one.holds(_decimal(value))]
                if len(fits) == 1:
                    of = {grounding.stem(word) for word in grounding.words(lead)}
                    said = f"{value} {unit}".strip()
                    tier = Tier(asked=said, line=_row(fits[0]), head=_row(head), lead=lead)
                    tiers.append((len(of & words), tier))
    best = max((score for score, _ in tiers), default=0)
    kept = [tier for score, tier in tiers if score == best]
    return list(dict.fromkeys(kept))[:most]


def _measured_in(unit: str, column: str) -> bool:
    if unit in ("%", "percent"):
        return "%" in column or "percent" in column.lower()
    stems = {grounding.stem(word) for word in grounding.words(column)}
    return bool(unit) and grounding.stem(unit) in stems


def _tables(text: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """The Markdown tables of a text: the line before, the head, the rows."""
    found: list[tuple[str, list[str], list[list[str]]]] = []
    lead, rows = "", list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if line.lstrip().startswith("|"):
            if not _RULE.match(line):
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if len(rows) > 2:
            found.append((lead, rows[0], rows[1:]))
        if rows:
            lead, rows = "", []
        if line.strip():
            lead = line.strip()
    return found


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
