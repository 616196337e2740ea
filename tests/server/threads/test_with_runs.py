"""Threads as real runs leave them: listed, paused, ignored, forked, copied, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from server.runs.asked import Asked
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.threads.thread import TimeToLive
from tests.server import served_graphs
from tests.server.surface import Parts, in_process

pytestmark = pytest.mark.usefixtures("worker")


async def done(parts: Parts, asked: Asked, *, thread_id: str | None = None) -> RunRecord:
    """A run that is over, or paused."""
    made = await parts.runs.create(asked, thread_id=thread_id)
    return await parts.runs.wait(made.run_id)


def asked(graph: str, **more: Any) -> Asked:
    given = {"messages": [{"role": "user", "content": "hello"}], "count": 1}
    return Asked(graph=graph, assistant_id=graph, input=given, **more)


async def test_a_run_is_found_by_its_graph_and_its_assistant(app: FastAPI, parts: Parts) -> None:
    run = await done(parts, asked("talking"))
    assert run.status is RunStatus.SUCCESS
    async with in_process(app) as client:
        for metadata in ({"graph_id": "talking"}, {"assistant_id": "talking"}):
            body = {"metadata": metadata, "status": "idle"}
            (thread,) = (await client.post("/threads/search", json=body)).json()
            assert thread["thread_id"] == run.thread_id
        assert [m["content"] for m in thread["values"]["messages"]] == [
            "hello",
            "You said hello.",
        ]
        await done(parts, asked("asking"), thread_id=run.thread_id)
        body = {"metadata": {"graph_id": "talking"}}
        assert (await client.post("/threads/count", json=body)).json() == 0
        assert (await client.post("/threads/count", json={"status": "interrupted"})).json() == 1


async def test_what_waits_goes_on_waiting_where_a_run_cannot_begin(
    app: FastAPI, parts: Parts
) -> None:
    run = await done(parts, asked("asking"))
    body: Any = {
        "assistant_id": "asking",
        "input": {"count": 1},
        "checkpoint_id": "1f1ed7bb-e3d5-68df-bfff-714daadcc1f0",
    }
    async with in_process(app) as client:
        refused = await client.post(f"/threads/{run.thread_id}/runs", json=body)
        thread = (await client.get(f"/threads/{run.thread_id}")).json()
    assert refused.status_code == 404
    assert "has no checkpoint 1f1ed7bb" in refused.json()["detail"]
    assert thread["status"] == "interrupted"
    assert (await parts.runs.get(run.run_id)).status is RunStatus.INTERRUPTED


async def test_what_waits_is_listed_and_ignored(app: FastAPI, parts: Parts) -> None:
    run = await done(parts, asked("asking"))
    assert run.status is RunStatus.INTERRUPTED
    at = f"/threads/{run.thread_id}"
    async with in_process(app) as client:
        (listed,) = (await client.post("/threads/search", json={"status": "interrupted"})).json()
        ((interrupt,),) = listed["interrupts"].values()
        assert interrupt["value"] == {"question": "May I?"}
        body: Any = {"values": None, "as_node": "__end__"}
        assert (await client.post(f"{at}/state", json=body)).status_code == 200
        thread = (await client.get(at)).json()
        assert (thread["status"], thread["interrupts"]) == ("idle", {})
    assert (await parts.runs.get(run.run_id)).status is RunStatus.CANCELLED
    after = await done(parts, asked("talking"), thread_id=run.thread_id)
    assert after.status is RunStatus.SUCCESS


async def test_a_thread_that_waits_for_a_person_goes_with_its_run(
    app: FastAPI, parts: Parts
) -> None:
    run = await done(parts, asked("asking"))
    async with in_process(app) as client:
        assert (await client.delete(f"/threads/{run.thread_id}")).status_code == 204
    with pytest.raises(RunNotFoundError):
        await parts.runs.get(run.run_id)
    assert await parts.runs.of_thread(run.thread_id, tenant=run.tenant) == []
    assert await parts.runs.search(limit=10, offset=0) == []
    fresh = await done(parts, asked("talking"), thread_id=run.thread_id)
    async with in_process(app) as client:
        history = (await client.post(f"/threads/{run.thread_id}/history", json={})).json()
    assert len(history) == 3
    assert fresh.status is RunStatus.SUCCESS


async def test_a_copy_of_a_paused_thread_is_answered_apart_from_it(
    app: FastAPI, parts: Parts
) -> None:
    run = await done(parts, asked("asking"))
    async with in_process(app) as client:
        copied = (await client.post(f"/threads/{run.thread_id}/copy")).json()
        assert copied["status"] == "interrupted"
        ((interrupt,),) = copied["interrupts"].values()
        resumed = Asked(graph="asking", assistant_id="asking", command={"resume": "yes"})
        await done(parts, resumed, thread_id=copied["thread_id"])
        answered = (await client.get(f"/threads/{copied['thread_id']}")).json()
        assert (answered["values"]["title"], answered["status"]) == ("yes", "idle")
        first = (await client.get(f"/threads/{run.thread_id}")).json()
        assert first["interrupts"] == {next(iter(first["interrupts"])): [interrupt]}


async def test_a_copy_stays_whole_when_a_run_of_its_source_is_taken_back(
    app: FastAPI, parts: Parts
) -> None:
    run = await done(parts, asked("asking"))
    at = f"/threads/{run.thread_id}"
    async with in_process(app) as client:
        copies = [(await client.post(f"{at}/copy")).json()["thread_id"] for _ in range(2)]
        body = {"values": {"title": "mine"}, "as_node": "ask"}
        assert (await client.post(f"/threads/{copies[1]}/state", json=body)).status_code == 200
        before = [(await client.get(f"/threads/{one}/history")).json() for one in copies]
        assert [len(states) for states in before] == [2, 3]
        await client.post(f"{at}/runs/{run.run_id}/cancel?action=rollback&wait=1")
        # Begins when the other one is taken back.
        fresh = await done(parts, asked("talking"), thread_id=run.thread_id)
        of_source = (await client.get(f"{at}/history")).json()
        assert {state["metadata"]["run_id"] for state in of_source} == {fresh.run_id}
        after = [(await client.get(f"/threads/{one}/history")).json() for one in copies]
        assert after == before


async def test_a_run_goes_on_from_where_a_state_was_changed(app: FastAPI, parts: Parts) -> None:
    run = await done(parts, asked("talking"))
    at = f"/threads/{run.thread_id}"
    async with in_process(app) as client:
        history = (await client.post(f"{at}/history", json={})).json()
        body = {
            "values": {"messages": [{"role": "user", "content": "bye"}]},
            "as_node": "__start__",
            "checkpoint": history[-1]["checkpoint"],
        }
        written = (await client.post(f"{at}/state", json=body)).json()
        assert (await client.get(at)).json()["status"] == "interrupted"
        on = Asked(graph="talking", assistant_id="talking", checkpoint=written["checkpoint"])
        assert (await done(parts, on, thread_id=run.thread_id)).status is RunStatus.SUCCESS
        thread = (await client.get(at)).json()
    assert [m["content"] for m in thread["values"]["messages"]][-2:] == ["bye", "You said bye."]
    assert thread["status"] == "idle"


async def test_a_thread_is_not_changed_while_its_run_works(app: FastAPI, parts: Parts) -> None:
    gate = served_graphs.gates["held thread"]
    made = await parts.runs.create(
        Asked(graph="gated", assistant_id="gated", input={"gate": "held thread"})
    )
    at = f"/threads/{made.thread_id}"
    async with in_process(app) as client:
        await gate.reached.wait()
        assert (await client.get(at)).json()["status"] == "busy"
        update = await client.post(f"{at}/state", json={"values": {}})
        refused = [update, await client.delete(at)]
        assert [reply.status_code for reply in refused] == [409, 409]
        prune = {"thread_ids": [made.thread_id]}
        assert (await client.post("/threads/prune", json=prune)).json() == {"pruned_count": 0}
        gate.opened.set()
        await parts.runs.wait(made.run_id)
        assert (await client.get(at)).json()["status"] == "idle"


async def test_a_thread_stays_for_a_run_that_is_to_begin_later(app: FastAPI, parts: Parts) -> None:
    later = await parts.runs.create(asked("talking"), after_seconds=3600)
    at = f"/threads/{later.thread_id}"
    async with in_process(app) as client:
        assert (await client.delete(at)).status_code == 409
        prune = {"thread_ids": [later.thread_id]}
        assert (await client.post("/threads/prune", json=prune)).json() == {"pruned_count": 0}
        over = TimeToLive(minutes=0)
        assert not await parts.threads.expire(later.thread_id, ttl=over)
        assert (await parts.runs.get(later.run_id)).status is RunStatus.PENDING
        await parts.runs.cancel(later.run_id)
        assert (await client.delete(at)).status_code == 204
