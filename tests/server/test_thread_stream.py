"""A thread followed over its runs."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from tests.server.asking import RUNS, THREAD, cut, data, named, steps
from tests.server.surface import SECONDS, Sent, sent, served


@pytest.mark.usefixtures("worker")
async def test_a_thread_is_followed_over_its_runs(app: FastAPI) -> None:
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        for graph in ("writes", "asks"):
            await client.post(f"{RUNS}/wait", json=steps(graph))
        shown = {
            mode: await until(client, f"/threads/{THREAD}/stream?{query}={mode}", ends=ends)
            for mode, query, ends in (
                ("run_modes", "stream_mode", "run_done"),
                ("lifecycle", "stream_modes", "run_done"),
                ("state_update", "stream_mode", "state_update"),
            )
        }
        rest = await until(
            client, f"/threads/{THREAD}/stream", last=shown["run_modes"][3].id, ends="run_done"
        )
    assert named(shown["lifecycle"]) == ["metadata", "run_done"] * 2
    assert [data(event).get("status") for event in shown["lifecycle"]] == [
        None,
        "success",
        None,
        "interrupted",
    ]
    assert named(shown["run_modes"])[:4] == ["metadata", "values", "values", "run_done"]
    assert [data(event)["values"] for event in shown["state_update"]] == [
        {"steps": ["wrote"]},
        {"steps": ["wrote", "looked"]},
    ]
    assert rest == shown["run_modes"][4:]


@pytest.mark.usefixtures("worker")
async def test_a_thread_is_followed_from_now_on_unless_told_otherwise(app: FastAPI) -> None:
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        unknown = await client.get(f"/threads/{THREAD}/stream")
        await client.post(f"{RUNS}/wait", json=steps("writes"))
        told = ""
        async with client.stream("GET", f"/threads/{THREAD}/stream") as reply:
            made = (await client.post(RUNS, json=steps("writes"))).json()
            async for text in reply.aiter_text():
                told += text
                if "run_done" in told:
                    break
    assert unknown.status_code == 404
    assert {data(event)["run_id"] for event in sent(cut(told)) if event.event != "values"} == {
        made["run_id"]
    }


async def until(
    client: httpx.AsyncClient, path: str, *, ends: str, last: str | None = None
) -> list[Sent]:
    """What a thread's stream tells up to the second run's end."""
    headers = {"Last-Event-ID": last or "-1"}
    told = ""
    count = 1 if last else 2
    async with client.stream("GET", path, headers=headers) as reply:
        assert reply.headers["location"].startswith(f"/threads/{THREAD}/stream?stream_mode=")
        async for text in reply.aiter_text():
            told += text
            if cut(told).count(f"event: {ends}\n") == count:
                break
    return sent(cut(told))
