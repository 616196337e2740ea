"""Threads on LangGraph's wire, through the front door."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.wire.extracting import found, path
from server.wire.queries import names
from tests import examples
from tests.server.surface import Parts, in_process

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
TALK = {"values": {"messages": [{"type": "human", "content": "hello"}], "count": 1}}
STEPS = [{"updates": [{**TALK, "as_node": "__start__"}]}]


async def made(client: httpx.AsyncClient, **body: Any) -> Any:
    reply = await client.post("/threads", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_thread_is_made_shown_changed_and_deleted(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await made(client, metadata={"user": "ann"}, unknown=1)
        assert set(thread) == {
            "thread_id",
            "created_at",
            "updated_at",
            "state_updated_at",
            "metadata",
            "status",
            "config",
            "context",
            "error",
            "values",
            "interrupts",
        }
        assert (thread["status"], thread["values"], thread["interrupts"]) == ("idle", None, {})
        at = f"/threads/{thread['thread_id']}"
        assert (await client.get(at)).json() == thread
        patched = await client.patch(at, json={"metadata": {"topic": "refunds"}})
        assert patched.json()["metadata"] == {"user": "ann", "topic": "refunds"}
        minimal = {"Prefer": "return=minimal"}
        quiet = await client.patch(at, json={"metadata": {"user": None}}, headers=minimal)
        assert (quiet.status_code, quiet.content) == (204, b"")
        assert (await client.get(at)).json()["metadata"] == {"user": None, "topic": "refunds"}
        gone = await client.delete(at)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await client.get(at)).status_code == 404
        assert (await client.delete(at)).status_code == 404


async def test_an_id_is_taken_once_and_given_back_where_that_is_asked(app: FastAPI) -> None:
    async with in_process(app) as client:
        first = await made(client, thread_id=THREAD, metadata={"a": 1})
        taken = await client.post("/threads", json={"thread_id": THREAD.upper()})
        assert taken.status_code == 409
        assert "already" in taken.json()["detail"]
        again = await made(client, thread_id=THREAD, metadata={"a": 2}, if_exists="do_nothing")
        assert again == first
        empty = await client.post("/threads")
        assert empty.json()["thread_id"] != THREAD


async def test_a_time_to_live_is_told_only_when_asked(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = await made(client, ttl={"ttl": 30, "strategy": "keep_latest"})
        assert "ttl" not in thread
        at = f"/threads/{thread['thread_id']}"
        ttl = (await client.get(at, params={"include": "ttl"})).json()["ttl"]
        assert (ttl["ttl_minutes"], ttl["strategy"]) == (30, "keep_latest")
        assert ttl["expires_at"] > thread["updated_at"]
        await client.patch(at, json={"metadata": {}, "ttl": 5})
        ttl = (await client.get(at, params={"include": '["ttl"]'})).json()["ttl"]
        assert (ttl["ttl_minutes"], ttl["strategy"]) == (5, "delete")
        reply = await client.get(at, params={"include": "tll"})
    assert (reply.status_code, reply.json()["detail"]) == (422, "include: no field 'tll'; use ttl")


async def test_supersteps_are_replayed_and_half_a_history_is_none(app: FastAPI) -> None:
    steps = [*STEPS, {"updates": [{"values": {"title": "x"}, "as_node": "answer"}]}]
    async with in_process(app) as client:
        thread = await made(client, metadata={"graph_id": "talking"}, supersteps=steps)
        assert thread["values"]["title"] == "x"
        assert thread["values"]["messages"][0]["content"] == "hello"
        assert thread["status"] == "idle"
        history = (await client.get(f"/threads/{thread['thread_id']}/history")).json()
        assert [state["metadata"]["step"] for state in history] == [1, 0]
        broken = [*STEPS, {"updates": [{"values": {}, "as_node": "nobody"}]}]
        body = {"metadata": {"graph_id": "talking"}, "supersteps": broken}
        refused = await client.post("/threads", json={**body, "thread_id": THREAD})
        assert refused.status_code == 422
        assert "nobody" in refused.json()["detail"]
        assert (await client.get(f"/threads/{THREAD}")).status_code == 404
        assert (await client.post("/threads/count", json={})).json() == 1


async def test_a_superstep_may_be_a_command(app: FastAPI) -> None:
    def after(command: Any) -> list[Any]:
        return [*STEPS, {"updates": [{"command": command, "as_node": "answer"}]}]

    async with in_process(app) as client:
        body: dict[str, Any] = {"metadata": {"graph_id": "talking"}}
        written = await made(client, **body, supersteps=after({"update": {"title": "x"}}))
        assert written["values"]["title"] == "x"
        again = await made(client, **body, supersteps=after({"goto": "answer"}))
        state = (await client.get(f"/threads/{again['thread_id']}/state")).json()
        assert (state["next"], again["status"]) == (["answer"], "interrupted")
        for bad in ({"update": [1]}, {"goto": [{"input": 1}]}):
            refused = await client.post("/threads", json={**body, "supersteps": after(bad)})
            assert refused.status_code == 422, refused.text


@pytest.mark.parametrize("deep", [100, 100_000])
async def test_what_is_nested_too_deep_is_refused(app: FastAPI, deep: int) -> None:
    nested = b'{"metadata": {"a": ' + b"[" * deep + b"]" * deep + b"}}"
    async with in_process(app) as client:
        reply = await client.post(
            "/threads", content=nested, headers={"content-type": "application/json"}
        )
    assert reply.status_code == 422
    assert isinstance(reply.json()["detail"], str)


async def test_a_search_is_filtered_sorted_cut_and_paged(app: FastAPI) -> None:
    async with in_process(app) as client:
        threads = [
            await made(client, metadata={"n": n, "odd": bool(n % 2), "deep": {"n": n}})
            for n in range(5)
        ]
        ids = [thread["thread_id"] for thread in threads]

        async def ask(**body: Any) -> tuple[list[int], httpx.Headers]:
            reply = await client.post("/threads/search", json=body)
            return [one["metadata"]["n"] for one in reply.json()], reply.headers

        assert (await ask())[0] == [4, 3, 2, 1, 0]
        assert (await ask(metadata={"odd": True}))[0] == [3, 1]
        assert (await ask(metadata={"odd": 1}))[0] == []
        assert (await ask(metadata={"deep": {"n": 2}}))[0] == [2]
        assert (await ask(ids=ids[:2], sort_order="asc"))[0] == [0, 1]
        assert (await ask(status="busy"))[0] == []
        await client.patch(f"/threads/{ids[1]}", json={"metadata": {"seen": True}})
        assert (await ask(sort_by="updated_at"))[0] == [1, 4, 3, 2, 0]
        by_id = [n for _, n in sorted(zip(ids, range(5), strict=True))]
        assert (await ask(sort_by="thread_id", sort_order="asc"))[0] == by_id
        page, headers = await ask(limit=2, offset=1)
        assert (page, headers["x-pagination-total"]) == ([3, 2], "5")
        assert headers["x-pagination-next"] == "3"
        _, headers = await ask(limit=2, offset=3)
        assert "x-pagination-next" not in headers
        assert (await client.post("/threads/count", json={"metadata": {"odd": False}})).json() == 3
        assert (await client.post("/threads/count")).json() == 5


async def test_a_search_by_values_extracts_and_selects(app: FastAPI) -> None:
    async with in_process(app) as client:
        for title in ("one", "two"):
            steps = [{"updates": [{"values": {"title": title}, "as_node": "answer"}]}]
            metadata = {"graph_id": "talking"}
            await made(client, metadata=metadata, supersteps=[*STEPS, *steps])
        await made(client)
        body: dict[str, Any] = {
            "values": {"title": "two"},
            "select": ["thread_id", "status"],
            "extract": {
                "last": "values.messages[-1].content",
                "graph": "metadata.graph_id",
                "none": "values.messages[7].content",
            },
        }
        (thread,) = (await client.post("/threads/search", json=body)).json()
        assert set(thread) == {"thread_id", "status", "extracted"}
        assert thread["extracted"] == {"last": "hello", "graph": "talking", "none": None}
        count = {"values": {"messages": [{"content": "hello"}]}}
        assert (await client.post("/threads/count", json=count)).json() == 2


async def test_a_copy_and_a_prune(app: FastAPI) -> None:
    async with in_process(app) as client:
        first = await made(client, metadata={"graph_id": "talking"}, supersteps=STEPS * 2)
        copied = (await client.post(f"/threads/{first['thread_id']}/copy")).json()
        assert copied["thread_id"] != first["thread_id"]
        assert (copied["values"], copied["metadata"]) == (first["values"], first["metadata"])
        at = f"/threads/{copied['thread_id']}/history"
        history = (await client.post(at, json={})).json()
        assert {state["checkpoint"]["thread_id"] for state in history} == {copied["thread_id"]}
        ids = [first["thread_id"], copied["thread_id"], THREAD]
        kept = {"thread_ids": ids, "strategy": "keep_latest"}
        assert (await client.post("/threads/prune", json=kept)).json() == {"pruned_count": 2}
        assert len((await client.post(at, json={})).json()) == 1
        pruned = await client.post("/threads/prune", json={"thread_ids": ids})
        assert pruned.json() == {"pruned_count": 2}
        assert (await client.post("/threads/count", json={})).json() == 0


@pytest.mark.parametrize(
    ("method", "at", "body", "status", "named"),
    [
        ("GET", "/threads/none", None, 422, "thread_id"),
        ("GET", f"/threads/{THREAD}", None, 404, THREAD),
        ("POST", "/threads", {"thread_id": "x"}, 422, "thread_id"),
        ("POST", "/threads", {"metadata": [1]}, 422, "metadata"),
        ("POST", "/threads", {"metadata": {"a": 2**70}}, 422, "metadata"),
        ("POST", "/threads", {"if_exists": "maybe"}, 422, "if_exists"),
        ("POST", "/threads", {"ttl": {"ttl": -1}}, 422, "ttl"),
        ("POST", "/threads", {"ttl": True}, 422, "ttl"),
        ("POST", "/threads", {"supersteps": [{"updates": []}]}, 422, "supersteps"),
        ("POST", "/threads", [], 422, "body"),
        ("PATCH", f"/threads/{THREAD}", {"metadata": {}}, 404, THREAD),
        ("POST", f"/threads/{THREAD}/copy", None, 404, THREAD),
        ("POST", "/threads/search", {"limit": 0}, 422, "limit"),
        ("POST", "/threads/search", {"limit": 10**9}, 422, "limit"),
        ("POST", "/threads/search", {"offset": -1}, 422, "offset"),
        ("POST", "/threads/search", {"status": "asleep"}, 422, "status"),
        ("POST", "/threads/search", {"sort_by": "mood"}, 422, "sort_by"),
        ("POST", "/threads/search", {"select": ["mood"]}, 422, "select"),
        ("POST", "/threads/search", {"ids": ["x"]}, 422, "ids"),
        ("POST", "/threads/search", {"extract": {"a": "b..c"}}, 422, "extract"),
        ("POST", "/threads/search", {"extract": {str(n): "a" for n in range(11)}}, 422, "extract"),
        ("POST", "/threads/prune", {"thread_ids": ["x"]}, 422, "thread_ids"),
        ("POST", "/threads/prune", {"thread_ids": [], "strategy": "burn"}, 422, "strategy"),
    ],
)
async def test_a_bad_request_is_told_in_words_that_name_the_field(
    app: FastAPI, method: str, at: str, body: Any, status: int, named: str
) -> None:
    async with in_process(app) as client:
        reply = await client.request(method, at, json=body)
    assert reply.status_code == status, reply.text
    assert named in reply.json()["detail"]


async def test_text_that_utf8_cannot_hold_is_kept_as_near_as_can_be(app: FastAPI) -> None:
    async with in_process(app) as client:
        reply = await client.post(
            "/threads",
            content=b'{"metadata": {"a\\ud800": "\\udfff", "n": NaN}}',
            headers={"content-type": "application/json"},
        )
        assert reply.status_code == 422
        reply = await client.post(
            "/threads",
            content=b'{"metadata": {"a\\ud800": "\\udfff"}}',
            headers={"content-type": "application/json"},
        )
    assert reply.json()["metadata"] == {"a?": "?"}


async def test_a_thread_of_another_tenant_is_not_there(app: FastAPI, parts: Parts) -> None:
    made = await parts.threads.create(tenant="other", metadata={"a": 1})
    async with in_process(app) as client:
        assert (await client.get(f"/threads/{made.thread_id}")).status_code == 404
        assert (await client.get(f"/threads/{made.thread_id}/state")).status_code == 404
        assert (await client.post("/threads/count", json={})).json() == 0


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
FIELDS = [
    "thread_id metadata if_exists supersteps ttl values ids status limit offset sort_by sort_order",
    "select extract thread_ids strategy checkpoint checkpoint_id as_node before subgraphs",
]
BODIES = ANY | st.dictionaries(st.sampled_from(" ".join(FIELDS).split()), ANY, max_size=4)


@settings(
    max_examples=examples.times(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    at=st.sampled_from(
        "threads threads/search threads/count threads/prune T/state T/history "
        "T/state/checkpoint T PATCH".split()
    ),
    body=BODIES,
)
async def test_whatever_comes_in_the_answer_is_no_fault_of_ours(
    app: FastAPI, parts: Parts, at: str, body: Any
) -> None:
    thread_id = str(uuid.uuid4())
    await parts.threads.create(thread_id=thread_id, metadata={"graph_id": "talking"})
    method = "PATCH" if at in {"T", "PATCH"} else "POST"
    place = at.replace("PATCH", "T/state").replace("T", f"threads/{thread_id}", 1)
    async with in_process(app) as client:
        reply = await client.request(
            method,
            f"/{place}",
            content=json.dumps(body),
            headers={"content-type": "application/json"},
        )
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        assert isinstance(reply.json()["detail"], str)


@given(st.lists(st.text("abc", min_size=1, max_size=3) | st.integers(-3, 3), min_size=1))
def test_a_path_is_read_as_it_is_written(steps: list[str | int]) -> None:
    steps = ["root", *steps]
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in steps)[1:]
    assert path(text) == tuple(steps)


@pytest.mark.parametrize("text", ["", ".", "a.", "a[", "a[x]", "[0]", "a..b", "a[0]b", "a]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        path(text)


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    value = {"a": [{"b": 1}, {"b": None}]}
    assert [found(value, path(text)) for text in ("a[0].b", "a[-1].b", "a[2].b", "a.b", "c")] == [
        1,
        None,
        None,
        None,
        None,
    ]


@given(st.lists(st.text("abc.", min_size=1, max_size=4), unique=True))
def test_a_list_in_a_query_is_the_same_in_every_spelling(words: list[str]) -> None:
    assert names(words) == words
    assert names([json.dumps(words)]) == words
    assert names([",".join(words)]) == words
