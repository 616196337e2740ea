"""Runs that are ended from outside: cancelled, taken back, left by their readers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.asked import of_messages
from server.runs.transitions import RunStatus
from tests.server.asking import THREAD, ask, data, steps
from tests.server.surface import SECONDS, Parts, Team, in_process, sent, served


async def test_a_run_is_looked_at_and_cancelled(app: FastAPI, parts: Parts, team: Team) -> None:
    team.hold = True
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    path = f"/threads/{record.thread_id}/runs/{record.run_id}"
    async with in_process(app) as client:
        await team.begun.wait()
        assert (await client.get(path)).json()["status"] == "running"
        assert (await client.post(f"{path}/cancel")).status_code == 202
        assert (await client.post(f"{path}/cancel?wait=1")).status_code == 204
        told = (await client.get(path)).json()
        reply = await client.get(f"{path}/stream")
        joined = (await client.get(f"{path}/join")).json()
    assert (told["status"], told["cancel_reason"]) == ("interrupted", "cancelled")
    assert data(sent(reply.text)[-2])["error"] == "cancelled"
    assert data(sent(reply.text)[-1])["status"] == "interrupted"
    assert joined["__error__"]["error"] == "cancelled"


async def test_a_run_that_is_taken_back_leaves_nothing(
    app: FastAPI, parts: Parts, team: Team
) -> None:
    team.hold = True
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    path = f"/threads/{record.thread_id}/runs/{record.run_id}"
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        await team.begun.wait()
        waiting = asyncio.create_task(client.get(f"{path}/join"))
        await client.post(f"{path}/cancel?wait=true&action=rollback")
        assert (await waiting).json()["__error__"]["error"] == "cancelled"


@pytest.mark.parametrize(
    "which", [{"status": "all"}, {"status": "running"}, {"thread_id": THREAD}, {"run_ids": 1}]
)
async def test_many_runs_are_cancelled_at_once(
    app: FastAPI, parts: Parts, team: Team, which: dict[str, Any]
) -> None:
    team.hold = True
    question = of_messages([{"role": "user", "content": "x"}])
    record = await parts.runs.create(question, thread_id=THREAD)
    if "run_ids" in which:
        which = {"thread_id": THREAD, "run_ids": [record.run_id]}
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        await team.begun.wait()
        reply = await client.post("/runs/cancel", json=which)
        assert (await parts.runs.wait(record.run_id)).status is RunStatus.CANCELLED
    assert reply.status_code == 204


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
@pytest.mark.parametrize("how", ["stream", "wait"])
async def test_a_reader_who_leaves_ends_the_run_only_if_it_said_so(
    app: FastAPI, parts: Parts, team: Team, on_disconnect: str, how: str
) -> None:
    team.hold = True
    body = ask(on_disconnect=on_disconnect)
    async with asyncio.timeout(SECONDS):
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
            client.stream("POST", f"/runs/{how}", json=body),
        ):
            await team.begun.wait()
        # The server is gone, and with it all that it does about a reader who left.
        if on_disconnect == "continue":
            team.let_go.set()
        record = await parts.runs.wait(team.asked[0].run_id)
    ended = {"cancel": RunStatus.CANCELLED, "continue": RunStatus.SUCCESS}
    assert record.status is ended[on_disconnect]


@pytest.mark.usefixtures("worker")
async def test_a_paused_run_that_is_forgotten_has_ended_for_its_followers_too(
    app: FastAPI, redis: Redis, keys: Keys
) -> None:
    runs = f"/threads/{THREAD}/runs"
    async with in_process(app) as client:
        made = (await client.post(runs, json=steps("asks"))).json()
        await client.get(f"{runs}/{made['run_id']}/join")
        assert await redis.ttl(keys.events("default", THREAD)) == -1
        assert (await client.delete(f"{runs}/{made['run_id']}")).status_code == 204
        assert (await client.get(f"{runs}/{made['run_id']}")).status_code == 404
    found: Any = await redis.xrevrange(keys.events("default", THREAD), count=1)
    assert json.loads(found[0][1][b"e"])["error"] == "cancelled"
    # With no run that goes on or waits, the log is not kept for good.
    assert await redis.ttl(keys.events("default", THREAD)) > 0
