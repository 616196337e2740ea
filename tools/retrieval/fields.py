"""A collection's fields: what its documents can be filtered by, and which values a query names."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tools.retrieval.documents import DocumentVersion

MOST_DOCUMENTS = 1_000
MOST_FIELDS = 20
MOST_VALUES = 200
MOST_COLLECTIONS = 256
MOST_FILTERS = 3
SECONDS = 60.0
_LONGEST = 80
_SHOWN = 8

Fields = Mapping[str, Sequence[Any]]


class Documents(Protocol):
    """What lists a collection's documents: a ``Knowledge``."""

    def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]: ...


@dataclass(frozen=True, kw_only=True)
class _Known:
    fields: Fields
    at: float


class CollectionFields:
    """The metadata fields of collections with their values, looked up again after a minute.

    Bounded: of a collection the first ``MOST_DOCUMENTS`` documents count, of their fields
    ``MOST_FIELDS`` with ``MOST_VALUES`` values each; a field with more is not described.
    """

    def __init__(
        self,
        knowledge: Documents,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._knowledge = knowledge
        self._seconds = seconds
        self._clock = clock
        self._known: dict[tuple[str, str], _Known] = {}

    async def of(self, *, tenant: str, collection: str) -> Fields:
        """Field names to values, both in order of their first document. Raises StoreError."""
        key = (tenant, collection)
        known = self._known.get(key)
        if known is not None and self._clock() - known.at < self._seconds:
            return known.fields
        found: dict[str, dict[Any, None]] = {}
        count = 0
        async for version in self._knowledge.documents(tenant=tenant, collection=collection):
            for name, value in version.metadata.items():
                for one in value if isinstance(value, list | tuple) else [value]:
                    _note(found, str(name), one)
            count += 1
            if count >= MOST_DOCUMENTS:
                break
        fields = {
            name: tuple(values) for name, values in found.items() if 0 < len(values) <= MOST_VALUES
        }
        if len(self._known) >= MOST_COLLECTIONS:
            self._known.clear()
        self._known[key] = _Known(fields=fields, at=self._clock())
        return fields


def _note(found: dict[str, dict[Any, None]], name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return
    if isinstance(value, str) and not 0 < len(value.strip()) <= _LONGEST:
        return
    if name not in found and len(found) >= MOST_FIELDS:
        return
    values = found.setdefault(name, {})
    if len(values) <= MOST_VALUES:
        values[value] = None


def described(fields: Fields) -> str:
    """The fields in one line for a model; empty where nothing can be told apart by them."""
    told = []
    for name, values in fields.items():
        if len(values) < 2:
            continue
        shown = ", ".join(str(value) for value in values[:_SHOWN])
        told.append(f"{name} ({shown}{', …' if len(values) > _SHOWN else ''})")
    return "; ".join(told)


def filters_of(question: str, fields: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Conditions that the question names: values of the collection's fields that stand in it.

    A value counts as whole words, in its own spelling but for case; a number needs its field's
    name beside it, except a year. Two values of one field are one condition that either fits.
    A value that tells nothing apart, because it is the field's only one, is none.
    """
    found: dict[str, Any] = {}
    for name, values in fields.items():
        if len(values) < 2:
            continue
        named = [value for value in values if _names(question, value, field=name)]
        if named and len(named) < len(values):
            found[name] = named[0] if len(named) == 1 else named
        if len(found) == MOST_FILTERS:
            break
    return found


def known_filters(
    asked: Mapping[str, Any], fields: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], list[str]]:
    """A model's conditions that the collection can meet, and the names of those it cannot."""
    kept_ones: dict[str, Any] = {}
    dropped: list[str] = []
    for name, wanted in asked.items():
        among = [value for value in fields.get(name, ()) if _same(value, wanted)]
        if among:
            kept_ones[name] = among[0]
        else:
            dropped.append(name)
    return kept_ones, dropped


def _same(value: Any, wanted: Any) -> bool:
    return str(value).casefold() == str(wanted).strip().casefold()


def _names(question: str, value: Any, *, field: str) -> bool:
    text = str(value).strip()
    number = re.fullmatch(r"\d+(?:\.\d+)?", text)
    if isinstance(value, bool) or (len(text) < 2 and not number):
        return False
    if number and not re.fullmatch(r"(?:19|20)\d\d", text):
        text_pattern = rf"{re.escape(field)}\W{{0,3}}(?:number\W)?{re.escape(text)}"
    elif not number and not re.search(r"[^\W\d_]{3}", text):
        return False
    else:
        text_pattern = re.escape(text)
    return bool(re.search(rf"(?<!\w){text_pattern}(?!\w)", question, re.IGNORECASE))
