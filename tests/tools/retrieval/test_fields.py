"""A collection's fields: what it can be filtered by, and which values a query names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tools.retrieval import fields
from tools.retrieval.documents import DocumentVersion

FIELDS = {
    "company": ("Acme", "Umbrella Corp"),
    "year": (2022, 2023),
    "level": (3, 4),
    "lang": ("en",),
}


class Listed:
    """Documents with this metadata; counts how often they were listed."""

    def __init__(self, *metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.listed = 0

    async def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]:
        self.listed += 1
        for number, one in enumerate(self.metadata):
            yield DocumentVersion(
                tenant=tenant,
                collection=collection,
                document_id=str(number),
                sha256="",
                title="",
                source="",
                media_type="",
                pages=None,
                chunks=1,
                ingested_at=0.0,
                metadata=one,
            )


async def test_fields_are_read_once_a_minute() -> None:
    now = [0.0]
    listed = Listed({"company": "Acme", "year": 2022, "tags": ["a", "b"]}, {"company": "Umbrella"})
    known = fields.CollectionFields(listed, clock=lambda: now[0])
    for at in (0.0, 59.0):
        now[0] = at
        found = await known.of(tenant="t", collection="c")
    assert found == {"company": ("Acme", "Umbrella"), "year": (2022,), "tags": ("a", "b")}
    assert listed.listed == 1
    now[0] = 61.0
    await known.of(tenant="t", collection="c")
    await known.of(tenant="other", collection="c")
    assert listed.listed == 3


async def test_the_description_is_bounded() -> None:
    many = [{f"f{n}": 1, "id": n, "long": "x" * 500, "flag": True} for n in range(300)]
    found = await fields.CollectionFields(Listed(*many)).of(tenant="t", collection="c")
    assert len(found) <= fields.MOST_FIELDS
    assert not {"id", "long", "flag"} & set(found)
    assert fields.described({"a": tuple(range(50)), "b": (1,)}) == "a (0, 1, 2, 3, 4, 5, 6, 7, …)"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("What did acme earn in 2023?", {"company": "Acme", "year": 2023}),
        ("Compare Acme and Umbrella Corp", {}),
        ("What is at level 3?", {"level": 3}),
        ("Give me 3 reasons", {}),
        ("Acmes and macme", {}),
        ("in en", {}),
    ],
)
def test_values_that_a_query_names_are_filters(query: str, found: dict[str, Any]) -> None:
    assert fields.filters_of(query, FIELDS) == found


def test_a_models_filters_are_only_those_that_exist() -> None:
    asked = {"company": "ACME ", "year": "2022", "country": "AT", "level": "9"}
    assert fields.known_filters(asked, FIELDS) == (
        {"company": "Acme", "year": 2022},
        ["country", "level"],
    )
