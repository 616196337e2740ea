"""Two endpoints that report what vLLM reports, behind a whole house and its front door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import models.pool
from models.embedder import HashedEmbedder
from models.pool import EndpointStatus
from models.progress import RecordedProgress
from server.app import build
from server.house import House, open_house
from server.settings import Settings
from tests.doubles.openai_endpoint import Call, Cut, Says
from tests.doubles.vllm_endpoint import Load, VLLMEndpoint
from tests.server.surface import in_process

SECONDS = 60.0


def replies(text: str, **more: Any) -> Says:
    """The coordinator's plan to say something."""
    plan = {"move": "reply", "text": text, "tasks": []}
    return Says(calls=(Call(name="answer", args=json.dumps(plan)),), finish="tool_calls", **more)


@asynccontextmanager
async def served(
    folder: Path, a: VLLMEndpoint, b: VLLMEndpoint, small: VLLMEndpoint
) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    for one in (a, b, small):
        await one.up()
    settings = Settings.model_validate(
        {
            "data_dir": folder / "data",
            "models": {
                "big": {
                    "model": "some-model",
                    "urls": [a.url, b.url],
                    "tools": "native",
                    "fallback": ["small"],
                    "priority": True,
                },
                "small": {"model": "some-model", "url": small.url, "tools": "native"},
            },
            "roles": {"worker": "big"},
        }
    )
    try:
        async with (
            asyncio.timeout(SECONDS),
            open_house(
                settings, progress=RecordedProgress(), embedder=HashedEmbedder(dimension=64)
            ) as house,
            in_process(build(house)) as client,
        ):
            client.timeout = httpx.Timeout(SECONDS)
            yield house, client
    finally:
        for one in (a, b, small):
            await one.aclose()
            one.assert_exhausted()


async def ask(
    house: House, client: httpx.AsyncClient, **more: Any
) -> tuple[str, Sequence[tuple[str, bool]], Mapping[str, Any]]:
    """What the team answers, which model made which attempt, and what it took."""
    said = {"role": "user", "content": "Which of you is it that answers questions today?"}
    body = {"model": "counterpoint", "messages": [said], **more}
    reply = await client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    run_id = reply.headers["x-request-id"]
    record = await house.runs.get(run_id)
    called = [
        (entry.event["model"], entry.event["ok"])
        async for entry in house.log.read(record.thread_id, run_id=run_id)
        if entry.event["type"] == "model.called"
    ]
    answer = str(reply.json()["choices"][0]["message"]["content"])
    return answer, called, reply.json()["usage"]


async def test_load_a_broken_stream_and_an_outage_as_the_front_door_sees_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine: what was told holds.
    monkeypatch.setattr(models.pool, "STALE_SECONDS", 3600.0)
    a, b = VLLMEndpoint(load=Load(waiting=40)), VLLMEndpoint(load=Load())
    small = VLLMEndpoint()
    async with served(folder, a, b, small) as (house, client):
        while True:
            if all(one.metrics for one in pool(house)):
                break
            await asyncio.sleep(0)
        # The least loaded.
        b.will(replies("It is b."))
        assert await ask(house, client) == (
            *("It is b.", [("big", True)]),
            {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60},
        )
        # vLLM hears of it where nobody waits for the answer.
        b.will(replies("It is b."))
        await ask(house, client, service_tier="flex")
        assert [one.body.get("priority") for one in b.requests[-2:]] == [None, 10]
        # It breaks off in the middle of a reply; the other one gives the whole.
        b.will(replies("It is b.", cut=Cut.RESET))
        a.will(replies("It is a."))
        answer, called, usage = await ask(house, client)
        assert (answer, called) == ("It is a.", [("big", False), ("big", True)])
        assert usage["prompt_tokens"] > 100
        # Both are out: another model answers, and the events say which.
        a.down()
        b.down()
        small.will(replies("It is small."), replies("It is small."))
        for _ in range(2):
            answer, called, _ = await ask(house, client)
            assert answer == "It is small."
            assert called[-1] == ("small", True)
            assert set(called[:-1]) <= {("big", False)}
        shown = (await client.get("/admin/models")).json()["items"]
        assert [(one["model"], one["answered_by"]) for one in shown] == [
            ("big", {"small": 2}),
            ("small", {}),
        ]
        states = {one["endpoint"]: one["state"] for one in shown[0]["endpoints"]}
        assert set(states) == {f"127.0.0.1:{one.port}" for one in (a, b)}
        assert "closed" not in states.values()
        metrics = (await client.get("/metrics")).text
        assert 'counterpoint_model_fallbacks_total{model="big",other="small"} 2.0' in metrics
        for one in (a, b):
            place = f'{{endpoint="127.0.0.1:{one.port}",model="big"}}'
            assert f"counterpoint_model_endpoint_left_alone{place} 1.0" in metrics


def pool(house: House) -> Sequence[EndpointStatus]:
    found = house.routing.status()[0].pool
    assert found is not None
    return found.endpoints
