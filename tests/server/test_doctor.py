"""`counterpoint doctor`: every part is named, and what is wrong comes with its remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server import serve
from server.cli import run
from server.doctor import Finding, State, examine
from server.settings import Settings
from tests.doubles.openai_endpoint import Fails, OpenAIEndpoint, Raw

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
