"""`counterpoint doctor`: every part is named, and what is wrong comes with its remedy."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from server import lock, redis_check, serve
from server.cli import run
from server.doctor import examine
from server.finding import Finding, State
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.settings import Settings
from tests.doubles.openai_endpoint import Fails, OpenAIEndpoint, Raw
from tests.doubles.redis_kinds import KINDS, Server
from tests.server.surface import served

PARTS = ["Python", "Configuration", "Data folder", "Redis", "Documents", "Chat model", "Embedder"]


async def found(tmp_path: Path, **given: Any) -> dict[str, Finding]:
    configured = Settings(
        **{"data_dir": tmp_path / "data", "models_dir": tmp_path / "models", "port": 0, **given}
    )
    return {finding.part: finding for finding in await examine(configured)}


async def test_on_a_fresh_machine_nothing_fails_and_nothing_is_changed(tmp_path: Path) -> None:
    findings = await found(tmp_path)
    assert set(findings) >= {*PARTS, "llama.cpp", "Sandbox", "Address"}
    failing = [one for one in findings.values() if one.state is State.FAIL]
    assert failing == []
    assert findings["Chat model"].state is State.WARN
    assert "counterpoint models pull" in findings["Chat model"].remedy
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240


async def test_a_server_that_hangs_is_told_and_not_as_a_port_that_somebody_else_has(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with serve.listening("127.0.0.1", 0) as silent, lock.owned(data):
        live = lock.LiveServer(pid=os.getpid(), url=serve.url_of(silent), started=0.0)
        with lock.announcement(data, live):
            findings = await found(tmp_path, port=silent.getsockname()[1])
    assert findings["Address"].state is State.FAIL
    assert "does not answer" in findings["Address"].detail
    assert findings["Address"].remedy == "stop it, and start it again"
    with lock.owned(data):
        starting = (await found(tmp_path))["Address"]
    assert (starting.state, starting.remedy) == (State.WARN, "wait for it")


async def test_the_redis_of_a_server_that_runs_is_asked(tmp_path: Path) -> None:
    """That there is a program to start one says nothing of the one that hangs."""
    data = tmp_path / "data"
    live = lock.LiveServer(pid=os.getpid(), url="http://127.0.0.1:9", started=0.0)
    redis = RedisServer(data)
    with lock.owned(data), lock.announcement(data, live):
        await redis.start()
        try:
            assert (await found(tmp_path))["Redis"].state is State.OK
            await redis.close()
            finding = (await found(tmp_path))["Redis"]
        finally:
            await redis.close()
    assert finding.state is State.FAIL
    assert f"process {os.getpid()}" in finding.detail
    assert "redis.log" in finding.remedy


async def test_what_cannot_be_reached_is_named_with_its_remedy(tmp_path: Path) -> None:
    with serve.listening("127.0.0.1", 0) as taken:
        findings = await found(
            tmp_path,
            redis_url="redis://:hush@127.0.0.1:9",
            qdrant_url="http://127.0.0.1:9",
            model_url="http://127.0.0.1:9/v1",
            model="m",
            data_dir="/proc/nowhere",
            port=taken.getsockname()[1],
            bubblewrap=tmp_path / "no-bwrap",
        )
    for part in ("Redis", "Documents", "Chat model", "Data folder", "Address"):
        assert findings[part].state is State.FAIL, findings[part]
        assert findings[part].remedy, findings[part]
    assert findings["Sandbox"].state is State.WARN
    assert "bubblewrap" in findings["Sandbox"].remedy
    assert "hush" not in str(findings)


async def test_a_model_that_the_configuration_lacks_something_of_is_told_with_what_it_is(
    tmp_path: Path,
) -> None:
    finding = (await found(tmp_path, model_url="https://models.example/v1", model="m"))[
        "Chat model"
    ]
    assert finding.state is State.FAIL
    assert finding.detail.startswith("model_input_price: the price of model 'm'")
    assert "configure its input and output price" in finding.remedy


@pytest.mark.parametrize(
    ("reply", "state", "words"),
    [
        (Raw(body='{"data": [{"id": "m"}]}', content_type="application/json"), State.OK, "auto"),
        (Raw(body='{"data": [{"id": "n"}]}', content_type="application/json"), State.WARN, "(n)"),
        (Raw(body="<html>"), State.FAIL, "/v1"),
        (Fails(status=401), State.FAIL, "COUNTERPOINT_MODEL_KEY"),
        (Fails(status=404), State.WARN, "404"),
    ],
)
async def test_a_model_url_is_asked_for_its_models(
    reply: Raw | Fails, state: State, words: str, openai_endpoint: OpenAIEndpoint, tmp_path: Path
) -> None:
    openai_endpoint.will(reply)
    findings = await found(tmp_path, model_url=openai_endpoint.url, model="m", model_key="secret")
    finding = findings["Chat model"]
    assert finding.state is state, finding
    assert words in finding.detail + finding.remedy
    (request,) = openai_endpoint.requests
    assert request.headers["authorization"] == "Bearer secret"


async def test_a_redis_by_url_is_asked_what_it_keeps(redis_url: str, tmp_path: Path) -> None:
    found_all = await examine(Settings(data_dir=tmp_path, redis_url=redis_url, port=0))
    first, slow = (one for one in found_all if one.part == "Redis")
    assert first.state is State.OK
    assert "append-only file, 0 replicas" in first.detail
    assert (slow.state, "`appendfsync always`" in slow.remedy) == (State.WARN, True)
    findings = await found(tmp_path, redis_url=redis_url, redis_replicas=1)
    assert findings["Redis"].state is State.FAIL
    assert "COUNTERPOINT_REDIS_REPLICAS" in findings["Redis"].remedy


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_redis_fails_and_is_told_what_it_still_takes(
    kind: str, redis_of_kind: Callable[[str], Server], tmp_path: Path
) -> None:
    url = redis_of_kind(kind).url
    async with open_redis(url) as redis:
        await redis.config_set("maxmemory", "1")
        try:
            found_all = await examine(Settings(data_dir=tmp_path, redis_url=url, port=0))
        finally:
            await redis.config_set("maxmemory", "0")
    (full,) = (one for one in found_all if one.part == "Redis" and one.state is State.FAIL)
    assert "is full" in full.detail
    assert "DELETE /threads/THREAD" in full.remedy
    assert "maxmemory" in full.remedy


WELL = {"redis_version": "7.4.1", "aof_enabled": 1, "role": "master"}


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({}, []),
        ({"maxmemory_policy": "allkeys-lru"}, ["set it to noeviction"]),
        ({"aof_enabled": 0}, ["`appendonly yes`"]),
        ({"aof_last_write_status": "err"}, ["free some space"]),
        ({"connected_slaves": 2}, ["`min-replicas-to-write 1`"]),
        ({"connected_slaves": 2, "min_slaves_good_slaves": 2}, []),
        ({"aof_enabled": 0, "maxmemory_policy": "x"}, ["noeviction", "appendonly"]),
        ({"maxmemory": 1000, "used_memory": 899}, []),
        ({"maxmemory": 1000, "used_memory": 900}, ["POST /threads/prune"]),
        ({"maxmemory": 1000, "used_memory": 999, "mem_not_counted_for_evict": 200}, []),
    ],
)
async def test_what_makes_a_redis_lose_state_is_named(
    info: dict[str, Any], words: list[str]
) -> None:
    facts = await redis_check.check(told({**WELL, **info}), url="redis://:hush@h")
    assert len(facts.warnings) == len(words)
    for warning, word in zip(facts.warnings, words, strict=True):
        assert word in warning.rpartition("; ")[2]
        assert "hush" not in warning


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"role": "slave"}, "is a replica"),
        ({"cluster_enabled": 1}, "is a node of a cluster"),
        ({"redis_version": "6.2.0"}, "7.2 or Valkey 8.0 or newer"),
    ],
)
async def test_a_redis_that_cannot_serve_is_refused(info: dict[str, Any], words: str) -> None:
    with pytest.raises(redis_check.RedisUnusable, match=words):
        await redis_check.check(told({**WELL, **info}), url="redis://h")


def told(info: dict[str, Any]) -> Redis:
    """A Redis that says this of itself."""
    redis = AsyncMock(spec=Redis)
    redis.info = AsyncMock(return_value=info)
    return redis


async def test_documents_that_another_process_keeps_are_asked_for_there(
    app: FastAPI, tmp_path: Path
) -> None:
    async with served(app) as url:
        findings = await found(tmp_path, knowledge_url=url)
    assert findings["Documents"].state is State.OK
    assert "kept by Counterpoint" in findings["Documents"].detail
    assert "Embedder" not in findings
    findings = await found(tmp_path, knowledge_url=url)
    assert findings["Documents"].state is State.FAIL
    assert "COUNTERPOINT_KNOWLEDGE_URL" in findings["Documents"].remedy


GRAPH = """
from langgraph.graph import START, StateGraph
graph = StateGraph(dict).add_node("one", lambda state: state).add_edge(START, "one")
"""


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [(GRAPH, State.OK, "team, mine"), ("graph = 1", State.FAIL, "mine"), ("1 +", State.FAIL, "")],
)
async def test_graphs_of_ones_own_are_loaded(
    text: str, state: State, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"graph_{uuid.uuid4().hex}"
    await asyncio.to_thread((tmp_path / f"{name}.py").write_text, text)
    finding = (await found(tmp_path, graphs={"mine": f"{name}.py:graph"}))["Graphs"]
    assert finding.state is state, finding
    assert words in finding.detail + finding.remedy
    if state is State.FAIL:
        assert f"{name}.py" in finding.detail + finding.remedy


def test_its_exit_code_and_its_json_say_whether_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COUNTERPOINT_PORT", "0")
    monkeypatch.setenv("COUNTERPOINT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COUNTERPOINT_MODELS_DIR", str(tmp_path))
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {"part", "state", "detail", "remedy"} == set(told["items"][0])
    monkeypatch.setenv("COUNTERPOINT_REDIS_URL", "redis://127.0.0.1:9")
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (redis,) = [number for number, line in enumerate(lines) if line.startswith("fail  Redis")]
    assert "COUNTERPOINT_REDIS_URL" in lines[redis + 1]


@pytest.mark.parametrize(
    ("program", "languages", "state", "said"),
    [
        (None, "eng", State.WARN, "apt-get install tesseract-ocr"),
        ("echo 'List of languages'; echo eng; echo deu", "eng+deu", State.OK, ""),
        ("echo eng", "eng+fra", State.WARN, "ocr_languages"),
        ("echo broken; exit 1", "eng", State.WARN, "ocr_languages"),
    ],
)
async def test_whether_scans_can_be_read_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    program: str | None,
    languages: str,
    state: State,
    said: str,
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if program is not None:
        (folder / "tesseract").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    scans = (await found(tmp_path, ocr_languages=languages))["Scans"]
    assert scans.state is state
    assert said in scans.remedy


async def test_scans_that_are_not_to_be_read_lack_nothing(tmp_path: Path) -> None:
    assert (await found(tmp_path, ocr="off"))["Scans"].state is State.OK
