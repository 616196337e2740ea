"""Numbers with their units: two hours are not two days. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from guardrails import grounding

_NUMBER = re.compile(
    r"(?<![\w.])(?P<value>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<rest>.{0,40})"
)
_BETWEEN = frozenset("business working calendar full paid more consecutive whole".split())
_UNITS = {
    "%": "%", "percent": "%", "eur": "eur", "euro": "eur", "€": "eur", "usd": "usd",
    "dollar": "usd", "$": "usd", "second": "second", "minute": "minute", "min": "minute",
    "hour": "hour", "day": "day", "week": "week", "month": "month", "year": "year",
    "km": "km", "kilometre": "km", "kilometer": "km", "mb": "mb", "gb": "gb", "token": "token",
}  # fmt: skip
_PIECE = re.compile(r"%|€|\$|[^\W\d_]+")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number, and its unit where one of the known ones follows; else empty."""

    value: Decimal
    unit: str


def quantities(text: str) -> frozenset[Quantity]:
    """The numbers in digits of a text with the units behind them; citation marks do not count."""
    text = re.sub(r"\[\d+(?:\s*,\s*\d+)*\]", " ", text)
    found = set()
    for match in _NUMBER.finditer(text):
        try:
            value = Decimal(match["value"].replace(",", "")).normalize()
        except InvalidOperation:
            continue
        found.add(Quantity(value=value, unit=_unit(match["rest"])))
    return frozenset(found)


def _unit(rest: str) -> str:
    for word in _PIECE.findall(re.split(r"[.,;:|\n()]|\d", rest, maxsplit=1)[0])[:3]:
        lowered = word.lower()
        known = _UNITS.get(lowered) or _UNITS.get(lowered.removesuffix("s"))
        if known:
            return known
        if lowered not in _BETWEEN:
            return ""
    return ""


def states(text: str, wanted: Iterable[Quantity]) -> bool:
    """Whether a text has all of these; a number without a unit fits any, as in a table's cell."""
    there = quantities(text)
    spoken = grounding.numbers(text)
    return all(
        any(one.value == other.value and _fit(one, other) for other in there)
        or (one.value in spoken and all(one.value != other.value for other in there))
        for one in wanted
    )


def _fit(one: Quantity, other: Quantity) -> bool:
    return one.unit == other.unit or not one.unit or not other.unit
