"""`counterpoint models recommend | serve | bench`, from the command line."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from server import cli
from server.exits import Exit
from tests.doubles.openai_endpoint import Fails, OpenAIEndpoint, Says

DOUBLE = """#!{python}
import http.server, os, signal, sys
arguments = sys.argv[1:]
port = int(arguments[arguments.index("--port") + 1])

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass

worker = os.fork()
if not worker:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        signal.pause()
keyed = os.environ.get("VLLM_API_KEY") == "k-1"
ours = any(name.startswith("COUNTERPOINT_") for name in os.environ)
print(f"worker {{worker}}", "keyed" if keyed and not ours else "not-keyed", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COUNTERPOINT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("COUNTERPOINT_MODEL_KEY", raising=False)


def _alive(pid: int) -> bool:
    """Not where only its entry waits for its parent."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def run(*arguments: str) -> int:
    return cli.run(["models", *arguments])


def test_recommend_says_what_fits_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recommend", "--gpu", "24GB", "--task", "code") == Exit.OK
    said = capsys.readouterr().out
    assert "openai/gpt-oss-20b" in said
    assert "weights 13.8 GB (mxfp4) + KV cache 1.6 GB (4 x 16,384 tokens)" in said
    assert "counterpoint models serve openai/gpt-oss-20b --context 16384" in said
    assert "Do not fit:" in said
    assert "Apache-2.0" in said


def test_recommend_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--gpu", "2x80GB", "--task", "chat", "--context", "4096", "--concurrency", "8")
    assert run("recommend", *given, "--json") == Exit.OK
    body = json.loads(capsys.readouterr().out)
    assert (body["context"], body["concurrency"]) == (4096, 8)
    items: dict[str, dict[str, Any]] = {item["name"]: item for item in body["items"]}
    llama = items["llama-3.3-70b"]
    assert llama["fits"]
    assert llama["gpus"] == 2
    assert llama["kv_bytes_per_request"] == 4096 * 327_680
    assert llama["parameters"] == 70_553_706_496
    parts = llama["per_gpu"]
    used = parts["weights"] + parts["kv_cache"] + parts["reserve"]
    assert parts["usable"] == used + parts["spare"]
    assert not items["gemma-2-27b"]["tool_parser"]


def test_recommend_where_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recommend", "--gpu", "2GB", "--task", "reasoning") == Exit.OK
    assert "no model of the table fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommend", "--gpu", "big"], "--gpu: 'big' is no GPU's memory: write 24GB"),
        (["serve", "llama-9"], "is no folder, no repository"),
        (["serve", "qwen3-8b", "--format", "mxfp4"], "qwen3-8b is known in bf16, fp8, awq"),
        (["serve", "qwen3-8b", "--lora", "x"], "write NAME=FOLDER"),
        (["serve", "qwen3-8b", "--lora", "x=/nowhere"], "is no LoRA adapter"),
        (["bench", "--url", "http://127.0.0.1:9/v1"], "--url needs --model"),
        (["bench", "--url", "http://x/v1", "--model", "m", "--concurrency", "1,0"], "write 1,4,16"),
        (["bench"], "name an endpoint"),
    ],
)
def test_what_is_wrong_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == Exit.USAGE
    assert words in capsys.readouterr().err


def test_serve_prints_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    given = ("serve", "qwen2.5-32b", "--format", "awq", "--gpu", "2x24GB")
    assert run(*given, "--print") == Exit.OK
    said = capsys.readouterr()
    assert said.out.startswith("VLLM_NO_USAGE_STATS=1 vllm serve Qwen/Qwen2.5-32B-Instruct-AWQ ")
    assert "--tensor-parallel-size 2" in said.out
    assert "room for" in said.err
    assert run(*given, "--print=docker") == Exit.OK
    assert "vllm/vllm-openai" in capsys.readouterr().out
    assert run(*given, "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["command"][:2] == ["vllm", "serve"]


def test_serve_takes_the_format_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    for size, repo in (("40GB", "Qwen/Qwen3-14B"), ("16GB", "Qwen/Qwen3-14B-AWQ")):
        assert run("serve", "qwen3-14b", "--gpu", size, "--json") == Exit.OK
        assert json.loads(capsys.readouterr().out)["command"][2] == repo
    # Whoever names a repository means it.
    assert run("serve", "Qwen/Qwen3-14B", "--gpu", "16GB", "--json") == Exit.UNAVAILABLE
    assert "lacks" in capsys.readouterr().err


def test_serve_takes_a_folder_and_its_adapters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "qwen2"}')
    (tmp_path / "tax").mkdir()
    (tmp_path / "tax" / "adapter_config.json").write_text('{"r": 12}')
    lora = f"tax={tmp_path / 'tax'}"
    assert run("serve", str(tmp_path / "mine"), "--cpu", "--lora", lora, "--print") == Exit.OK
    said = capsys.readouterr().out
    assert "--served-model-name mine" in said
    assert "--tool-call-parser hermes" in said
    assert f"--max-lora-rank 16 --lora-modules {lora}" in said


def test_serve_lets_nobody_in_without_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("serve", "qwen2.5-coder-0.5b", "--cpu", "--host", "0.0.0.0", "--print")
    assert run(*given) == Exit.UNAVAILABLE
    assert "COUNTERPOINT_MODEL_KEY" in capsys.readouterr().err
    monkeypatch.setenv("COUNTERPOINT_MODEL_KEY", "k-1")
    assert run(*given) == Exit.OK
    said = capsys.readouterr().out
    assert 'VLLM_API_KEY="$COUNTERPOINT_MODEL_KEY"' in said
    assert "k-1" not in said


def test_serve_without_vllm_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COUNTERPOINT_MODELS_DIR", str(tmp_path / "models"))
    assert run("serve", "qwen2.5-coder-0.5b", "--cpu") == Exit.UNAVAILABLE
    assert "scripts/vllm-cpu" in capsys.readouterr().err
    nowhere = str(tmp_path / "vllm")
    assert run("serve", "qwen2.5-coder-0.5b", "--cpu", "--vllm", nowhere) == Exit.UNAVAILABLE
    assert "no program is there" in capsys.readouterr().err


async def test_serve_starts_vllm_says_when_it_is_ready_and_ends_it_with_its_workers(
    tmp_path: Path,
) -> None:
    double = tmp_path / "vllm"
    double.write_text(DOUBLE.format(python=sys.executable))
    double.chmod(0o755)
    port = _free_port()
    served = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", "models", "serve", "qwen2.5-coder-0.5b", "--cpu"),
        *("--vllm", str(double), "--port", str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COUNTERPOINT_MODEL_KEY": "k-1"},
    )
    assert served.stdout is not None
    assert served.stderr is not None
    async with asyncio.timeout(60):
        _, worker, keyed = (await served.stdout.readline()).decode().split()
        assert keyed == "keyed"
        while b"ready: " not in (line := await served.stderr.readline()):
            assert line, "it ended before it was ready"
        assert f"COUNTERPOINT_MODEL_URL=http://127.0.0.1:{port}/v1" in line.decode()
        served.send_signal(signal.SIGINT)
        assert await served.wait() == Exit.OK
    assert not _alive(int(worker))


def test_serve_does_not_take_anothers_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = tmp_path / "vllm"
    double.write_text("#!/bin/sh\n")
    double.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        given = ("qwen2.5-coder-0.5b", "--cpu", "--vllm", str(double), "--port", port)
        assert run("serve", *given) == Exit.UNAVAILABLE
    assert "name another, --port" in capsys.readouterr().err


async def test_serve_tells_that_vllm_has_failed(tmp_path: Path) -> None:
    double = tmp_path / "vllm"
    double.write_text("#!/bin/sh\necho out of memory >&2\nexit 7\n")
    double.chmod(0o755)
    served = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", "models", "serve", "qwen2.5-coder-0.5b", "--cpu"),
        *("--vllm", str(double), "--port", str(_free_port())),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(served.communicate(), 60)
    assert served.returncode == Exit.FAILED
    assert b"out of memory" in said
    assert b"ended with code 7" in said


async def test_bench_measures_an_endpoint(
    openai_endpoint: OpenAIEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    openai_endpoint.will(*[Says(text="four words are here", usage=(40, 4))] * 7)
    arguments = (
        *("bench", "--url", openai_endpoint.url, "--model", "m", "--concurrency", "1,2"),
        *("--requests", "3", "--prompt-tokens", "32", "--output-tokens", "9", "--ignore-eos"),
    )
    assert await asyncio.to_thread(run, *arguments, "--json") == Exit.OK
    body = json.loads(capsys.readouterr().out)
    assert [item["concurrency"] for item in body["items"]] == [1, 2]
    for item in body["items"]:
        assert (item["requests"], item["errors"], item["counted"]) == (3, {}, True)
        assert (item["input_tokens"], item["output_tokens"]) == (120, 12)
        assert item["output_tokens_per_second"] == pytest.approx(12 / item["seconds"])
        assert 0 < item["first_token"]["p50"] <= item["latency"]["p50"] <= item["latency"]["p99"]
    asked = [request.body for request in openai_endpoint.requests]
    assert [body["max_tokens"] for body in asked] == [4, *[9] * 6]
    assert [body.get("ignore_eos") for body in asked] == [None, *[True] * 6]
    assert all(body["stream_options"] == {"include_usage": True} for body in asked)
    assert len({body["messages"][0]["content"] for body in asked}) == 7


async def test_bench_tells_failures_and_goes_on(
    openai_endpoint: OpenAIEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    says = Says(text="some words", usage=None)
    openai_endpoint.will(says, says, Fails(status=500), says)
    arguments = ("bench", "--url", openai_endpoint.url, "--model", "m", "--concurrency", "1")
    assert await asyncio.to_thread(run, *arguments, "--requests", "3") == Exit.OK
    said = capsys.readouterr().out
    assert "1 at once: 2 of 3 replies" in said
    assert "1 failed: " in said
    assert "they are estimated" in said
    for heading in ("first token", "whole reply", "P50", "P95", "P99"):
        assert heading in said


def test_bench_of_nothing_says_that_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bench", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--concurrency", "1")
    assert run(*arguments, "--requests", "1") == Exit.UNAVAILABLE
    assert "127.0.0.1:9" in capsys.readouterr().err
