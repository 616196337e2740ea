"""Runs that are not asked for as they have to be, told in words."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from fastapi import FastAPI

from server.runs.asked import of_messages
from tests.server.asking import RUNS, THREAD, ask, steps
from tests.server.surface import SECONDS, Parts, Team, in_process

BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/threads/x/runs/stream", ask(), 422, "thread_id: "),
    ("POST", "/runs/stream", ask(assistant_id="nobody"), 404, "nobody"),
    ("POST", "/runs/stream", {"input": {}}, 422, "assistant_id is missing"),
    ("POST", "/runs/stream", ask(input={}), 422, "input.messages is missing"),
    ("POST", "/runs/stream", ask(input={"messages": []}), 422, "nothing to answer"),
    ("POST", "/runs/stream", ask(input={"messages": [{"type": "x"}]}), 422, "0.role: must"),
    ("POST", "/runs/stream", ask(stream_mode="x"), 422, "stream_mode: no mode 'x'; use"),
    ("POST", "/runs/wait", steps("writes", command={"resume": 1}), 400, "command.resume: "),
    (
        "POST",
        RUNS,
        steps("writes", context={"a": 1}, config={"configurable": {"b": 1}}),
        400,
        "context: ",
    ),
    ("POST", RUNS, steps("writes", multitask_strategy="x"), 422, "multitask_strategy: "),
    ("POST", RUNS, steps("writes", if_not_exists="reject"), 404, THREAD),
    ("POST", RUNS, [], 422, "body"),
    ("POST", "/runs/batch", {}, 422, "list"),
    ("POST", "/runs/batch", [], 422, "at least 1"),
    ("POST", "/runs/batch", [{"input": 1}], 422, "0.assistant_id is missing"),
    ("GET", f"{RUNS}?limit=0", None, 422, "limit: "),
    ("GET", f"{RUNS}?status=x", None, 422, "status: must be one of"),
    ("GET", f"{RUNS}?select=x", None, 422, "select: no field 'x'"),
    ("GET", f"{RUNS}/{THREAD}", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/x", None, 422, "run_id: "),
    ("DELETE", f"{RUNS}/{THREAD}", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/{THREAD}/stream", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/{THREAD}/stream?stream_mode=x", None, 422, "stream_mode: no mode"),
    ("GET", f"{RUNS}/{THREAD}/join", None, 404, f"no run {THREAD}"),
    ("GET", f"/runs/{THREAD}/stream", None, 404, f"no run {THREAD}"),
    ("POST", f"{RUNS}/{THREAD}/cancel", None, 404, f"no run {THREAD}"),
    ("POST", f"{RUNS}/{THREAD}/cancel?action=x", None, 422, "action: "),
    ("POST", "/runs/cancel", {}, 422, "say which"),
    ("POST", "/runs/cancel", {"run_ids": ["x"]}, 422, "run_ids.0: "),
    ("GET", f"/threads/{THREAD}/stream", None, 404, THREAD),
    ("GET", f"/threads/{THREAD}/stream?stream_mode=values", None, 422, "use lifecycle"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), BAD)
async def test_a_bad_request_is_told_in_words(
    app: FastAPI, method: str, path: str, body: Any, status: int, said: str
) -> None:
    async with in_process(app) as client:
        reply = await client.request(method, path, json=body)
    assert reply.status_code == status
    assert said in reply.json()["detail"]


async def test_a_busy_thread_refuses_a_run_that_would_not_wait(app: FastAPI, team: Team) -> None:
    team.hold = True
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        made = await client.post(RUNS, json=ask())
        busy = await client.post(RUNS, json=ask(multitask_strategy="reject"))
        early = await client.delete(made.headers["content-location"])
        team.let_go.set()
        await client.get(made.headers["content-location"] + "/join")
    assert (busy.status_code, early.status_code) == (409, 409)
    assert THREAD in busy.json()["detail"]


@pytest.mark.parametrize("given", ["x", "1-x", "9" * 30, "1-1-1", "-2"])
async def test_an_id_that_is_none_is_refused(app: FastAPI, given: str) -> None:
    async with in_process(app) as client:
        path = f"{RUNS}/{THREAD}/stream"
        reply = await client.get(path, headers={"Last-Event-ID": given})
    assert reply.status_code == 422
    assert "Last-Event-ID" in reply.json()["detail"]


async def test_a_run_is_found_only_on_its_thread(app: FastAPI, parts: Parts) -> None:
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    async with in_process(app) as client:
        reply = await client.get(f"/threads/{uuid.uuid4()}/runs/{record.run_id}")
    assert reply.status_code == 404


@pytest.mark.usefixtures("worker")
async def test_a_thread_that_goes_with_its_run_takes_no_other(app: FastAPI) -> None:
    async with in_process(app) as client:
        made = (await client.post("/runs", json=steps("asks"))).json()
        runs = f"/threads/{made['thread_id']}/runs"
        await client.get(f"{runs}/{made['run_id']}/join")
        answer = {"assistant_id": "asks", "command": {"resume": "yes"}}
        refused = await client.post(runs, json=answer)
        assert refused.status_code == 409
        assert f"goes with run {made['run_id']}" in refused.json()["detail"]
        kept = (await client.post("/runs", json=steps("asks", on_completion="keep"))).json()
        runs = f"/threads/{kept['thread_id']}/runs"
        await client.get(f"{runs}/{kept['run_id']}/join")
        done = await client.post(f"{runs}/wait", json=answer)
        assert done.json() == {"steps": ["looked", "told yes"]}
