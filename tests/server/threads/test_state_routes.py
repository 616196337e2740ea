"""States of threads on LangGraph's wire, through the front door."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.threads.thread import ThreadRecord
from tests.server.surface import Parts, in_process
from tests.server.threads.by_hand import put_status

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
FIELDS = {
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
}


async def ran(parts: Parts, graph: str, given: Any | None = None) -> ThreadRecord:
    """A thread as a run leaves it."""
    made = await parts.threads.create(metadata={"graph_id": graph})
    async with parts.registry.open(graph, tenant=made.tenant, thread_id=made.thread_id) as graph_:
        await graph_.ainvoke(
            given or {"messages": [("user", "hello")], "count": 1},
            {"configurable": {"thread_id": made.thread_id}},
        )
    return made


async def told(client: httpx.AsyncClient, at: str, **params: Any) -> Any:
    reply = await client.get(at, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_state_has_every_field_and_only_public_names(app: FastAPI, parts: Parts) -> None:
    made = await ran(parts, "talking")
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        reply = await client.get(f"{at}/state")
        state = reply.json()
        assert set(state) == FIELDS
        assert made.checkpoint_thread not in reply.text
        assert [m["content"] for m in state["values"]["messages"]] == ["hello", "You said hello."]
        assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
        assert (state["metadata"]["step"], state["metadata"]["source"]) == (1, "loop")
        assert state["checkpoint"] == {
            "thread_id": made.thread_id,
            "checkpoint_ns": "",
            "checkpoint_id": state["checkpoint_id"],
        }
        assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
        parent = await told(client, f"{at}/state/{state['parent_checkpoint_id']}")
        assert parent["next"] == ["answer"]
        assert len(parent["values"]["messages"]) == 1
        body = {"checkpoint": state["parent_checkpoint"]}
        assert (await client.post(f"{at}/state/checkpoint", json=body)).json() == parent
        thread = await told(client, at)
        assert thread["values"] == state["values"]


async def test_a_thread_without_a_state_has_an_empty_one(app: FastAPI) -> None:
    async with in_process(app) as client:
        thread = (await client.post("/threads", json={})).json()
        state = await told(client, f"/threads/{thread['thread_id']}/state")
        assert set(state) == FIELDS
        assert (state["values"], state["next"], state["checkpoint"]) == ({}, [], None)
        assert await told(client, f"/threads/{thread['thread_id']}/history") == []


@pytest.mark.parametrize(
    "select", [["next", "values.count"], '["next","values.count"]', "next,values.count"]
)
async def test_only_what_is_wanted_of_a_state_is_told(
    app: FastAPI, parts: Parts, select: Any
) -> None:
    made = await ran(parts, "talking")
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        assert await told(client, f"{at}/state", select=select) == {
            "values": {"count": 2},
            "next": [],
        }
        body = {"select": ["checkpoint_id"], "limit": 2}
        history = (await client.post(f"{at}/history", json=body)).json()
        assert [set(state) for state in history] == [{"checkpoint_id"}] * 2


@pytest.mark.parametrize("subgraphs", ["true", "True", "1", "yes"])
async def test_a_pause_within_a_subgraph_is_told_and_looked_into(
    app: FastAPI, parts: Parts, subgraphs: str
) -> None:
    made = await ran(parts, "nested", {"count": 1})
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        flat = await told(client, f"{at}/state", subgraphs="false")
        (task,) = flat["tasks"]
        assert (task["name"], task["state"], task["error"]) == ("inner", None, None)
        assert task["checkpoint"]["thread_id"] == made.thread_id
        assert [one["value"] for one in task["interrupts"]] == [{"question": "May I?"}]
        assert flat["interrupts"] == task["interrupts"]
        reply = await client.get(f"{at}/state", params={"subgraphs": subgraphs})
        assert made.checkpoint_thread not in reply.text
        (task,) = reply.json()["tasks"]
        inner = task["state"]
        assert set(inner) == FIELDS
        assert inner["next"] == ["ask"]
        assert inner["checkpoint"]["checkpoint_ns"] == f"inner:{task['id']}"
        body = {"checkpoint": inner["checkpoint"]}
        same = (await client.post(f"{at}/state/checkpoint", json=body)).json()
        assert same["values"] == inner["values"]
        history = await client.post(f"{at}/history", json={"checkpoint": task["checkpoint"]})
        assert history.json()[0]["checkpoint_id"] == inner["checkpoint_id"]
        body = {"values": {"title": "mine"}, "checkpoint": task["checkpoint"], "as_node": "ask"}
        assert (await client.post(f"{at}/state", json=body)).status_code == 200


async def test_the_inboxs_ignore_clears_what_waits(app: FastAPI, parts: Parts) -> None:
    made = await ran(parts, "asking", {"count": 1})
    await put_status(parts.records.redis, parts.records.keys, made, "interrupted")
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        thread = await told(client, at)
        ((interrupt,),) = thread["interrupts"].values()
        assert set(interrupt) == {"id", "value", "response_schema"}
        assert interrupt["response_schema"] == {"type": "string"}
        listed = (await client.post("/threads/search", json={"status": "interrupted"})).json()
        assert [one["interrupts"] for one in listed] == [thread["interrupts"]]
        reply = await client.post(f"{at}/state", json={"values": None, "as_node": "__end__"})
        assert reply.status_code == 200
        after = await told(client, at)
        assert (after["status"], after["interrupts"]) == ("idle", {})
        state = await told(client, f"{at}/state")
        assert (state["next"], state["interrupts"]) == ([], [])
        assert state["checkpoint_id"] == reply.json()["checkpoint_id"]


async def test_a_thread_forks_where_it_is_changed(app: FastAPI, parts: Parts) -> None:
    made = await ran(parts, "talking")
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        history = (await client.post(f"{at}/history", json={"limit": 10})).json()
        assert len(history) == 3
        # As clients hold it, without the thread's id.
        fork = {
            "checkpoint_id": history[1]["checkpoint_id"],
            "checkpoint_ns": "",
            "checkpoint_map": {},
        }
        body = {"values": {"title": "other"}, "checkpoint": fork, "as_node": "__start__"}
        written = (await client.post(f"{at}/state", json=body)).json()
        assert written["checkpoint"]["thread_id"] == made.thread_id
        assert written["configurable"] == written["checkpoint"]
        state = await told(client, f"{at}/state")
        assert state["checkpoint"] == written["checkpoint"]
        assert state["parent_checkpoint_id"] == fork["checkpoint_id"]
        assert (state["values"]["title"], state["next"]) == ("other", ["answer"])
        by_id = {"values": {"title": "third"}, "checkpoint_id": fork["checkpoint_id"]}
        third = (await client.post(f"{at}/state", json=by_id)).json()
        assert third["checkpoint_id"] != written["checkpoint_id"]


@pytest.mark.parametrize("shape", ["id", "checkpoint", "config"])
async def test_a_history_goes_on_before_a_state(app: FastAPI, parts: Parts, shape: str) -> None:
    made = await ran(parts, "talking")
    at = f"/threads/{made.thread_id}/history"
    async with in_process(app) as client:
        every = (await client.post(at, json={})).json()
        first = every[0]["checkpoint"]
        before: Any = {
            "id": first["checkpoint_id"],
            "checkpoint": first,
            "config": {"configurable": first},
        }[shape]
        assert (await client.post(at, json={"before": before})).json() == every[1:]
        assert await told(client, at, limit=1, before=first["checkpoint_id"]) == every[1:2]
        found = (await client.post(at, json={"metadata": {"source": "input"}})).json()
        assert found == every[-1:]
        ids = [state["checkpoint_id"] for state in every]
        assert [state["parent_checkpoint_id"] for state in every] == [*ids[1:], None]


async def test_metadata_of_a_state_is_patched(app: FastAPI, parts: Parts) -> None:
    made = await ran(parts, "talking")
    at = f"/threads/{made.thread_id}/state"
    async with in_process(app) as client:
        reply = await client.patch(at, json={"metadata": {"liked": True}})
        assert reply.status_code == 200
        state = await told(client, at)
        assert (state["metadata"]["liked"], state["metadata"]["step"]) == (True, 1)
        assert state["checkpoint"] == reply.json()["checkpoint"]


async def test_a_state_is_not_changed_while_a_run_holds_the_thread(
    app: FastAPI, parts: Parts
) -> None:
    made = await ran(parts, "talking")
    redis, keys = parts.records.redis, parts.records.keys
    await redis.set(keys.fence(made.checkpoint_thread), "run:1")
    async with in_process(app) as client:
        for method in ("POST", "PATCH"):
            body: Any = {"values": {"title": "x"}, "as_node": "answer", "metadata": {"a": 1}}
            reply = await client.request(method, f"/threads/{made.thread_id}/state", json=body)
            assert reply.status_code == 409
            assert "busy" in reply.json()["detail"]
        gone = await client.delete(f"/threads/{made.thread_id}")
        assert gone.status_code == 409


NOWHERE = "1ef4f797-8335-6428-8001-8a1503f9b875"


@pytest.mark.parametrize(
    ("method", "at", "body", "status", "named"),
    [
        ("GET", "/threads/none/state", None, 422, "thread_id"),
        ("GET", f"/threads/{THREAD}/state", None, 404, THREAD),
        ("GET", f"/threads/{THREAD}/history", None, 404, THREAD),
        ("POST", f"/threads/{THREAD}/history", {}, 404, THREAD),
        ("POST", f"/threads/{THREAD}/state", {"values": {}}, 404, THREAD),
        ("GET", "T/state?select=mood", None, 422, "select"),
        ("GET", "T/state?select=[1", None, 422, "select"),
        ("GET", "T/state?subgraphs=perhaps", None, 422, "subgraphs"),
        ("GET", f"T/state/{NOWHERE}", None, 404, NOWHERE),
        ("GET", "T/history?limit=0", None, 422, "limit"),
        ("POST", "T/history", {"limit": 100_000}, 422, "limit"),
        ("POST", "T/history", {"before": 7}, 422, "before"),
        ("POST", "T/history", {"select": ["mood"]}, 422, "select"),
        ("POST", "T/state/checkpoint", {}, 422, "checkpoint"),
        ("POST", "T/state/checkpoint", {"checkpoint": {"checkpoint_id": NOWHERE}}, 404, NOWHERE),
        ("POST", "T/state", {"values": {}, "checkpoint_id": NOWHERE}, 404, "checkpoint_id"),
        ("POST", "T/state", {"values": {}, "as_node": "nobody"}, 422, "values"),
        ("POST", "T/state", {"values": {"count": "x"}, "as_node": "answer"}, 422, "values"),
        ("POST", "T/state", {"values": {"count": 2**80}}, 422, "values"),
        (
            "POST",
            "T/state",
            {"values": {}, "checkpoint": {"checkpoint_ns": "none:1"}},
            422,
            "none",
        ),
        ("PATCH", "T/state", {}, 422, "metadata"),
    ],
)
async def test_a_bad_request_is_told_in_words_that_name_the_field(
    app: FastAPI, parts: Parts, method: str, at: str, body: Any, status: int, named: str
) -> None:
    made = await ran(parts, "talking")
    async with in_process(app) as client:
        if at.startswith("T/"):
            at = f"/threads/{made.thread_id}/{at.removeprefix('T/')}"
        reply = await client.request(method, at, json=body)
    assert reply.status_code == status, reply.text
    assert named in reply.json()["detail"]
