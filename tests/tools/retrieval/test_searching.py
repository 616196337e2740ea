"""Searches with options, rerankers and little time, on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from models.embedder import Vectors
from models.remote_embedder import EmbedderError
from models.reranker import RerankError, WordScorer
from tests.tools.retrieval.conftest import EMBEDDER
from tools.retrieval.documents import Hit
from tools.retrieval.errors import BadFilter, StoreError
from tools.retrieval.feature_reranker import FeatureReranker
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import Found, Mode, SearchOptions
from tools.retrieval.parse import InlineParser
from tools.retrieval.reranking import ModelReranker, NoReranker, Reranker
from tools.retrieval.store import PassageStore

TEXTS = {
    "holiday": "Everyone has thirty days of holiday in a year.",
    "holiday again": "Everyone has thirty days of holiday in each year.",
    "canteen": "The canteen opens at noon and closes at two.",
    "error": "Error E-1042 means that the card for the canteen is empty.",
    "日本": "社員は毎年三十日の休暇を取得できます。",
}


class LateReranker(NoReranker):
    name = "late"
    depth = 3

    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        await asyncio.Event().wait()
        return []


class FailingReranker(LateReranker):
    async def score(self, query: str, hits: Sequence[Hit]) -> Sequence[float]:
        raise RerankError("reranker x: the service answered 503")


class LateEmbedder:
    name, dimension = EMBEDDER.name, EMBEDDER.dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return await EMBEDDER.embed_documents(texts)

    async def embed_query(self, text: str) -> Vectors:
        await asyncio.Event().wait()
        raise AssertionError


class FailingEmbedder(LateEmbedder):
    async def embed_query(self, text: str) -> Vectors:
        raise EmbedderError("the embedder x: the service answered 503")


async def filled(store: PassageStore, *, reranker: Reranker | None = None) -> LocalKnowledge:
    made = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser(), reranker=reranker)
    for name, text in TEXTS.items():
        await made.ingest_text(
            text, name=name, tenant="acme", collection="hr", title=name, metadata={"lang": "x"}
        )
    return made


async def find(
    knowledge: LocalKnowledge,
    query: str,
    *,
    limit: int = 5,
    options: SearchOptions | None = None,
) -> Found:
    return await knowledge.find(query, tenant="acme", collection="hr", limit=limit, options=options)


def skipped(found: Found) -> dict[str, str | None]:
    return {stage.name: stage.skipped for stage in found.stages}


async def test_what_one_search_alone_found_has_both_scores(store: PassageStore) -> None:
    knowledge = await filled(store)
    one = SearchOptions(candidates=1)
    both = await find(knowledge, "E-1042 holiday", limit=1, options=one)
    assert both.hits[0].scores.bm25 is not None
    assert both.hits[0].scores.dense is not None
    everything = await find(knowledge, "E-1042 holiday")
    assert all(None not in (hit.scores.bm25, hit.scores.dense) for hit in everything.hits)
    by_words = await find(knowledge, "E-1042", options=SearchOptions(mode=Mode.BM25))
    assert len(by_words.hits) == 1
    known = next(h for h in everything.hits if h.chunk_id == by_words.hits[0].chunk_id)
    dense = await find(knowledge, "E-1042 holiday", options=SearchOptions(mode=Mode.DENSE))
    same = next(h for h in dense.hits if h.chunk_id == known.chunk_id)
    assert known.scores.dense == pytest.approx(same.scores.dense, abs=1e-5)


async def test_completed_scores_are_those_that_the_search_itself_would_give(
    store: PassageStore,
) -> None:
    knowledge = await filled(store)
    query = "holiday error canteen noon"
    wide = {h.chunk_id: h.scores for h in (await find(knowledge, query)).hits}
    narrow = await find(knowledge, query, limit=1, options=SearchOptions(candidates=1))
    assert narrow.hits
    for hit in narrow.hits:
        assert hit.scores.bm25 == pytest.approx(wide[hit.chunk_id].bm25, abs=1e-4)
        assert hit.scores.dense == pytest.approx(wide[hit.chunk_id].dense, abs=1e-4)


async def test_the_stages_tell_what_happened(store: PassageStore) -> None:
    knowledge = await filled(store)
    found = await find(knowledge, "holiday")
    assert [stage.name for stage in found.stages] == ["embedding", "lookup", "fusion", "rerank"]
    assert all(stage.ms >= 0 for stage in found.stages)
    assert skipped(found)["rerank"] == "no reranker is set"
    assert found.stages[1].candidates == len(TEXTS)


@pytest.mark.parametrize(
    ("reranker", "told"),
    [
        (LateReranker(), "took longer than 0.01 s"),
        (FailingReranker(), "reranker x: the service answered 503"),
    ],
)
async def test_a_reranker_that_is_late_or_fails_leaves_the_order_as_it_was(
    store: PassageStore, reranker: Reranker, told: str
) -> None:
    knowledge = await filled(store, reranker=reranker)
    plain = await find(knowledge, "holiday", options=SearchOptions(rerank=False))
    found = await find(knowledge, "holiday", options=SearchOptions(rerank_seconds=0.01))
    assert skipped(found)["rerank"] == told
    assert [hit.chunk_id for hit in found.hits] == [hit.chunk_id for hit in plain.hits]
    assert skipped(plain)["rerank"] == "not asked for"


@pytest.mark.parametrize(
    ("embedder", "told"),
    [
        (LateEmbedder(), "took longer than 0.01 s"),
        (FailingEmbedder(), "the embedder x: the service answered 503"),
    ],
)
async def test_without_the_questions_vector_its_words_are_searched(
    store: PassageStore, embedder: LateEmbedder, told: str
) -> None:
    await filled(store)
    knowledge = LocalKnowledge(store, embedder=embedder, parser=InlineParser())
    hurried = SearchOptions(embed_seconds=0.01)
    found = await find(knowledge, "E-1042", options=hurried)
    assert [hit.title for hit in found.hits] == ["error"]
    assert skipped(found)["embedding"] == told
    with pytest.raises(StoreError, match=told):
        await find(knowledge, "E-1042", options=replace(hurried, mode=Mode.DENSE))


async def test_a_model_reorders_the_first_hits_and_says_its_scores(store: PassageStore) -> None:
    knowledge = await filled(store, reranker=ModelReranker(WordScorer(), depth=4))
    found = await find(knowledge, "card empty")
    assert found.hits[0].title == "error"
    assert found.hits[0].scores.rerank == 1.0
    assert found.hits[4].scores.rerank is None
    assert found.stages[-1].candidates == 4


async def test_the_default_reranker_keeps_an_identifier_first(store: PassageStore) -> None:
    knowledge = await filled(store, reranker=FeatureReranker.load())
    found = await find(knowledge, "what does E-1042 mean?")
    assert found.hits[0].title == "error"
    assert found.hits[0].scores.rerank is not None


async def test_diversity_shows_something_else_before_the_same_again(store: PassageStore) -> None:
    knowledge = await filled(store)
    query = "days of holiday canteen"
    plain = await find(knowledge, query)
    assert {hit.title for hit in plain.hits[:2]} == {"holiday", "holiday again"}
    diverse = await find(knowledge, query, options=SearchOptions(diversity=0.5))
    assert {hit.title for hit in diverse.hits[:2]} != {"holiday", "holiday again"}
    assert diverse.hits[0].chunk_id == plain.hits[0].chunk_id
    assert {hit.chunk_id for hit in diverse.hits} == {hit.chunk_id for hit in plain.hits}


async def test_one_passage_a_document(store: PassageStore) -> None:
    knowledge = await filled(store)
    long = "# A\n\nholiday one\n\n# B\n\nholiday two\n"
    await knowledge.ingest_text(long, name="long", tenant="acme", collection="hr")
    options = SearchOptions(per_document=1)
    found = await find(knowledge, "holiday", limit=10, options=options)
    assert len({hit.document_id for hit in found.hits}) == len(found.hits) == len(TEXTS) + 1


async def test_japanese_is_found_by_parts_of_its_words(store: PassageStore) -> None:
    knowledge = await filled(store, reranker=FeatureReranker.load())
    for query in ("休暇", "三十日の休暇"):
        found = await find(knowledge, query, options=SearchOptions(mode=Mode.BM25))
        assert [hit.title for hit in found.hits] == ["日本"]
        # Vectors by hash say nothing of Japanese, and being the nearest of them counts little.
        assert (await find(knowledge, query)).hits[0].title == "日本"


async def test_a_question_is_read_as_documents_are(store: PassageStore) -> None:
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    await knowledge.ingest_text("Die Größe.", name="a.md", tenant="t", collection="c")
    for asked in ("Gro\u0308ße", "Grö\u00adße"):
        found = await knowledge.find(asked, tenant="t", collection="c")
        assert found.hits[0].scores.bm25


def test_options_tell_what_differs_from_the_defaults() -> None:
    assert SearchOptions().to_json() == {}
    assert SearchOptions(mode=Mode.BM25, diversity=0.3).to_json() == {
        "mode": "bm25",
        "diversity": 0.3,
    }


async def test_dates_are_filtered_in_days_and_moments(store: PassageStore) -> None:
    knowledge = await filled(store)
    where: dict[str, Any] = {"tenant": "acme", "collection": "dated"}
    for day in ("2024-01-31", "2024-05-31T10:00:00+02:00", "2025-01-01"):
        await knowledge.ingest_text("holiday", name=day, metadata={"published": day}, **where)
    for bounds, wanted in (
        ({"gte": "2024-05-31T08:00:00Z"}, 2),
        ({"gt": "2024-05-31T08:00:00Z"}, 1),
        ({"gte": "2024-01-31", "lt": "2025-01-01"}, 2),
        ({"lt": "2024-01-31"}, 0),
    ):
        hits = await knowledge.search("holiday", filters={"published": bounds}, **where)
        assert len(hits) == wanted, bounds
    assert await knowledge.search("holiday", filters={"ingested_at": {"gt": "2020-01-01"}}, **where)
    assert not await knowledge.search(
        "holiday", filters={"ingested_at": {"lt": "2020-01-01"}}, **where
    )
    wrong: tuple[dict[str, object], ...] = ({"gte": "soon"}, {"gte": "2024-01-01", "lt": 5})
    for one in wrong:
        with pytest.raises(BadFilter, match="published"):
            await knowledge.search("holiday", filters={"published": one}, **where)


async def test_each_thing_that_a_question_asks_is_searched(store: PassageStore) -> None:
    knowledge = await filled(store, reranker=FeatureReranker.load())
    where: dict[str, Any] = {"tenant": "acme", "collection": "hr"}
    for number in range(12):
        text = f"Mean days of a year: how many have the card for the year of {1990 + number}."
        await knowledge.ingest_text(text, name=f"near both {number}", **where)
    query = "How many days of holiday are in a year, and what does the error E-1042 mean?"
    whole = await find(knowledge, query)
    assert "parts" not in skipped(whole)
    assert not {"holiday", "holiday again"} & {hit.title for hit in whole.hits}
    apart = SearchOptions(parts=True)
    both = await find(knowledge, query, limit=2, options=apart)
    assert both.stages[-1].name == "parts"
    assert both.stages[-1].candidates == len(TEXTS) + 12
    # Of two passages each answers one.
    assert "error" in {hit.title for hit in both.hits}
    assert {"holiday", "holiday again"} & {hit.title for hit in both.hits}
    assert [hit.scores.rerank for hit in both.hits] == sorted(
        (hit.scores.rerank for hit in both.hits), key=lambda one: -(one or 0.0)
    )
    alone = await find(knowledge, "What does the error E-1042 mean?", options=apart)
    assert "parts" not in skipped(alone)


async def test_a_search_that_is_late_is_not_made_longer(store: PassageStore) -> None:
    made = LocalKnowledge(store, embedder=LateEmbedder(), parser=InlineParser())
    await made.ingest_text(TEXTS["canteen"], name="canteen", tenant="acme", collection="hr")
    query = "When does the canteen open, and when does the canteen close?"
    found = await find(made, query, options=SearchOptions(parts=True, embed_seconds=0.01))
    assert skipped(found)["parts"] == "the search is late already"
    assert [hit.title for hit in found.hits] == ["canteen"]
