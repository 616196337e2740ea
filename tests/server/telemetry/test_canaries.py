"""What must not be seen is planted everywhere, and looked for in all that the program tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from server import logs
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.telemetry import metric_names as names
from tests.doubles.openai_endpoint import Call, Fails, OpenAIEndpoint, Says
from tests.server.cli.conftest import program as program
from tests.server.cli.program import Program
from tests.server.surface import hashed

SECONDS = 60.0
# Of no shape that is known for a secret: what is left out is left out by where it comes from.
ENVIRONMENT = "canary-environment-quelea"
CONFIGURED = "canary-configured-hoopoe"
KEY = "canary-header-bittern"
WRONG_KEY = "canary-wrong-dunnock"
COOKIE = "canary-cookie-smew"
QUERY = "canary-query-twite"
SECRETS = (ENVIRONMENT, CONFIGURED, KEY, WRONG_KEY, COOKIE, QUERY)

PROMPT = "canary-prompt-corncrake"
DOCUMENT = "canary-document-avocet"
OUTPUT = "canary-output-garganey"
WRITTEN = "canary-written-wryneck"
HOOK = "canary-webhook-dabchick"
CONTENT = (PROMPT, DOCUMENT, OUTPUT, WRITTEN, HOOK)

KEYS = [{"name": "olga", "sha256": hashed(KEY), "roles": ["operator"]}]


@pytest.fixture
async def redis_behind(folder: Path) -> AsyncIterator[RedisServer]:
    (folder / "redis").mkdir()
    server = RedisServer(folder / "redis")
    await server.start()
    yield server
    await server.close()


async def test_no_canary_is_in_a_log_a_metric_an_event_or_an_error(
    program: Program, openai_endpoint: OpenAIEndpoint, redis_behind: RedisServer
) -> None:
    planted = replace(
        program,
        variables={
            **program.variables,
            "COUNTERPOINT_REDIS_URL": redis_behind.url,
            "COUNTERPOINT_MODEL_KEY": CONFIGURED,
            "COUNTERPOINT_KEYS": json.dumps(KEYS),
            "COUNTERPOINT_LOG_FORMAT": "json",
            "COUNTERPOINT_WEBHOOK_ALLOW": '["127.0.0.1"]',
            "SOMEBODYS_API_TOKEN": ENVIRONMENT,
        },
    )
    told = []
    # Talkative: what is not in this log is in no other.
    async with planted.up("--debug") as running:
        headers = {"Authorization": f"Bearer {KEY}", "Cookie": f"session={COOKIE}"}
        async with httpx.AsyncClient(
            base_url=await running.ready(), headers=headers, timeout=SECONDS, trust_env=False
        ) as client:
            await _ingested(client)
            answered = await _coded(client, openai_endpoint)
            assert OUTPUT in answered["joined"]
            failed = await _refused(client, openai_endpoint)
            assert failed["status"] == "error"
            told += [failed["error"], *[one async for one in _errors(client)]]
            metrics = (await client.get("/metrics")).text
            log = await _logged(program.data_dir / logs.FILE, f"of run {failed['run_id']}")
        running.process.terminate()
        assert await running.ended() == 0
    async with open_redis(redis_behind.url) as redis:
        kept = [one async for one in _kept(redis)]
    lines = [json.loads(line) for line in log.splitlines()]
    assert all(line["message"] for line in lines)
    shown = {"log": log, "said": "".join(running.said), "metrics": metrics, "errors": "".join(told)}
    for where, text in shown.items():
        assert [one for one in (*SECRETS, *CONTENT) if one in text] == [], where
    events = "".join(text for _, text in kept)
    assert DOCUMENT in events or PROMPT in events, "the stores are looked into"
    assert [one for one in SECRETS if one in events] == []
    traces = "".join(text for key, text in kept if ":trace" in key)
    assert [one for one in CONTENT if one in traces] == []
    _every_metric_is_there(metrics)


def _every_metric_is_there(text: str) -> None:
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    # The embedder of tests remembers nothing.
    assert {one.name for one in names.ALL} - typed == {names.CACHE.name}
    assert 'counterpoint_runs_total{agent="coder",status="success",tenant=""} 1.0' in text
    assert 'counterpoint_tool_seconds_count{ok="true",tool="run_python"} 1.0' in text
    assert 'counterpoint_model_first_token_seconds_count{model="double"} 2.0' in text
    assert 'counterpoint_sandbox_executions_total{outcome="finished"} 1.0' in text
    assert 'counterpoint_ingests_total{status="added"} 1.0' in text
    assert "counterpoint_redis_up 1.0" in text
    assert "counterpoint_checkpoint_bytes_total " in text


async def _ingested(client: httpx.AsyncClient) -> None:
    text = f"# Plans\n\nAn annual plan can be returned within 45 days. {DOCUMENT}\n"
    added = await client.post("/documents", files={"files": ("plans.md", text.encode())})
    assert added.json()["results"][0]["status"] == "added"
    found = await client.post("/documents/search", json={"query": f"plans {PROMPT}"})
    assert DOCUMENT in found.text


async def _coded(client: httpx.AsyncClient, model: OpenAIEndpoint) -> dict[str, Any]:
    """A run in which code writes a canary, and the model repeats it."""
    code = f"print('canary-output-' + 'garganey')  # {WRITTEN}"
    model.will(
        Says(calls=(Call(name="run_python", args=json.dumps({"code": code})),)),
        Says(text=f"It says {OUTPUT}."),
    )
    return await _run(client)


async def _refused(client: httpx.AsyncClient, model: OpenAIEndpoint) -> dict[str, Any]:
    """A run whose provider says back what it was sent."""
    model.will(Fails(status=400, message=f"{CONFIGURED} may not ask that"))
    # Nobody listens there, and that is logged.
    return await _run(client, webhook=f"http://127.0.0.1:9/hook?token={HOOK}")


async def _logged(path: Path, words: str) -> str:
    """The log, once these words are in it."""
    async with asyncio.timeout(SECONDS):
        # Another process writes it.
        while words not in (log := await asyncio.to_thread(path.read_text)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return log


async def _run(client: httpx.AsyncClient, **beside: str) -> dict[str, Any]:
    said = [{"role": "user", "content": f"Compute it, {PROMPT}"}]
    asked = {"assistant_id": "coder", "input": {"messages": said}, **beside}
    thread = (await client.post("/threads", json={})).json()["thread_id"]
    run = (await client.post(f"/threads/{thread}/runs", json=asked)).json()
    joined = await client.get(f"/threads/{thread}/runs/{run['run_id']}/join")
    ended = (await client.get(f"/admin/runs/{run['run_id']}")).json()
    return {**ended, "joined": joined.text}


async def _errors(client: httpx.AsyncClient) -> AsyncIterator[str]:
    """What the server says to requests that it does not take."""
    wrong = {"Authorization": f"Bearer {WRONG_KEY}"}
    yield (await client.get(f"/threads/nowhere?token={QUERY}")).text
    yield (await client.get("/metrics", headers=wrong)).text
    yield (await client.post("/runs/stream", content=b"{", headers={"x-key": KEY})).text
    yield (await client.post(f"/documents/search?key={QUERY}", json={"query": 7})).text
    yield (await client.get(f"/nothing?api_key={QUERY}")).text


async def _kept(redis: Redis) -> AsyncIterator[tuple[str, str]]:
    """Everything that is in Redis, by key."""
    readers: Mapping[bytes | str, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"list": lambda key: redis.lrange(key, 0, -1),
    }
    async for key in redis.scan_iter(count=1000):
        # Locks may be gone again by now.
        if (kind := await redis.type(key)) != b"none":
            yield key.decode(), repr(await readers[kind](key))
