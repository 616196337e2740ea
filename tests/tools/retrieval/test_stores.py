"""What every store promises; run on the engine in process and on the client's own double."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.retrieval.conftest import EMBEDDER, OPENERS, open_edge
from tools.retrieval import edge_folder
from tools.retrieval.documents import Chunk, DocumentVersion, Passage
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.errors import StoreBusy, StoreDamaged, StoreError, StoreMismatch
from tools.retrieval.filters import AnyOf, Within, conditions
from tools.retrieval.server_store import ServerStore
from tools.retrieval.sparse import Bm25Encoder
from tools.retrieval.store import PassageStore, Scope

SCOPE = Scope(tenant="acme", collection="handbook")
BM25 = Bm25Encoder()


def version_of(document_id: str, *, chunks: int, **changes: object) -> DocumentVersion:
    version = DocumentVersion(
        tenant=SCOPE.tenant,
        collection=SCOPE.collection,
        document_id=document_id,
        sha256="a" * 64,
        title=document_id.title(),
        source=f"{document_id}.md",
        media_type="text/markdown",
        pages=None,
        chunks=chunks,
        ingested_at=100.0,
        metadata={},
    )
    return replace(version, **changes)  # type: ignore[arg-type]


async def passages_of(version: DocumentVersion, *texts: str) -> list[Passage]:
    vectors = await EMBEDDER.embed_documents(list(texts))
    return [
        Passage(
            chunk=Chunk(
                document_id=version.document_id,
                chunk_id=f"{version.document_id}#{index}",
                index=index,
                text=text,
                heading=("Top", "Below"),
                page=index + 1,
                span=(index * 100, index * 100 + len(text)),
            ),
            dense=tuple(vector.tolist()),
            sparse=BM25.document(text),
        )
        for index, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]


async def put(store: PassageStore, document_id: str, *texts: str, **changes: object) -> None:
    version = version_of(document_id, chunks=len(texts), **changes)
    await store.upsert_document(version, await passages_of(version, *texts))


async def find(
    store: PassageStore, query: str, *, scope: Scope = SCOPE, **filters: object
) -> dict[str, tuple[float | None, float | None]]:
    """Text of each candidate and its scores."""
    found = await store.candidates(
        scope,
        dense=(await EMBEDDER.embed_query(query)).tolist(),
        sparse=BM25.query(query),
        limit=100,
        conditions=conditions(filters),
    )
    return {one.chunk.text: (one.bm25, one.dense) for one in found}


async def test_a_passage_comes_back_as_it_was_written(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.", metadata={"year": 2026, "ok": True})
    [found] = await store.candidates(SCOPE, dense=None, sparse=BM25.query("holiday"), limit=9)
    version = version_of("leave", chunks=1, metadata={"year": 2026, "ok": True})
    assert found.version == version
    assert found.chunk == (await passages_of(version, "Holiday is 30 days."))[0].chunk
    assert found.bm25 is not None
    assert found.bm25 > 0
    assert found.dense is None


async def test_each_search_reports_its_own_score(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.", "The canteen opens at noon.")
    found = await find(store, "holiday days")
    bm25, dense = found["Holiday is 30 days."]
    assert bm25 is not None
    assert dense == pytest.approx(
        float(
            (await EMBEDDER.embed_query("holiday days"))
            @ (await EMBEDDER.embed_documents(["Holiday is 30 days."]))[0]
        ),
        abs=1e-5,
    )
    assert found["The canteen opens at noon."][0] is None


async def test_a_query_of_stop_words_alone_finds_nothing_by_terms(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.")
    assert BM25.query("the of").indices == ()
    assert not await store.candidates(SCOPE, dense=None, sparse=BM25.query("the of"), limit=9)


async def test_writing_the_same_version_twice_changes_nothing(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.", "Ask your lead.")
    before = await find(store, "holiday")
    await put(store, "leave", "Holiday is 30 days.", "Ask your lead.")
    after = await find(store, "holiday")
    assert len(before) == 2
    assert after.keys() == before.keys()
    for text, scores in after.items():
        assert scores == pytest.approx(before[text])


async def test_a_new_version_replaces_all_of_the_old_one(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.", "Ask your lead.")
    await put(store, "leave", "Holiday is 28 days.", sha256="b" * 64, ingested_at=200.0)
    assert list(await find(store, "holiday lead")) == ["Holiday is 28 days."]
    stored = await store.find_document(SCOPE, document_id="leave")
    assert stored is not None
    assert stored.complete
    assert stored.version.sha256 == "b" * 64


async def test_a_version_cut_off_while_written_stays_hidden_and_is_not_complete(
    store: PassageStore,
) -> None:
    await put(store, "leave", "Holiday is 30 days.")
    new = version_of("leave", chunks=300, sha256="b" * 64, ingested_at=200.0)
    whole = await passages_of(new, *(f"Holiday rule {number}." for number in range(300)))
    # The second batch is refused for its wrong dimension; the first one is written by then.
    with pytest.raises((StoreError, ValueError)):
        await store.upsert_document(new, [*whole[:299], replace(whole[299], dense=(1.0, 2.0))])
    assert list(await find(store, "holiday")) == ["Holiday is 30 days."]
    stored = await store.find_document(SCOPE, document_id="leave")
    assert stored is not None
    assert not stored.complete

    await store.upsert_document(new, whole)
    found = await find(store, "holiday rule 299")
    assert "Holiday rule 299." in found
    assert "Holiday is 30 days." not in found
    stored = await store.find_document(SCOPE, document_id="leave")
    assert stored is not None
    assert stored.complete


async def test_a_crash_before_the_old_version_is_removed_shows_only_the_new_one(
    store: PassageStore,
) -> None:
    # Written in the wrong order of time, the older version is not removed by the newer.
    await put(store, "leave", "Holiday is 28 days.", sha256="b" * 64, ingested_at=200.0)
    await put(store, "leave", "Holiday is 30 days.", sha256="a" * 64, ingested_at=100.0)
    assert list(await find(store, "holiday")) == ["Holiday is 28 days."]
    stored = await store.find_document(SCOPE, document_id="leave")
    assert stored is not None
    assert stored.version.sha256 == "b" * 64
    assert not stored.complete


async def test_what_was_written_of_a_version_can_be_taken_up_again(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.")
    new = version_of("leave", chunks=2, sha256="b" * 64, ingested_at=200.0)
    passages = await passages_of(new, "Holiday is 28 days.", "Ask your lead.")
    await store.write_passages(new, passages[:1])
    assert list(await find(store, "holiday")) == ["Holiday is 30 days."]
    known = await store.stored_passages(SCOPE, document_id="leave")
    assert {one.chunk.text for one in known} == {"Holiday is 30 days.", "Holiday is 28 days."}
    for one in known:
        [vector] = await EMBEDDER.embed_documents([one.chunk.text])
        assert one.dense == pytest.approx(vector.tolist(), abs=1e-6)
        assert one.title == "Leave"
    await store.write_passages(new, passages[1:])
    await store.show_document(replace(new, folder="host:/hr", lacking=1))
    assert set(await find(store, "holiday lead")) == {"Holiday is 28 days.", "Ask your lead."}
    stored = await store.find_document(SCOPE, document_id="leave")
    assert stored is not None
    assert stored.complete
    assert (stored.version.folder, stored.version.lacking) == ("host:/hr", 1)
    assert await store.stored_passages(SCOPE, document_id="other") == []


async def test_a_documents_passages_are_read_in_order_and_by_place(store: PassageStore) -> None:
    await put(store, "rules", *(f"Rule {number}." for number in range(5)))
    await put(store, "other", "Rule 0.")
    whole = await store.chunks(SCOPE, document_id="rules")
    assert [one.text for one in whole] == [f"Rule {number}." for number in range(5)]
    some = (Within(field="index", gte=1, lt=3),)
    found = await store.chunks(SCOPE, document_id="rules", conditions=some)
    assert [one.index for one in found] == [1, 2]
    named = (AnyOf(field="chunk_id", values=("rules#4",)),)
    found = await store.chunks(SCOPE, document_id="rules", conditions=named)
    assert [one.text for one in found] == ["Rule 4."]
    assert await store.chunks(replace(SCOPE, tenant="t"), document_id="rules") == []


async def test_more_passages_than_one_batch_are_all_written(store: PassageStore) -> None:
    await put(store, "long", *(f"Rule number {number}." for number in range(600)))
    stored = await store.find_document(SCOPE, document_id="long")
    assert stored is not None
    assert stored.complete
    assert "Rule number 599." in await find(store, "599")


async def test_nobody_sees_another_tenants_or_collections_documents(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.")
    for other in (replace(SCOPE, tenant="other"), replace(SCOPE, collection="other")):
        assert await find(store, "holiday", scope=other) == {}
        assert await store.find_document(other, document_id="leave") is None
        assert await store.list_documents(other, limit=9) == ([], None)
        assert not await store.delete_document(other, document_id="leave")
    assert list(await find(store, "holiday")) == ["Holiday is 30 days."]


async def test_another_tenants_documents_do_not_change_a_score(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.", "Ask your lead.")
    before = await find(store, "holiday lead")
    for number in range(20):
        await put(store, f"d{number}", "Holiday, holiday.", tenant="other")
    after = await find(store, "holiday lead")
    assert {text: scores[0] for text, scores in after.items()} == pytest.approx(
        {text: scores[0] for text, scores in before.items()}
    )


async def test_filters_hold_for_own_fields_and_for_the_users(store: PassageStore) -> None:
    await put(store, "a", "Holiday A.", metadata={"year": 2024, "draft": True, "team": "red"})
    await put(store, "b", "Holiday B.", metadata={"year": 2026, "draft": False, "team": "blue"})
    assert list(await find(store, "holiday", document_id="a")) == ["Holiday A."]
    assert list(await find(store, "holiday", team="blue")) == ["Holiday B."]
    assert list(await find(store, "holiday", year=2024)) == ["Holiday A."]
    assert list(await find(store, "holiday", year={"gte": 2025})) == ["Holiday B."]
    assert list(await find(store, "holiday", draft=False)) == ["Holiday B."]
    assert len(await find(store, "holiday", team=["red", "blue"])) == 2
    assert len(await find(store, "holiday", page=1)) == 2
    assert await find(store, "holiday", team="red", year=2026) == {}


async def test_documents_are_listed_page_by_page_and_each_once(store: PassageStore) -> None:
    for number in range(5):
        await put(store, f"d{number}", "One.", "Two.")
    seen: list[str] = []
    after: str | None = None
    while True:
        page, after = await store.list_documents(SCOPE, limit=2, after=after)
        seen += [version.document_id for version in page]
        if after is None:
            break
    assert sorted(seen) == [f"d{number}" for number in range(5)]


async def test_a_deleted_document_is_gone(store: PassageStore) -> None:
    await put(store, "leave", "Holiday is 30 days.")
    assert await store.delete_document(SCOPE, document_id="leave")
    assert not await store.delete_document(SCOPE, document_id="leave")
    assert await find(store, "holiday") == {}
    assert await store.find_document(SCOPE, document_id="leave") is None


async def test_both_stores_give_the_same_scores(folder: Path) -> None:
    texts = [f"Rule {number}: holiday and canteen {'again ' * number}." for number in range(8)]
    results = []
    for name, opener in OPENERS.items():
        opened = await opener(folder / name)
        await put(opened, "rules", *texts)
        results.append(await find(opened, "holiday rule 3 again"))
        await opened.close()
    first, second = results
    assert first.keys() == second.keys()
    for text, scores in first.items():
        assert scores == pytest.approx(second[text], rel=1e-4)


async def test_the_edge_store_keeps_its_documents_over_a_restart(folder: Path) -> None:
    store = await open_edge(folder)
    await put(store, "leave", "Holiday is 30 days.")
    await store.close()
    store = await open_edge(folder)
    assert list(await find(store, "holiday")) == ["Holiday is 30 days."]
    await store.close()


async def test_the_nearest_are_those_of_the_vectors_themselves(store: PassageStore) -> None:
    chance = np.random.default_rng(7)
    vectors = chance.standard_normal((400, EMBEDDER.dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    version = version_of("numbers", chunks=len(vectors))
    made = await passages_of(version, *(f"number {number}" for number in range(len(vectors))))
    drawn = [
        replace(one, dense=tuple(vector.tolist()))
        for one, vector in zip(made, vectors, strict=True)
    ]
    await store.upsert_document(version, drawn)
    for asked in vectors[:20] + 0.5 * vectors[20:40]:
        asked /= np.linalg.norm(asked)
        found = await store.candidates(SCOPE, dense=asked.tolist(), sparse=None, limit=10)
        expected = np.argsort(-(vectors @ asked))[:10]
        assert {one.chunk.index for one in found} == set(expected.tolist())
        for one in found:
            assert one.dense == pytest.approx(float(vectors[one.chunk.index] @ asked), abs=1e-4)


async def test_a_store_made_before_vectors_were_compressed_is_searched_as_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(edge_folder, "COMPRESSION", None)
        await (await open_edge(folder)).close()
    store = await open_edge(folder)
    await put(store, "leave", "holiday is booked in the portal", "sick leave is told by phone")
    [found] = await store.candidates(
        SCOPE, dense=(await EMBEDDER.embed_query("holiday")).tolist(), sparse=None, limit=1
    )
    assert found.chunk.text == "holiday is booked in the portal"
    edge_folder.sync_log(folder)
    await store.close()


async def test_a_second_owner_of_the_edge_store_is_told_who_has_it(folder: Path) -> None:
    store = await open_edge(folder)
    with pytest.raises(StoreBusy, match=r"in use by process \d+"):
        await open_edge(folder)
    await put(store, "leave", "Holiday is 30 days.")
    await store.close()
    await (await open_edge(folder)).close()


async def test_a_store_made_with_another_embedder_is_refused(folder: Path) -> None:
    await (await open_edge(folder)).close()
    with pytest.raises(StoreMismatch, match="made with embedder 'hashed-64', not 'other'"):
        await EdgeStore.open(folder, embedder="other", dimension=64)
    with pytest.raises(
        StoreMismatch, match=r"dimension 64, not 32; set the embedder back, or inge"
    ):
        await EdgeStore.open(folder, embedder=EMBEDDER.name, dimension=32)
    meta = folder / "meta.json"
    recorded = json.loads(meta.read_text())
    assert recorded["normalized"] is True
    meta.write_text(json.dumps({**recorded, "normalized": False}))
    with pytest.raises(StoreMismatch, match="normalized False, not True"):
        await open_edge(folder)
    # As an older Counterpoint wrote it.
    meta.write_text(json.dumps({k: v for k, v in recorded.items() if k != "normalized"}))
    await (await open_edge(folder)).close()


async def test_a_damaged_edge_store_says_what_to_do(folder: Path) -> None:
    await (await open_edge(folder)).close()
    (folder / "meta.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreDamaged, match=r"move .* away"):
        await open_edge(folder)


async def test_a_half_made_edge_store_is_made_anew(folder: Path) -> None:
    (folder / "shard.new").mkdir(parents=True)
    (folder / "shard.new" / "junk").write_text("x", encoding="utf-8")
    store = await open_edge(folder)
    await put(store, "leave", "Holiday is 30 days.")
    await store.close()


async def test_a_full_disk_is_told_before_the_engine_dies_of_it(folder: Path) -> None:
    about: Any = {"embedder": EMBEDDER.name, "dimension": EMBEDDER.dimension}
    free = shutil.disk_usage(folder).free
    with pytest.raises(StoreError, match=r"the disk is full .* free some space"):
        await EdgeStore.open(folder, **about, spare_bytes=free * 4)
    store = await EdgeStore.open(folder, **about, spare_bytes=free + free // 2)
    with pytest.raises(StoreError, match=r"the disk is full .* free some space"):
        await put(store, "leave", "Holiday is 30 days.")
    assert await find(store, "holiday") == {}
    await store.close()


async def test_a_closed_edge_store_says_so(folder: Path) -> None:
    store = await open_edge(folder)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await find(store, "holiday")


async def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9: Qdrant does not answer"):
        await ServerStore.open("http://127.0.0.1:9", embedder="e", dimension=4)
