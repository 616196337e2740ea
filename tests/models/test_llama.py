"""The local model server: what it promises before, while and after it runs."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from models import llama
from models.artifacts import WeightsError
from models.chat import build
from models.llama import LlamaServer, usable_cores
from models.registry import ModelSpec, ToolMode

STEP = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
RULES = "You name one city. " + "Cities are named in English. " * 40

HOLDER = """
import asyncio, sys
from pathlib import Path
from models.llama import LlamaServer

async def main():
    server = LlamaServer(Path(sys.argv[1]), context=1024, slots=1)
    await server.start()
    print(server.base_url, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()

asyncio.run(main())
"""


SERVING = """
import http.server, json, sys, threading

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

sys.stdin.readline()
served = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
threading.Thread(target=served.serve_forever, daemon=True).start()
print(json.dumps({"address": f"http://127.0.0.1:{served.server_port}"}), flush=True)
sys.stdin.read()
"""


async def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="counterpoint models pull"):
        await LlamaServer(tmp_path / "absent.gguf").start()


async def test_a_file_that_is_no_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<html>")
    server = LlamaServer(path)
    with pytest.raises(WeightsError, match="damaged or not GGUF"):
        await server.start()
    assert not server.alive


async def test_a_cut_file_is_refused_by_the_loader_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF" + bytes(2000))
    server = LlamaServer(path)
    with pytest.raises(WeightsError, match=r"cut\.gguf cannot be loaded .*delete it"):
        await server.start()
    assert not server.alive


async def test_a_missing_system_library_is_named_with_the_package_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slim images lack it, and the loader's own words say nothing of packages."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    child = tmp_path / "child.py"
    child.write_text(
        "import json\n"
        "print(json.dumps({'error': 'libgomp.so.1: cannot open shared object file'}))\n"
    )
    monkeypatch.setattr(llama, "_CHILD", child)
    with pytest.raises(WeightsError, match="apt-get install libgomp1"):
        await LlamaServer(path).start()


async def test_a_load_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "slow.gguf"
    path.write_bytes(b"GGUF" + bytes(2000))
    server = LlamaServer(path, start_seconds=0.0)
    with pytest.raises(WeightsError, match="not ready after"):
        await server.start()
    assert not server.alive


async def test_a_machine_that_starts_no_process_for_a_while_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended the model's process, such as a lack of memory, keeps the next one away, too."""
    path, child = tmp_path / "model.gguf", tmp_path / "child.py"
    path.write_bytes(b"GGUF")
    child.write_text(SERVING)
    monkeypatch.setattr(llama, "_CHILD", child)
    monkeypatch.setattr(llama, "_REVIVE_SECONDS", 0.0)
    server = LlamaServer(path)
    await server.start()
    began, started, refusals = server._process, asyncio.Event(), 2
    make = asyncio.create_subprocess_exec

    async def refusing(*command: Any, **given: Any) -> asyncio.subprocess.Process:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise OSError(12, "Cannot allocate memory")
        started.set()
        return await make(*command, **given)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refusing)
    assert began is not None
    began.kill()
    try:
        async with asyncio.timeout(10):
            await started.wait()
    finally:
        await server.close()
    assert refusals == 0


def test_there_is_no_address_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not running"):
        _ = LlamaServer(tmp_path / "model.gguf").base_url


async def test_closing_what_never_started_is_harmless(tmp_path: Path) -> None:
    await LlamaServer(tmp_path / "model.gguf").close()


def test_at_least_one_core_is_usable() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def _port_is_free(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(parts.hostname), int(parts.port or 0))) != 0


async def _ask(server: LlamaServer, question: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        response = await client.post(
            f"{server.base_url}/chat/completions",
            headers={"authorization": f"Bearer {server.api_key}"},
            json={
                "model": server.name,
                "messages": [
                    {"role": "system", "content": RULES},
                    {"role": "user", "content": question},
                ],
                "max_tokens": 60,
                "temperature": 0,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "step", "schema": STEP},
                },
            },
        )
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body


@pytest.mark.local_model
@pytest.mark.timeout(180)
async def test_it_answers_by_schema_keeps_the_prefix_and_frees_its_port(
    small_chat_model: Path,
) -> None:
    server = LlamaServer(small_chat_model, context=2048, slots=2)
    slowest = 0.0

    async def watch_the_loop() -> None:
        nonlocal slowest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - before)

    watch = asyncio.create_task(watch_the_loop())
    await server.start()
    watch.cancel()
    assert slowest < 1.0, "loading held up the event loop"

    url = server.base_url
    first = await _ask(server, "A city in France?")
    second = await _ask(server, "A city in Japan?")
    for reply in (first, second):
        assert set(json.loads(reply["choices"][0]["message"]["content"])) == {"city"}
    assert first["timings"]["prompt_n"] > 200
    assert second["timings"]["prompt_n"] < 40
    assert second["timings"]["cache_n"] > 200

    async with httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(f"{url}/chat/completions", json={"messages": []})
    assert refused.status_code == httpx.codes.UNAUTHORIZED

    before = time.monotonic()
    await server.close()
    assert time.monotonic() - before < 2.0
    assert _port_is_free(url)
    assert not server.alive


@pytest.mark.local_model
@pytest.mark.timeout(180)
async def test_a_process_that_dies_is_started_again_at_the_same_address(
    small_chat_model: Path,
) -> None:
    server = LlamaServer(small_chat_model, context=1024, slots=1)
    await server.start()
    url = server.base_url
    try:
        (child,) = await asyncio.to_thread(_children)
        os.kill(child, signal.SIGKILL)
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    answer = await client.get(
                        f"{url}/models", headers={"authorization": f"Bearer {server.api_key}"}
                    )
                    if answer.status_code == httpx.codes.OK and child not in _children():
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        assert server.base_url == url
    finally:
        await server.close()
    assert _port_is_free(url)


@pytest.mark.local_model
@pytest.mark.timeout(300)
async def test_a_call_that_loses_the_process_in_mid_answer_is_answered_by_the_next_one(
    small_chat_model: Path,
) -> None:
    server = LlamaServer(small_chat_model, context=1024, slots=1)
    await server.start()
    spec = ModelSpec(
        name=server.name,
        model=server.name,
        url=server.base_url,
        key=SecretStr(server.api_key),
        tools=ToolMode.NATIVE,
        input_price=0.0,
        output_price=0.0,
    )
    model = build(spec)
    begun = asyncio.Event()
    question = [HumanMessage("Tell a long story about a lighthouse.")]
    try:
        # Only who has answered before is waited for.
        await model.call(question, max_tokens=4)
        asking = asyncio.create_task(
            model.call(question, max_tokens=60, heard=lambda _: begun.set())
        )
        async with asyncio.timeout(60):
            await begun.wait()
        (child,) = await asyncio.to_thread(_children)
        os.kill(child, signal.SIGKILL)
        reply = await asking
        assert reply.attempts > 1
        assert reply.message.text
        assert server.alive
    finally:
        await model.aclose()
        await server.close()


def _children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found]


@pytest.mark.local_model
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_it_never_outlives_the_process_that_started_it(
    small_chat_model: Path, end: signal.Signals
) -> None:
    """Ctrl-C ends both in order; after a kill the model's process ends by itself."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(small_chat_model),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert holder.stdout is not None
    url = (await asyncio.wait_for(holder.stdout.readline(), 40)).decode().strip()
    assert not _port_is_free(url)
    holder.send_signal(end)
    await asyncio.wait_for(holder.wait(), 2)
    async with asyncio.timeout(5):
        while not _port_is_free(url):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
