"""Files of threads through the front door."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.artifacts.store import Origin
from tests.server.surface import Parts, in_process

CSV = b"region,amount\nnorth,1\n"


async def _thread(client: httpx.AsyncClient) -> str:
    made = await client.post("/threads", json={})
    return str(made.json()["thread_id"])


async def _sent(client: httpx.AsyncClient, thread: str, *files: tuple[str, bytes]) -> Any:
    return await client.post(
        f"/threads/{thread}/files",
        files=[("files", (name, content, "application/octet-stream")) for name, content in files],
    )


async def test_files_are_given_listed_fetched_and_deleted(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await _thread(client)
        sent = await _sent(client, thread, ("a.csv", CSV), ("../b c.txt", b"hello"))
        assert sent.status_code == 200, sent.text
        first, second = sent.json()["items"]
        assert (first["name"], first["media_type"]) == ("a.csv", "text/csv")
        assert (first["bytes"], first["origin"]) == (len(CSV), "upload")
        assert second["name"] == "b c.txt"
        listing = await client.get(f"/threads/{thread}/files", params={"origin": "upload"})
        assert listing.json() == sent.json()
        made = await client.get(f"/threads/{thread}/files", params={"origin": "run"})
        assert made.json() == {"items": []}
        got = await client.get(first["url"])
        assert (got.status_code, got.content) == (200, CSV)
        gone = await client.delete(f"/threads/{thread}/files/{first['id']}")
        assert gone.status_code == 204
        assert (await client.get(first["url"])).status_code == 404
        again = await client.delete(f"/threads/{thread}/files/{first['id']}")
        assert again.status_code == 404


async def test_a_taken_name_gets_a_number_and_the_same_again_is_the_same(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await _thread(client)
        await _sent(client, thread, ("a.csv", CSV))
        other = await _sent(client, thread, ("a.csv", b"other"), ("a.csv", CSV))
        assert [one["name"] for one in other.json()["items"]] == ["a-2.csv", "a.csv"]


async def test_all_files_of_a_request_are_kept_or_none(app: FastAPI, parts: Parts) -> None:
    most = parts.settings.file_limits().file_bytes
    async with in_process(app) as client:
        thread = await _thread(client)
        sent = await _sent(client, thread, ("a.csv", CSV), ("big.bin", bytes(most + 1)))
        assert sent.status_code == 422
        assert sent.json()["detail"].startswith("files: big.bin: the file has 16,777,217 bytes;")
        assert (await client.get(f"/threads/{thread}/files")).json() == {"items": []}


async def test_what_is_no_upload_is_told_apart(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await _thread(client)
        at = f"/threads/{thread}/files"
        assert (await client.post(at, json={})).status_code == 422
        assert (await client.post(at, files={"x": ("", b"")})).status_code == 422
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        assert (await client.post(at, content=b"nonsense", headers=broken)).status_code == 422
        nowhere = await _sent(client, str(uuid.uuid4()), ("a.csv", CSV))
        assert nowhere.status_code == 404


async def _kept(parts: Parts, content: bytes, *, name: str, media_type: str) -> str:
    kept = await parts.files.put(
        content,
        name=name,
        media_type=media_type,
        tenant="default",
        thread_id=str(uuid.uuid4()),
        run_id="r",
        origin=Origin.RUN,
    )
    return f"/artifacts/{kept.artifact_id}"


@pytest.mark.parametrize(
    ("name", "media_type", "disposition", "sent_as"),
    [
        ("a.png", "image/png", "inline", "image/png"),
        ("a.html", "text/html", "inline", "text/html; charset=utf-8"),
        ("a.svg", "image/svg+xml", "inline", "image/svg+xml"),
        ("a.csv", "text/csv", "attachment", "text/csv; charset=utf-8"),
        ("a.js", "text/javascript", "attachment", "text/javascript; charset=utf-8"),
        ("a.xhtml", "application/xhtml+xml", "attachment", "application/xhtml+xml"),
    ],
)
async def test_a_browser_is_kept_from_running_what_a_guest_made(
    app: FastAPI, parts: Parts, name: str, media_type: str, disposition: str, sent_as: str
) -> None:
    at = await _kept(parts, b"<script>1</script>", name=name, media_type=media_type)
    async with in_process(app) as client:
        got = await client.get(at)
        saved = await client.get(at, params={"download": "true"})
    assert got.headers["content-type"] == sent_as
    assert got.headers["content-disposition"].startswith(disposition + ";")
    assert saved.headers["content-disposition"].startswith("attachment;")
    policy = got.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "allow-scripts" not in policy
    assert got.headers["x-content-type-options"] == "nosniff"


async def test_a_browser_that_has_the_content_is_told_so(app: FastAPI, parts: Parts) -> None:
    at = await _kept(parts, b"png", name='ä"b.png', media_type="image/png")
    async with in_process(app) as client:
        got = await client.get(at)
        again = await client.get(at, headers={"If-None-Match": f"W/{got.headers['etag']}"})
        other = await client.get(at, headers={"If-None-Match": '"other"'})
    assert (again.status_code, again.content) == (304, b"")
    assert (other.status_code, other.content) == (200, b"png")
    assert got.headers["content-disposition"] == (
        "inline; filename=\"__b.png\"; filename*=UTF-8''%C3%A4_b.png"
    )


async def test_what_is_no_id_is_not_found(app: FastAPI) -> None:
    async with in_process(app) as client:
        for wrong in ("x", "u.a", "%00", "t" + "a" * 600):
            assert (await client.get(f"/artifacts/{wrong}")).status_code == 404


async def test_a_deleted_thread_has_no_files(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await _thread(client)
        sent = await _sent(client, thread, ("a.csv", CSV))
        await client.delete(f"/threads/{thread}")
        assert (await client.get(sent.json()["items"][0]["url"])).status_code == 404
        assert (await client.get(f"/threads/{thread}/files")).status_code == 404
