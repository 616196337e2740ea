"""Documents here and documents that another Counterpoint keeps: one suite for both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.app import build
from tests.server.surface import Parts, configured, hashed, in_process
from tests.tools.retrieval.making import pdf
from tools.retrieval.documents import DocumentVersion
from tools.retrieval.errors import (
    BadFilter,
    EmptyDocument,
    EncryptedDocument,
    StoreError,
    StoreUnreachable,
)
from tools.retrieval.knowledge import Knowledge, Place, Status
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import SearchOptions
from tools.retrieval.remote_knowledge import RemoteKnowledge
from tools.search_documents import SearchDocuments, search_documents
from tools.tool import ToolContext, ToolError

TEXT = "# Rooms\n\nThe blue room seats twelve people.\n\n## Booking\n\nAsk the office first."
HERE: dict[str, Any] = {"tenant": "acme", "collection": "hr"}
ELSEWHERE: tuple[dict[str, Any], ...] = (
    {"tenant": "other", "collection": "hr"},
    {"tenant": "acme", "collection": "it"},
)


@pytest.fixture(params=["local", "remote"])
async def either(
    request: pytest.FixtureRequest, parts: Parts, knowledge: LocalKnowledge
) -> AsyncIterator[Knowledge]:
    if request.param == "local":
        yield knowledge
        return
    app = configured(parts, api_key_sha256=[hashed("admin")])
    async with in_process(app, **{"x-api-key": "admin"}) as client:
        yield RemoteKnowledge(client, url="http://user:hush@keeper:8000/x")


async def listed(knowledge: Knowledge, **where: Any) -> list[DocumentVersion]:
    return [one async for one in knowledge.documents(**where)]


async def test_a_file_is_found_with_all_that_a_citation_needs(either: Knowledge) -> None:
    done = await either.ingest(TEXT.encode(), name="house/rooms é.md", **HERE)
    assert (done.status, done.title) == (Status.ADDED, "Rooms")
    again = await either.ingest(TEXT.encode(), name="house/rooms é.md", **HERE)
    assert (again.status, again.document_id) == (Status.UNCHANGED, done.document_id)
    hit, *_ = await either.search("how many people in the blue room", limit=3, **HERE)
    assert "seats twelve" in hit.text
    assert (hit.source, hit.title) == ("house/rooms é.md", "Rooms")
    assert (hit.document_id, hit.heading) == (done.document_id, ("Rooms",))
    assert isinstance(hit.span, tuple)
    assert hit.scores.fused > 0
    (version,) = await listed(either, **HERE)
    assert (version.document_id, version.tenant, version.collection) == (
        done.document_id,
        "acme",
        "hr",
    )
    assert len(version.sha256) == 64
    assert version.chunks == done.chunks


async def test_a_text_keeps_its_id_title_source_and_metadata(either: Knowledge) -> None:
    about: dict[str, Any] = {"document_id": "a/b c", "title": "Rooms", "metadata": {"year": 2024}}
    for status in (Status.ADDED, Status.UNCHANGED):
        done = await either.ingest_text(TEXT, name="wiki/rooms", **about, **HERE)
        assert (done.status, done.document_id, done.title) == (status, "a/b c", "Rooms")
    (hit, *_) = await either.search("blue room", filters={"year": {"gte": 2024}}, **HERE)
    assert (hit.source, hit.metadata) == ("wiki/rooms", {"year": 2024})
    assert not await either.search("blue room", filters={"year": 2023}, **HERE)
    assert await either.delete("a/b c", **HERE)
    assert not await either.delete("a/b c", **HERE)


async def test_a_document_is_read_around_a_place(either: Knowledge) -> None:
    done = await either.ingest(TEXT.encode(), name="rooms.md", folder="h:/x", **HERE)
    version = await either.document(done.document_id, **HERE)
    assert version is not None
    assert (version.source, version.folder, version.chunks) == ("rooms.md", "h:/x", 2)
    assert version == (await listed(either, **HERE))[0]
    whole = await either.passages(done.document_id, **HERE)
    assert whole is not None
    assert (whole.document, whole.total, whole.matched) == (version, 2, frozenset())
    first, second = whole.items
    assert (first.heading, second.heading) == (("Rooms",), ("Rooms", "Booking"))
    for place in (Place(chunk_id=second.chunk_id), Place(span=second.span)):
        found = await either.passages(done.document_id, place=place, before=1, **HERE)
        assert found is not None
        assert (found.items, found.matched) == ((first, second), frozenset({second.chunk_id}))
    for nowhere in (Place(page=3), Place(chunk_id="x")):
        found = await either.passages(done.document_id, place=nowhere, **HERE)
        assert found is not None
        assert (found.total, found.items) == (0, ())
    assert await either.passages("x", **HERE) is None
    assert await either.document("x", **HERE) is None


async def test_a_question_is_taken_apart_for_who_asks_for_it_alone(either: Knowledge) -> None:
    await either.ingest_text("Holiday is thirty days. The canteen opens at noon.", name="x", **HERE)
    two = "How many days of holiday are there, and when does the canteen open?"
    for options, apart in (
        (None, False),
        (SearchOptions(rrf_k=7), False),
        (SearchOptions(parts=True), True),
    ):
        found = await either.find(two, options=options, **HERE)
        assert ("parts" in {stage.name for stage in found.stages}) is apart


async def test_a_file_is_renamed_without_its_bytes(either: Knowledge) -> None:
    about: dict[str, Any] = {"metadata": {"year": 2024}}
    done = await either.ingest(TEXT.encode(), name="old.md", **about, **HERE)
    moved = await either.move(done.document_id, name="new é.md", folder="h:/x", **HERE)
    assert moved is not None
    assert (moved.status, moved.title, moved.chunks) == (Status.MOVED, "Rooms", 2)
    (version,) = await listed(either, **HERE)
    assert (version.document_id, version.source) == (moved.document_id, "new é.md")
    assert (version.folder, version.metadata) == ("h:/x", {"year": 2024})
    assert await either.move(done.document_id, name="b.md", **HERE) is None
    assert await either.move(moved.document_id, name="b.txt", **HERE) is None
    named = await either.ingest(
        TEXT.encode(), name="t.md", document_id="a/b", title="Other", **HERE
    )
    assert (named.document_id, named.title) == ("a/b", "Other")


async def test_nothing_is_seen_from_another_tenant_or_collection(either: Knowledge) -> None:
    done = await either.ingest(TEXT.encode(), name="rooms.md", **HERE)
    for where in ELSEWHERE:
        assert await either.is_empty(**where)
        assert not await either.search("blue room", **where)
        assert not await either.delete(done.document_id, **where)
        assert await either.document(done.document_id, **where) is None
        assert await either.passages(done.document_id, **where) is None
        assert await either.move(done.document_id, name="mine.md", **where) is None
        assert await listed(either, **where) == []
    assert not await either.is_empty(**HERE)


async def test_what_cannot_be_read_or_asked_is_the_same_error(either: Knowledge) -> None:
    with pytest.raises(EmptyDocument, match=r"empty\.md"):
        await either.ingest(b"  \n", name="empty.md", **HERE)
    with pytest.raises(EncryptedDocument, match="password"):
        await either.ingest(pdf("secret", password="x"), name="locked.pdf", **HERE)
    with pytest.raises(EmptyDocument):
        await either.ingest_text(" ", name="nothing", **HERE)
    with pytest.raises(BadFilter):
        await either.search("x", filters={"year": {}}, **HERE)
    assert not await either.search("  ", **HERE)
    assert not await either.search("x", limit=0, **HERE)


async def test_a_key_that_may_not_act_for_others_is_told_so(parts: Parts) -> None:
    keys = [
        {"name": "ann", "sha256": hashed("user"), "tenant": "acme"},
        {"name": "bob", "sha256": hashed("operator"), "roles": ["operator", "user"]},
    ]
    app = configured(parts, keys=keys)
    for key, words in (
        ("user", "may not act for another tenant"),
        ("operator", "may not act for another tenant"),
        ("no", "not known here"),
    ):
        async with in_process(app, **{"x-api-key": key}) as client:
            remote = RemoteKnowledge(client, url="http://keeper:8000")
            with pytest.raises(StoreUnreachable, match=words) as refused:
                await remote.check()
            assert "COUNTERPOINT_KNOWLEDGE_KEY" in str(refused.value)


async def test_a_keeper_is_asked_for_its_version(app: FastAPI) -> None:
    async with in_process(app) as client:
        assert await RemoteKnowledge(client, url="http://keeper:8000").check()


async def test_a_keeper_that_is_down_is_named_with_the_remedy_and_no_password() -> None:
    async with RemoteKnowledge.open("http://user:hush@127.0.0.1:9", key="k") as remote:
        with pytest.raises(StoreUnreachable, match="COUNTERPOINT_KNOWLEDGE_URL") as down:
            await remote.search("x", **HERE)
    assert "http://127.0.0.1:9" in str(down.value)
    assert "hush" not in str(down.value)


async def test_while_the_keeper_is_down_callers_get_503_and_models_a_tool_error(
    parts: Parts,
) -> None:
    async with RemoteKnowledge.open("http://127.0.0.1:9") as remote:
        app = build(Parts(**{**vars(parts), "knowledge": remote}))
        async with in_process(app) as client:
            searched = await client.post("/documents/search", json={"query": "x"})
            listed = await client.get("/documents")
            assert (await client.get("/info")).status_code == 200
        tool = search_documents(remote)
        context = ToolContext(tenant="acme", collection="hr", run_id="r", call_id="c")
        with pytest.raises(ToolError, match=r"The search failed: .* does not answer"):
            await tool.call(SearchDocuments(query="x"), context)
    for reply in (searched, listed):
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"
        assert "COUNTERPOINT_KNOWLEDGE_URL" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (httpx.Response(507, json={"detail": "the disk is full"}), "the disk is full"),
        (httpx.Response(502, text="<html>"), "it answered 502"),
        (httpx.Response(200, text="<html>"), "answers no JSON"),
    ],
)
async def test_a_keeper_in_trouble_is_quoted(reply: httpx.Response, words: str) -> None:
    transport = httpx.MockTransport(lambda _: reply)
    async with httpx.AsyncClient(transport=transport, base_url="http://keeper") as client:
        with pytest.raises(StoreError, match=words):
            await RemoteKnowledge(client, url="http://keeper").search("x", **HERE)


class Coming:
    """A keeper that is away for as many requests as there are ways to be."""

    def __init__(self, *away: httpx.Response | type[httpx.TransportError]) -> None:
        self._away = list(away)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        if not self._away:
            found = {"hits": [], "explain": {"stages": []}, "items": [], "total": 0}
            return httpx.Response(200, json=found)
        way = self._away.pop(0)
        if isinstance(way, httpx.Response):
            return way
        raise way("as asked", request=request)


@asynccontextmanager
async def _of(keeper: Coming) -> AsyncIterator[RemoteKnowledge]:
    transport = httpx.MockTransport(keeper)
    async with httpx.AsyncClient(transport=transport, base_url="http://keeper") as client:
        yield RemoteKnowledge(client, url="http://keeper", patience_seconds=60)


async def test_a_search_waits_for_a_keeper_that_is_started_again() -> None:
    keeper = Coming(httpx.ReadError, httpx.ConnectError, httpx.Response(503, json={"detail": "x"}))
    async with _of(keeper) as remote:
        assert list(await remote.search("x", **HERE)) == []
    assert keeper.asked == ["POST"] * 4


async def test_a_write_is_made_again_only_where_it_was_not_sent() -> None:
    keeper = Coming(httpx.ConnectError, httpx.ReadError)
    async with _of(keeper) as remote:
        with pytest.raises(StoreUnreachable):
            await remote.delete("d", **HERE)
    assert keeper.asked == ["DELETE"] * 2
