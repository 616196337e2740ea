"""Who and what is let in, and how everything else is answered."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import AuthenticationError
from redis import exceptions as redis_errors

from server.app import build
from server.auth import is_loopback, is_same
from tests import examples
from tests.server.surface import (
    Parts,
    Team,
    configured,
    hashed,
    in_process,
    openai_client,
    served,
)
from tools.retrieval.errors import StoreBusy, StoreError

KEY = "ck-secret"
QUESTION = {"model": "counterpoint", "messages": [{"role": "user", "content": "x"}]}
PATHS = ("/v1/models", "/documents", "/info", "/metrics", "/docsify", "/nothing")


@pytest.fixture
def keyed(parts: Parts) -> FastAPI:
    return configured(parts, api_key_sha256=[hashed(KEY), hashed("other")])


async def test_a_probe_is_answered_without_a_key(keyed: FastAPI) -> None:
    async with in_process(keyed) as client:
        for path in ("/ok", "/"):
            reply = await client.get(path, headers={"Host": "pod-17.internal"})
            assert (reply.status_code, reply.json()) == (200, {"ok": True})
            head = await client.head(path, headers={"Host": "pod-17.internal"})
            assert head.status_code == 200, "how `wget --spider` and many monitors ask"


async def test_a_browser_is_led_from_the_address_to_the_console(keyed: FastAPI) -> None:
    async with in_process(keyed) as client:
        browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        reply = await client.get("/", headers=browser, follow_redirects=True)
        assert reply.url.path == "/console"
        assert "<h1>Counterpoint</h1>" in reply.text
        assert (await client.get("/", headers={"Accept": "*/*"})).json() == {"ok": True}


async def test_a_slash_too_many_leads_back_the_way_that_the_caller_came(app: FastAPI) -> None:
    """Over TLS to a proxy, an address of ours would have led to its port without TLS."""
    async with in_process(app) as client:
        led = await client.get("/v1/models/", params={"a": "b c"})
        assert (led.status_code, led.headers["location"]) == (307, "../models?a=b+c")
        asked = await client.post("/threads/search/", json={}, follow_redirects=True)
        assert (asked.url.path, asked.json()) == ("/threads/search", [])
        for path in ("/nothing/", "/v1/models//", "/.//"):
            assert (await client.get(path)).status_code == 404, path


async def test_the_server_says_what_it_is(app: FastAPI) -> None:
    async with in_process(app) as client:
        told = (await client.get("/info")).json()
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert told["version"]
    assert told["host"]["kind"] == "self-hosted"
    assert told["langgraph_py_version"].startswith("1.")
    assert told["flags"] == {"assistants": True, "crons": True, "langsmith": False}
    assert set(told["host"]) >= {"kind", "project_id", "revision_id", "tenant_id"}
    assert {"/v1/chat/completions", "/documents", "/runs/stream"} <= set(paths)


async def test_every_other_route_needs_a_known_key(keyed: FastAPI) -> None:
    async with in_process(keyed) as client:
        for path in PATHS:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
                reply = await client.get(path, headers=headers)
                assert reply.status_code == 401, (path, headers)
                assert "Authorization: Bearer KEY" in reply.json()["detail"]
        for headers in ({"Authorization": f"bearer {KEY}"}, {"x-api-key": KEY}):
            assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_page_on_which_the_key_is_typed_is_read_without_one(keyed: FastAPI) -> None:
    async with in_process(keyed) as client:
        for path in ("/console", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/docs/nothing")).status_code == 404
        schemes = (await client.get("/openapi.json")).json()["components"]["securitySchemes"]
    assert set(schemes) == {"bearer", "key"}


async def test_a_wrong_key_reaches_the_client_in_words(keyed: FastAPI) -> None:
    async with served(keyed) as url, openai_client(url) as client:
        with pytest.raises(AuthenticationError, match="this key is not known here"):
            await client.models.list()
        with_key = client.with_options(api_key=KEY)
        assert (await with_key.models.list()).data


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:8123", 200),
        ("[::1]:8000", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example:8000", 400),
        ("10.0.0.1", 400),
        ("", 400),
    ],
)
async def test_a_loopback_server_answers_to_loopback_names_alone(
    app: FastAPI, host: str, status: int
) -> None:
    async with in_process(app) as client:
        reply = await client.get("/v1/models", headers={"Host": host})
    assert reply.status_code == status


async def test_with_keys_any_name_is_served(keyed: FastAPI) -> None:
    async with in_process(keyed) as client:
        headers = {"Host": "chat.example", "x-api-key": KEY, "Origin": "https://chat.example"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1", 200),
        ("http://localhost:3000", 200),
        ("https://127.0.0.1:3000", 200),
        ("http://[::1]:3000", 200),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_page_of_another_origin_changes_nothing(
    app: FastAPI, team: Team, origin: str, status: int
) -> None:
    async with in_process(app, Origin=origin) as client:
        replies = [
            await client.post("/v1/chat/completions", json=QUESTION),
            await client.post("/documents", files={"files": ("a.txt", b"text")}),
        ]
        reading = await client.get("/v1/models")
    assert [reply.status_code for reply in replies] == [status, status]
    assert len(team.asked) == (status == 200)
    assert reading.status_code == 200
    assert ("access-control-allow-origin" in reading.headers) == (status == 200)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/documents", "/runs/stream"])
async def test_a_body_that_is_not_json_is_refused(
    app: FastAPI, path: str, media_type: str | None
) -> None:
    async with in_process(app) as client:
        headers = {"Content-Type": media_type} if media_type else {}
        reply = await client.post(path, content=b'{"a": 1}', headers=headers)
    assert reply.status_code == 415
    assert "Content-Type: application/json" in reply.json()["detail"]


async def test_what_is_not_served_is_told_in_the_one_shape(app: FastAPI) -> None:
    async with in_process(app) as client:
        missing, wrong = await client.get("/nothing"), await client.put("/documents")
        broken = await client.post(
            "/runs/stream", content=b"{", headers={"Content-Type": "application/json"}
        )
        none = await client.post("/runs/stream")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.json() == {"detail": "nothing is served at /nothing; /docs lists what is"}
    assert "PUT is not served at /documents; /docs lists" in wrong.json()["detail"]
    assert (broken.status_code, none.status_code) == (422, 422)
    assert "the body is not valid JSON" in broken.json()["detail"]
    assert none.json() == {"detail": "send a JSON object as the body"}


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (redis_errors.ConnectionError("no"), 503, "Redis does not answer"),
        (redis_errors.OutOfMemoryError("OOM"), 503, "Redis is out of memory"),
        (redis_errors.ResponseError("MISCONF Redis is configured"), 507, "cannot write"),
        (OSError(28, "No space left on device"), 507, "disk is full"),
        (StoreError("/x: the disk is full; free some space"), 507, "free some space"),
        (StoreBusy("/x: in use by process 7; stop it"), 503, "stop it"),
    ],
)
async def test_trouble_below_is_told_with_the_remedy(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, said: str
) -> None:
    reply = await failing(parts, monkeypatch, error)
    assert reply.status_code == status
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    "error", [KeyError("secret"), redis_errors.ResponseError("secret"), OSError("secret")]
)
async def test_what_nobody_foresaw_is_logged_under_an_id_and_tells_nothing(
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    with caplog.at_level(logging.ERROR):
        reply = await failing(parts, monkeypatch, error)
    assert reply.status_code == 500
    assert "secret" not in reply.text
    name = reply.json()["detail"].rpartition(" ")[2]
    (record,) = [record for record in caplog.records if name in record.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def failing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> httpx.Response:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(parts.knowledge, "find", fail)
    async with in_process(build(parts)) as client:
        return await client.post("/documents/search", json={"query": "x"})


@given(name=st.text(max_size=30))
def test_no_host_header_breaks_the_gate(name: str) -> None:
    assert is_loopback(name) in {True, False}
    assert not is_loopback(f"{name}.example")
    assert not is_same("null", host=name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
# Lone surrogates too: JSON can spell them.
TEXT = st.text(st.characters(), min_size=1, max_size=12)
ROLE = st.sampled_from(["user", "system", "assistant", "tool"])
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=2)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLE, "content": TEXT | PARTS}), min_size=1, max_size=3
)
FIELDS = st.dictionaries(TEXT, JSON, max_size=3)
SOUND: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "/v1/chat/completions": {
        "model": st.just("counterpoint"),
        "messages": MESSAGES,
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "n": st.just(1),
        "tool_choice": st.just("auto"),
        "response_format": st.just({"type": "text"}),
        "collection": st.just("hr"),
    },
    "/documents": {
        "collection": st.just("hr"),
        "documents": st.lists(
            st.fixed_dictionaries(
                {"text": TEXT}, optional={"id": TEXT, "title": TEXT, "metadata": FIELDS}
            ),
            min_size=1,
            max_size=2,
        ),
    },
    "/documents/search": {"query": TEXT, "limit": st.integers(1, 9), "filters": FIELDS},
    "/runs/stream": {
        "assistant_id": st.just("team"),
        "input": st.fixed_dictionaries({"messages": MESSAGES}),
        "config": st.just({"configurable": {"collection": "hr"}}),
        "stream_mode": st.sampled_from(["values", ["custom"]]),
        "on_disconnect": st.just("cancel"),
    },
}


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, Any]:
    """A route and a body for it: sound, with one field that is not, or anything at all."""
    path = draw(st.sampled_from(sorted(SOUND)))
    if draw(st.integers(0, 9)) == 0:
        return path, draw(JSON)
    body = draw(st.fixed_dictionaries(SOUND[path]))
    if draw(st.booleans()):
        body[draw(st.sampled_from(sorted(body)))] = draw(JSON)
    return path, body


LONE = "a\ud800b"


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {**QUESTION, "messages": [{"role": "user", "content": LONE}]}),
        ("/v1/chat/completions", {**QUESTION, "model": LONE}),
        ("/runs/stream", {"assistant_id": "team", "input": {"messages": [{"role": LONE}]}}),
        ("/documents", {"documents": [{"text": LONE, "title": LONE, "metadata": {LONE: LONE}}]}),
        ("/documents/search", {"query": LONE, "filters": {LONE: LONE}}),
    ],
)
async def test_half_a_character_is_no_fault_of_the_server(
    app: FastAPI, path: str, body: Any
) -> None:
    async with in_process(app) as client:
        reply = await client.post(path, content=spelled(body), headers=AS_JSON)
    assert reply.status_code < 500, reply.text


@pytest.mark.usefixtures("team")
@settings(
    max_examples=examples.times(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=asked())
async def test_no_json_body_is_a_fault_of_the_server(
    app: FastAPI, request: tuple[str, Any]
) -> None:
    path, body = request
    async with in_process(app) as client:
        reply = await client.post(path, content=spelled(body), headers=AS_JSON)
    assert reply.status_code < 500, (body, reply.text)
    if reply.status_code >= 400:
        assert isinstance(reply.json()["detail"], str)


AS_JSON = {"Content-Type": "application/json"}


def spelled(body: Any) -> bytes:
    """As Python spells JSON, with NaN, lone surrogates and numbers without end."""
    return json.dumps(body).encode()
