"""Documents in, evidence out, on both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tools.retrieval.conftest import EMBEDDER
from tools.retrieval.documents import DocumentVersion, Parsed
from tools.retrieval.errors import BadFilter, EmptyDocument
from tools.retrieval.fusion import Fusion
from tools.retrieval.knowledge import Ingested, Status
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import Mode, SearchOptions
from tools.retrieval.parse import InlineParser, Parser
from tools.retrieval.sniff import Format
from tools.retrieval.store import PassageStore

HANDBOOK = b"""# Handbook

## Holiday

Everyone has 30 days of holiday. Ask your lead two weeks before.

## Canteen

The canteen opens at noon. Error E-1042 means that the card is empty.
"""


async def ingest(
    knowledge: LocalKnowledge, data: bytes = HANDBOOK, *, name: str = "handbook.md", **about: object
) -> Ingested:
    return await knowledge.ingest(data, name=name, tenant="acme", collection="hr", **about)  # type: ignore[arg-type]


async def documents(knowledge: LocalKnowledge) -> list[DocumentVersion]:
    return [one async for one in knowledge.documents(tenant="acme", collection="hr")]


async def test_a_question_finds_the_passage_with_its_place(knowledge: LocalKnowledge) -> None:
    ingested = await ingest(knowledge, metadata={"team": "red"})
    assert ingested.status is Status.ADDED
    assert ingested.chunks == 2
    hits = await knowledge.search("how many days of holiday", tenant="acme", collection="hr")
    best = hits[0].to_json()
    assert best["text"].startswith("Everyone has 30 days")
    assert best["document_id"] == ingested.document_id
    assert best["chunk_id"].startswith(f"{ingested.document_id}#")
    assert best["title"] == "Handbook"
    assert best["source"] == "handbook.md"
    assert best["heading"] == ["Handbook", "Holiday"]
    assert best["metadata"] == {"team": "red"}
    assert set(best["scores"]) == {"bm25", "dense", "fused", "rerank"}
    assert best["scores"]["bm25"] > 0
    assert best["scores"]["fused"] == pytest.approx(1.0)


async def test_an_identifier_finds_its_passage(knowledge: LocalKnowledge) -> None:
    await ingest(knowledge)
    for method in Fusion:
        hits = await knowledge.search(
            "E-1042", tenant="acme", collection="hr", options=SearchOptions(fusion=method)
        )
        assert "E-1042" in hits[0].text


async def test_each_mode_asks_only_its_own_search(knowledge: LocalKnowledge) -> None:
    await ingest(knowledge)
    for mode, missing in ((Mode.BM25, "dense"), (Mode.DENSE, "bm25")):
        hits = await knowledge.search(
            "holiday", tenant="acme", collection="hr", options=SearchOptions(mode=mode)
        )
        assert hits
        assert all(hit.to_json()["scores"][missing] is None for hit in hits)


async def test_the_same_document_again_is_not_even_parsed(store: PassageStore) -> None:
    parser = CountingParser()
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=parser)
    first = await ingest(knowledge)
    again = await ingest(knowledge)
    assert again.status is Status.UNCHANGED
    assert (again.document_id, again.chunks, again.title) == (
        first.document_id,
        first.chunks,
        first.title,
    )
    assert parser.calls == 1


async def test_changed_content_or_metadata_updates_the_document(knowledge: LocalKnowledge) -> None:
    await ingest(knowledge)
    changed = await ingest(knowledge, HANDBOOK.replace(b"30 days", b"28 days"))
    assert changed.status is Status.UPDATED
    [hit] = await knowledge.search("days of holiday", tenant="acme", collection="hr", limit=1)
    assert "28 days" in hit.text
    assert (await ingest(knowledge, metadata={"team": "red"})).status is Status.UPDATED
    assert len(await documents(knowledge)) == 1


async def test_two_ingests_of_one_document_at_once_do_not_race(store: PassageStore) -> None:
    parser = CountingParser()
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=parser)
    results = await asyncio.gather(*(ingest(knowledge) for _ in range(4)))
    assert sorted(one.status for one in results) == ["added"] + ["unchanged"] * 3
    assert parser.calls == 1


async def test_an_empty_document_is_refused_and_nothing_is_stored(
    knowledge: LocalKnowledge,
) -> None:
    with pytest.raises(EmptyDocument, match=r"empty\.txt: holds no text"):
        await ingest(knowledge, b" \n ", name="empty.txt")
    assert await documents(knowledge) == []
    assert await knowledge.is_empty(tenant="acme", collection="hr")


async def test_a_text_given_as_such_is_read_as_markdown(knowledge: LocalKnowledge) -> None:
    ingested = await knowledge.ingest_text(
        "# Rules\n\nBe kind.",
        name="rules",
        tenant="acme",
        collection="hr",
        document_id="r1",
        title="House rules",
    )
    assert ingested.document_id == "r1"
    [hit] = await knowledge.search("be kind", tenant="acme", collection="hr")
    assert (hit.title, hit.heading) == ("House rules", ("Rules",))


async def test_filters_narrow_the_search(knowledge: LocalKnowledge) -> None:
    await ingest(knowledge, name="a.md", metadata={"year": 2024})
    await ingest(knowledge, name="b.md", metadata={"year": 2026})
    hits = await knowledge.search(
        "holiday", tenant="acme", collection="hr", filters={"year": {"gte": 2025}}
    )
    assert {hit.source for hit in hits} == {"b.md"}
    with pytest.raises(BadFilter, match="'year'"):
        await knowledge.search("holiday", tenant="acme", collection="hr", filters={"year": {}})


async def test_fields_are_compared_by_what_they_say(knowledge: LocalKnowledge) -> None:
    metadata = {"year": 2026.0, "parts": [1.0, 2.5], "about": {"final": True, "price": 3.0}}
    await ingest(knowledge, metadata=metadata)
    asked: tuple[tuple[dict[str, Any], bool], ...] = (
        ({"year": 2026}, True),
        ({"year": [2025, 2026]}, True),
        ({"year": 2026.0}, True),
        ({"parts": 1}, True),
        ({"parts": 2.5}, True),
        ({"about.final": True}, True),
        ({"about.final": False}, False),
        ({"about.price": 3}, True),
        ({"year": 2025}, False),
    )
    for filters, fits in asked:
        found = await knowledge.search("holiday", tenant="acme", collection="hr", filters=filters)
        assert bool(found) is fits, filters


async def test_a_file_name_that_is_not_utf8_does_no_harm(knowledge: LocalKnowledge) -> None:
    await ingest(knowledge, name="caf\udce9.md")
    [hit] = await knowledge.search("holiday \udce9", tenant="acme", collection="hr", limit=1)
    assert hit.source == "caf?.md"


async def test_a_deleted_document_is_not_found_again(knowledge: LocalKnowledge) -> None:
    ingested = await ingest(knowledge)
    assert await knowledge.delete(ingested.document_id, tenant="acme", collection="hr")
    assert not await knowledge.delete(ingested.document_id, tenant="acme", collection="hr")
    assert await knowledge.search("holiday", tenant="acme", collection="hr") == []


async def test_progress_counts_the_passages(knowledge: LocalKnowledge) -> None:
    told: list[tuple[int, int]] = []
    text = "\n\n".join(f"# Rule {number}\n\nBe kind." for number in range(40)).encode()
    await ingest(knowledge, text, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (40, 40)
    assert told == sorted(told)


class CountingParser(Parser):
    def __init__(self) -> None:
        self.calls = 0
        self._parser = InlineParser()

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        self.calls += 1
        await asyncio.sleep(0)
        return await self._parser.parse(data, name=name, format=format)


@pytest.mark.parametrize("name", ["a:b", "my field", "ü", ":", "$%&/", " ", "line\nend"])
async def test_a_field_may_have_any_name(knowledge: LocalKnowledge, name: str) -> None:
    place: dict[str, Any] = {"tenant": "acme", "collection": "named"}
    await knowledge.ingest_text(
        "Holiday rules.", name=name, metadata={name: "yes", f"{name}!": True}, **place
    )
    for filters, found in (
        ({name: "yes"}, 1),
        ({name: "no"}, 0),
        ({f"{name}!": True}, 1),
        ({f"{name}!": False}, 0),
    ):
        assert len(await knowledge.search("holiday", filters=filters, **place)) == found


@pytest.mark.parametrize("name", ["", "a..b", ".", 'a"b', "a[0]", "a\\b"])
async def test_what_is_no_name_is_refused_by_name(knowledge: LocalKnowledge, name: str) -> None:
    with pytest.raises(BadFilter, match="filter"):
        await knowledge.search("holiday", tenant="acme", collection="named", filters={name: "x"})
