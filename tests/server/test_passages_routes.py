"""One document over HTTP: shown, read around a place, renamed; pages and files with fields."""

from __future__ import annotations

import json
import uuid
from typing import Any

from fastapi import FastAPI

from server.app import build
from server.artifacts import naming
from tests.server.surface import Parts, configured, hashed, in_process
from tests.tools.retrieval.making import pdf
from tests.tools.web.site import page, serving
from tools.thread_documents import collection_of

RULES = "# Book\n\n" + "\n\n".join(f"## Rule {n}\n\nThe rule of {n}." for n in range(6))


async def test_a_passage_is_shown_in_its_context(app: FastAPI) -> None:
    async with in_process(app) as client:
        told = await client.post("/documents", json={"documents": [{"id": "a/b", "text": RULES}]})
        assert told.json()["results"][0]["chunks"] == 6
        shown = (await client.get("/documents/a/b")).json()
        assert (shown["chunks"], shown["document_id"]) == (6, "a/b")
        assert {"source", "pages", "metadata", "ingested_at", "folder", "content"} <= set(shown)

        whole = (await client.get("/documents/a/b/passages")).json()
        assert whole["document"] == shown
        assert [one["index"] for one in whole["items"]] == list(range(6))
        assert not any(one["matched"] for one in whole["items"])
        part = (await client.get("/documents/a/b/passages?limit=2&offset=3")).json()
        assert (part["total"], part["items"]) == (6, whole["items"][3:5])

        query = {"query": "rule of 3", "limit": 1}
        (hit,) = (await client.post("/documents/search", json=query)).json()["hits"]
        for place in (
            {"chunk_id": hit["chunk_id"]},
            {"start": hit["span"][0], "end": hit["span"][0] + 1},
        ):
            params = {**place, "before": 1, "after": 5}
            around = (await client.get("/documents/a/b/passages", params=params)).json()
            assert [one["index"] for one in around["items"]] == [2, 3, 4, 5]
            assert [one["matched"] for one in around["items"]] == [False, True, False, False]
        nothing = await client.get("/documents/a/b/passages?chunk_id=a/b%23no")
        assert (nothing.json()["total"], nothing.json()["items"]) == (0, [])


async def test_a_page_of_a_document_is_shown(app: FastAPI) -> None:
    files = {"files": ("guide.pdf", pdf("page one", "page two", "page three"))}
    async with in_process(app) as client:
        told = (await client.post("/documents", files=files)).json()
        path = f"/documents/{told['results'][0]['document_id']}/passages"
        found = (await client.get(path, params={"page": 2})).json()
        assert [one["text"] for one in found["items"]] == ["page two"]
        assert found["items"][0]["matched"]


async def test_what_asks_for_no_place_is_told_so(app: FastAPI) -> None:
    async with in_process(app) as client:
        await client.post("/documents", json={"documents": [{"id": "a", "text": RULES}]})
        for query, said in (
            ("start=1", "start, end: one stands without the other"),
            ("start=5&end=5", "end: comes before start"),
            ("before=1001", "before: "),
            ("page=0", "page: "),
        ):
            reply = await client.get(f"/documents/a/passages?{query}")
            assert (reply.status_code, list(reply.json())) == (422, ["detail"])
            assert said in reply.json()["detail"]
        for path in ("/documents/b", "/documents/b/passages", "/documents/a?collection=other"):
            assert (await client.get(path)).status_code == 404


async def test_another_tenants_document_is_not_there(parts: Parts) -> None:
    keys = [
        {"name": "ann", "sha256": hashed("ann"), "tenant": "acme"},
        {"name": "bob", "sha256": hashed("bob"), "tenant": "other"},
    ]
    app = configured(parts, keys=keys)
    async with (
        in_process(app, **{"x-api-key": "ann"}) as ann,
        in_process(app, **{"x-api-key": "bob"}) as bob,
    ):
        await ann.post("/documents", json={"documents": [{"id": "a", "text": RULES}]})
        assert (await ann.get("/documents/a/passages")).status_code == 200
        for path in ("/documents/a", "/documents/a/passages"):
            assert (await bob.get(path)).status_code == 404
        assert (await bob.patch("/documents/a", json={"source": "b.md"})).status_code == 404


async def test_a_renamed_file_keeps_what_it_holds(app: FastAPI) -> None:
    async with in_process(app) as client:
        form = {"folder": "host:/hr", "metadata": json.dumps({"year": 2026}), "title": "The book"}
        files = {"files": ("hr/old.md", RULES)}
        told = (await client.post("/documents", data=form, files=files)).json()["results"][0]
        assert told["title"] == "The book"
        titled = await client.patch(
            f"/documents/{told['document_id']}", json={"source": "hr/new.md"}
        )
        assert titled.status_code == 409, "what was said of it is no part of the file"
        form.pop("title")
        told = (await client.post("/documents", data=form, files=files)).json()["results"][0]
        path = f"/documents/{told['document_id']}"
        moved = (await client.patch(path, json={"source": "hr/new.md"})).json()
        assert (moved["status"], moved["name"]) == ("moved", "hr/new.md")
        assert (await client.get(path)).status_code == 404
        listed = (await client.get("/documents", params={"folder": "host:/hr"})).json()
        (one,) = listed["items"]
        assert (one["source"], one["metadata"]) == ("hr/new.md", {"year": 2026})
        assert (await client.get("/documents?folder=elsewhere")).json()["total"] == 0
        again = await client.patch(
            f"/documents/{one['document_id']}", json={"source": "hr/new.txt"}
        )
        assert again.status_code == 409
        assert "send it to POST /documents" in again.json()["detail"]
        nowhere = await client.patch(f"/documents/{one['document_id']}", json={"source": ".."})
        assert nowhere.status_code == 422


async def test_what_a_form_says_wrongly_is_told(app: FastAPI) -> None:
    two = [("files", ("a.txt", b"a")), ("files", ("b.txt", b"b"))]
    async with in_process(app) as client:
        for form, files, said in (
            ({"title": "T"}, two, "title: belongs to one file"),
            ({"metadata": "{"}, two, "metadata: is no JSON"),
            ({"metadata": "[1]"}, two, "metadata: "),
            ({"folder": "a\x00b"}, two, "folder: "),
        ):
            reply = await client.post("/documents", data=form, files=files)
            assert reply.status_code == 422
            assert said in reply.json()["detail"]
        assert (await client.get("/documents")).json()["total"] == 0


async def test_a_page_is_fetched_by_its_url_within_the_rules_of_the_web(parts: Parts) -> None:
    html = "<title>Leave</title><h1>Leave</h1><p>Everyone has 30 days of holiday.</p>"
    settings = parts.settings.model_copy(update={"web_allow": ("127.0.0.1",)})
    app = build(Parts(**{**vars(parts), "settings": settings}))
    async with (
        serving({"/leave": page(html)}) as site,
        in_process(app) as client,
    ):
        url = f"http://127.0.0.1:{site.port}/leave"
        documents: list[dict[str, Any]] = [
            {"url": f"{url}#top", "metadata": {"year": 2026}},
            {"url": f"http://127.0.0.2:{site.port}/"},
            {"url": "file:///etc/passwd"},
            {"url": f"http://127.0.0.1:{site.port}/missing"},
            {"text": "A text beside them.", "source": "text"},
        ]
        told = (await client.post("/documents", json={"documents": documents})).json()["results"]
        assert [one["status"] for one in told] == ["added", "failed", "failed", "failed", "added"]
        assert told[0]["name"] == url
        assert "web_allow" in told[1]["error"]
        assert "file:///etc/passwd" in told[2]["error"]
        assert "404" in told[3]["error"]
        (hit,) = (
            await client.post("/documents/search", json={"query": "days of holiday", "limit": 1})
        ).json()["hits"]
        assert (hit["source"], hit["title"]) == (url, "Leave")
    assert len(site.got) == 2


async def test_a_threads_own_document_is_shown_by_its_id_alone(app: FastAPI) -> None:
    thread = str(uuid.uuid4())
    document_id = naming.artifact_id(thread_id=thread, origin="upload", name="a.md", sha256="0")
    given = {"documents": [{"id": document_id, "text": RULES}]}
    async with in_process(app) as client:
        collection = {"collection": collection_of(thread)}
        await client.post("/documents", json={**given, **collection})
        shown = await client.get(f"/documents/{document_id}/passages?limit=1")
        assert shown.json()["document"]["document_id"] == document_id
        assert (await client.get(f"/documents/{document_id}")).status_code == 200
        assert (await client.get("/documents")).json()["total"] == 0
        elsewhere = await client.get(f"/documents/{document_id}?collection=default")
        assert elsewhere.status_code == 404
