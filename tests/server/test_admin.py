"""What operators see of runs, and how they set one or its thread going again."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from graphs.keys import Keys, thread_name
from server.runs.asked import of_messages
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from tests.server.surface import Parts, Team, configured, hashed, in_process

KEYS = [
    {"name": "ann", "sha256": hashed("user"), "tenant": "acme"},
    {"name": "ops", "sha256": hashed("ops"), "tenant": "acme", "roles": ["operator"]},
    {"name": "root", "sha256": hashed("root"), "roles": ["admin"]},
]
NOBODY = "00000000-0000-4000-8000-000000000000"


async def asked(parts: Parts, *, tenant: str = "default", thread: str | None = None) -> RunRecord:
    messages = [{"role": "user", "content": "x"}]
    return await parts.runs.create(of_messages(messages), tenant=tenant, thread_id=thread)


async def look(client: httpx.AsyncClient, run: RunRecord) -> dict[str, Any]:
    reply = await client.get(f"/admin/runs/{run.run_id}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_only_operators_see_runs_and_only_admins_those_of_other_tenants(
    parts: Parts,
) -> None:
    theirs, ours = await asked(parts, tenant="other"), await asked(parts, tenant="acme")
    app = configured(parts, keys=KEYS)
    seen = {}
    for key in ("user", "ops", "root"):
        async with in_process(app, **{"x-api-key": key}) as client:
            listed = await client.get("/admin/runs")
            one = await client.get(f"/admin/runs/{theirs.run_id}")
            failed = await client.post(f"/admin/runs/{NOBODY}/fail", json={"reason": "x"})
            named = await client.get("/admin/runs", params={"tenant": "other"})
            ids = [item["run_id"] for item in listed.json().get("items", [])]
            statuses = [reply.status_code for reply in (listed, one, failed, named)]
            seen[key] = (statuses, ids)
    assert seen == {
        "user": ([403, 403, 403, 403], []),
        "ops": ([200, 404, 404, 403], [ours.run_id]),
        "root": ([200, 200, 404, 200], [ours.run_id, theirs.run_id]),
    }


async def test_a_run_says_what_it_waits_for(parts: Parts, app: FastAPI) -> None:
    first = await asked(parts)
    second = await asked(parts, thread=first.thread_id)
    async with in_process(app) as client:
        told = await look(client, first)
        assert "No worker is there" in told["why"]
        assert (told["status"], told["attempts"], told["workers"]) == ("pending", 0, 0)
        assert told["asked"]["input"]["messages"][0]["content"] == "x"
        behind = await look(client, second)
        assert first.run_id in behind["why"]
        assert behind["thread_head"] == first.run_id
        held = await parts.records.claim(first.run_id, worker="w1")
        assert "Worker w1 works on it, attempt 1" in (await look(client, first))["why"]
        assert held.attempt == 1
        pending = await client.get("/admin/runs", params={"status": "pending"})
        assert [item["run_id"] for item in pending.json()["items"]] == [second.run_id]


async def test_a_run_is_failed_with_its_reason_and_made_anew(parts: Parts, app: FastAPI) -> None:
    run = await asked(parts)
    async with in_process(app) as client:
        empty = await client.post(f"/admin/runs/{run.run_id}/fail", json={"reason": ""})
        assert empty.status_code == 422
        done = await client.post(f"/admin/runs/{run.run_id}/fail", json={"reason": "closed"})
        assert (done.json()["status"], done.json()["error"]) == ("error", "closed")
        again = await client.post(f"/admin/runs/{run.run_id}/fail", json={"reason": "closed"})
        assert again.status_code == 409
        assert "closed" in (await look(client, run))["why"]
        entries = [entry async for entry in parts.runs.events(run.run_id)]
        assert "closed" in str(entries[-1].event)
        anew = (await client.post(f"/admin/runs/{run.run_id}/requeue")).json()
    assert anew["run_id"] != run.run_id
    assert (anew["thread_id"], anew["status"]) == (run.thread_id, "pending")


async def test_a_run_is_requeued_or_cancelled_by_hand(
    parts: Parts, app: FastAPI, team: Team
) -> None:
    team.hold = True
    run = await asked(parts)
    await team.begun.wait()
    async with in_process(app) as client:
        refused = await client.post(f"/admin/runs/{run.run_id}/requeue")
        assert (refused.status_code, "running" in refused.json()["detail"]) == (409, True)
        done = await client.post(f"/admin/runs/{run.run_id}/cancel")
        assert done.status_code == 200
    assert (await parts.runs.wait(run.run_id)).status is RunStatus.CANCELLED


async def unlocked(app: FastAPI, run: RunRecord) -> httpx.Response:
    async with in_process(app) as client:
        return await client.post(f"/admin/threads/{run.thread_id}/unlock")


async def test_a_thread_that_a_live_worker_holds_is_left_alone(parts: Parts, app: FastAPI) -> None:
    run = await asked(parts)
    await parts.records.claim(run.run_id, worker="w1")
    refused = await unlocked(app, run)
    assert refused.status_code == 409
    said = refused.json()["detail"]
    assert all(word in said for word in (run.run_id, "w1", "counterpoint runs cancel"))
    assert (await parts.runs.get(run.run_id)).status is RunStatus.RUNNING


async def test_a_thread_whose_worker_is_gone_goes_on(
    parts: Parts, app: FastAPI, redis: Redis, keys: Keys
) -> None:
    run = await asked(parts)
    await parts.records.claim(run.run_id, worker="w1", lease_seconds=0)
    done = await unlocked(app, run)
    assert done.json() == {
        "thread_id": run.thread_id,
        "released": [
            {"run_id": run.run_id, "why": "its worker is gone; it begins again from its last step"}
        ],
        "waiting": 1,
    }
    assert (await parts.runs.get(run.run_id)).status is RunStatus.PENDING
    assert await redis.get(keys.fence(thread_name(run.tenant, run.thread_id))) is None


@pytest.mark.parametrize("state", ["gone", "over"])
async def test_a_thread_is_let_go_of_by_a_run_that_is_over_or_has_no_record(
    parts: Parts, app: FastAPI, redis: Redis, keys: Keys, state: str
) -> None:
    """As after a restore from a backup: the record and the locks are not of the same moment."""
    ghost, thread = str(uuid.uuid4()), await asked(parts)
    await parts.runs.fail(thread.run_id, reason="closed")
    run_id = ghost if state == "gone" else thread.run_id
    fence = keys.fence(thread_name("default", thread.thread_id))
    await redis.set(fence, f"{run_id}:1")
    await redis.zadd(keys.thread_queue("default", thread.thread_id), {run_id: 0})
    waiting = await asked(parts, thread=thread.thread_id)
    done = (await unlocked(app, thread)).json()
    assert [one["run_id"] for one in done["released"]] == [run_id]
    assert await redis.get(fence) is None
    found = await parts.runs.explain(waiting.run_id)
    assert (found.place_in_thread, found.dispatched is not None) == (0, True)


async def test_a_thread_that_is_well_stays_as_it_is(parts: Parts, app: FastAPI) -> None:
    run = await asked(parts)
    done = await unlocked(app, run)
    assert (done.json()["released"], done.json()["waiting"]) == ([], 1)
    async with in_process(app) as client:
        assert (await client.post(f"/admin/threads/{NOBODY}/unlock")).status_code == 404
