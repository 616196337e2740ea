"""Documents over HTTP: added, listed, searched, deleted; a bad one does not stop the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from server.app import build
from server.source_names import file_name
from tests.server.surface import Parts, in_process
from tests.tools.retrieval.making import pdf

REFUNDS = "# Plans\n\n## Money back\n\nAnnual plans can be returned within 30 days."


async def add(client: httpx.AsyncClient, *documents: dict[str, Any], **more: Any) -> Any:
    reply = await client.post("/documents", json={"documents": documents, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_text_is_added_found_and_deleted(app: FastAPI) -> None:
    async with in_process(app) as client:
        told = await add(
            client, {"title": "Plans", "text": REFUNDS, "metadata": {"year": 2026}}, collection="hr"
        )
        (result,) = told["results"]
        assert (told["collection"], result["name"], result["status"]) == ("hr", "Plans", "added")
        query = {"collection": "hr", "query": "return an annual plan", "limit": 3}
        found = (await client.post("/documents/search", json=query)).json()["hits"]
        assert found[0]["document_id"] == result["document_id"]
        assert "30 days" in found[0]["text"]
        assert set(found[0]["scores"]) == {"bm25", "dense", "fused", "rerank"}
        assert {"chunk_id", "title", "page", "span"} <= set(found[0])
        filtered = {**query, "filters": {"year": {"lt": 2020}}}
        assert (await client.post("/documents/search", json=filtered)).json() == {"hits": []}
        listed = (await client.get("/documents?collection=hr")).json()
        assert [one["document_id"] for one in listed["items"]] == [result["document_id"]]
        assert (listed["total"], listed["items"][0]["metadata"]) == (1, {"year": 2026})
        path = f"/documents/{result['document_id']}?collection=hr"
        assert (await client.delete(path)).status_code == 204
        assert (await client.delete(path)).status_code == 404
        assert (await client.post("/documents/search", json=query)).json() == {"hits": []}


async def test_the_same_again_is_unchanged_and_another_text_an_update(app: FastAPI) -> None:
    async with in_process(app) as client:
        seen = []
        for text in ("one", "one", "two"):
            told = await add(client, {"id": "a/b c", "text": text})
            seen.append((told["results"][0]["document_id"], told["results"][0]["status"]))
        assert seen == [("a/b c", "added"), ("a/b c", "unchanged"), ("a/b c", "updated")]
        assert (await client.delete("/documents/a/b%20c")).status_code == 204


async def test_texts_without_a_name_do_not_replace_each_other(app: FastAPI) -> None:
    async with in_process(app) as client:
        await add(client, {"text": "one"})
        await add(client, {"text": "two"}, {"text": "one"})
        assert (await client.get("/documents")).json()["total"] == 2


async def test_files_are_added_and_the_unreadable_ones_are_told(app: FastAPI) -> None:
    files = [
        ("files", ("handbook/plans.md", REFUNDS.encode(), "text/markdown")),
        ("files", ("guide.pdf", pdf("page one", "page two"), "application/pdf")),
        ("files", ("secret.pdf", pdf("x", password="p"), "application/pdf")),
        ("files", ("empty.md", b"", "text/markdown")),
        ("files", ("huge.txt", b"x" * 100_001, "text/plain")),
        ("files[]", ("last.txt", b"the last one", "text/plain")),
    ]
    async with in_process(app) as client:
        reply = await client.post("/documents", data={"collection": "hr"}, files=files)
        listed = (await client.get("/documents?collection=hr")).json()
    assert reply.status_code == 200
    told = reply.json()
    by_name = {result["name"]: result for result in told["results"]}
    assert {name: result["status"] for name, result in by_name.items()} == {
        "handbook/plans.md": "added",
        "guide.pdf": "added",
        "secret.pdf": "failed",
        "empty.md": "failed",
        "huge.txt": "failed",
        "last.txt": "added",
    }
    assert by_name["guide.pdf"]["pages"] == 2
    assert "password" in by_name["secret.pdf"]["error"]
    assert "huge.txt: larger than 100,000 bytes; split it" in by_name["huge.txt"]["error"]
    assert {one["source"] for one in listed["items"]} == {
        "handbook/plans.md",
        "guide.pdf",
        "last.txt",
    }


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/documents", {"documents": []}, "documents: "),
        ("/documents", {"documents": [{"title": "x"}]}, "documents.0: give either text or url"),
        ("/documents", {"documents": [{"text": "x", "url": "y"}]}, "give either text or url"),
        ("/documents", {"documents": [{"text": "x", "id": "a\nb"}]}, "control characters"),
        ("/documents", {"documents": [{"text": "x", "metadata": {"n": 2**70}}]}, "64 bits"),
        ("/documents", {"collection": "a b", "documents": [{"text": "x"}]}, "collection: "),
        ("/documents/search", {}, "query is missing"),
        ("/documents/search", {"query": "x", "limit": 0}, "limit: "),
        ("/documents/search", {"query": "x", "filters": {"a": None}}, "filter 'a': give a text"),
        ("/documents/search", "x", "body: "),
    ],
)
async def test_a_malformed_request_is_told_in_one_line(
    app: FastAPI, path: str, body: Any, said: str
) -> None:
    async with in_process(app) as client:
        reply = await client.post(path, json=body)
    assert reply.status_code == 422
    told = reply.json()
    assert list(told) == ["detail"]
    assert said in told["detail"]
    assert "\n" not in told["detail"]


async def test_an_empty_or_broken_form_is_told(app: FastAPI) -> None:
    async with in_process(app) as client:
        none = await client.post("/documents", files={"collection": (None, "hr")})
        bad_name = await client.post(
            "/documents", data={"collection": "a b"}, files={"files": ("a.txt", b"x")}
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        broken = await client.post("/documents", content=b"--y\r\nnonsense", headers=headers)
        unbound = await client.post(
            "/documents", content=b"x", headers={"Content-Type": "multipart/form-data"}
        )
    assert (none.status_code, none.json()["detail"].split(":")[0]) == (422, "files")
    assert (bad_name.status_code, bad_name.json()["detail"].split(":")[0]) == (422, "collection")
    assert (broken.status_code, unbound.status_code) == (422, 422)


async def test_a_body_over_the_limit_is_refused_with_the_remedy(parts: Parts) -> None:
    settings = parts.settings.model_copy(update={"max_document_bytes": 1_000})
    app = build(Parts(**{**vars(parts), "settings": settings}))

    async def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 1_000_000

    async with in_process(app) as client:
        known = await client.post("/documents", content=b"x" * 9_000_000, headers=JSON)
        chunked = await client.post("/documents", content=chunks(), headers=JSON)
        chat = await client.post("/v1/chat/completions", content=chunks(), headers=JSON)
    for reply in (known, chunked, chat):
        assert reply.status_code == 413
        assert "send less at a time" in reply.json()["detail"]


JSON = {"Content-Type": "application/json"}


def goes_nowhere(given: str) -> None:
    name = file_name(given)
    assert len(name) <= 1_024
    assert not name.startswith("/")
    assert ".." not in name.split("/")
    assert not any(ord(sign) < 32 or 0xD800 <= ord(sign) <= 0xDFFF for sign in name)
    assert file_name(name) == name


@given(given=st.text())
def test_a_files_name_is_printable_and_goes_nowhere(given: str) -> None:
    goes_nowhere(given)


@given(rest=st.text(alphabet="ab./:?#[@\\üé", max_size=20))
def test_a_name_like_a_url_is_a_label_all_the_same(rest: str) -> None:
    goes_nowhere(f"https://{rest}")


def test_a_pages_url_is_its_name() -> None:
    assert file_name("HTTPS://A.example/x/y?b=c#d") == "https://a.example/x/y?b=c"
    assert file_name("https://user:pass@a.example/") == "https:/user:pass@a.example"


def test_a_relative_path_is_kept() -> None:
    assert file_name("..\\handbook/../plans.md") == "handbook/plans.md"
    assert file_name("/etc/passwd") == "etc/passwd"
