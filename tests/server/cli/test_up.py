"""`counterpoint up`: it starts everything, says where, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from server import cli, lock, logs, serve
from tests.doubles.openai_endpoint import Hangs, OpenAIEndpoint
from tests.server.cli.program import Program, descendants, gone

ORDERS = Path(__file__).parents[3] / "examples" / "langgraph_app" / "langgraph.json"


async def test_a_stop_ends_every_process_and_leaves_the_folder_to_the_next(
    program: Program,
) -> None:
    async with program.up() as running:
        url = await running.ready()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            assert (await client.get("/ok")).json() == {"ok": True}
        children = descendants(running.process.pid)
        assert children, "Redis at least is a process of its own"
        assert await running.end(signal.SIGTERM) == 0
    await gone(children)
    assert not (program.data_dir / lock.LIVE).exists()
    with lock.owned(program.data_dir):
        pass


@pytest.mark.siege
async def test_a_folder_in_use_is_for_its_owner_alone_and_names_it(program: Program) -> None:
    async with program.up() as running:
        url = await running.ready()
        live = json.loads((program.data_dir / lock.LIVE).read_text())
        assert (live["pid"], live["url"]) == (running.process.pid, url)
        kept = (program.data_dir, *program.data_dir.iterdir())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept}
        assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
        second = await program.run("up", "--port", "0")
        assert second.code == 2
        (line,) = second.err.splitlines()
        assert url in line
        assert f"process {running.process.pid}" in line
        assert f"--url {url}" in line
        assert await running.end(signal.SIGINT) == 0


@pytest.mark.parametrize("name", [lock.LOCK, logs.FILE])
async def test_what_another_user_has_left_in_the_folder_is_named(
    program: Program, name: str
) -> None:
    (program.data_dir / name).mkdir(parents=True)
    ended = await program.run("up", "--port", "0")
    assert ended.code == 2
    assert f"error: data_dir: {program.data_dir / name} cannot be used (" in ended.err


async def test_a_port_in_use_is_told_before_anything_is_started(program: Program) -> None:
    with serve.listening("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        ended = await program.run("up", "--port", str(port))
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert f"port {port} " in line
    assert f"--port {port + 1} or COUNTERPOINT_PORT={port + 1}" in line
    assert not (program.data_dir / "redis").exists()


async def test_long_names_of_folders_leave_sockets_their_room(
    program: Program, tmp_path: Path
) -> None:
    """A command's own server and Redis, both under a path longer than a socket's may be."""
    temporary, data = tmp_path / ("t" * 150), tmp_path / ("d" * 150)
    temporary.mkdir()
    deep = replace(
        program, data_dir=data, variables={**program.variables, "TMPDIR": str(temporary)}
    )
    ended = await deep.run("search", "anything", "--json", alone=True)
    assert json.loads(ended.out) == {"hits": []}, ended.err


@pytest.mark.siege
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"COUNTERPOINT_REDIS_URL": "redis://:hush@127.0.0.1:9"}, "redis://127.0.0.1:9"),
        (
            {"COUNTERPOINT_MODEL_URL": "http://127.0.0.1:9/v1", "COUNTERPOINT_MODEL_TOOLS": "auto"},
            "http://127.0.0.1:9/v1",
        ),
        (
            {
                "COUNTERPOINT_MODEL_URL": "https://models.example/v1",
                "COUNTERPOINT_MODEL_INPUT_PRICE": "1",
                "COUNTERPOINT_MODEL_OUTPUT_PRICE": "1",
                "https_proxy": "",
                "ALL_PROXY": "socks5://me:hush@127.0.0.1:9",
            },
            "list models.example in NO_PROXY",
        ),
    ],
)
async def test_what_cannot_be_reached_is_one_line(
    program: Program, variables: dict[str, str], words: str
) -> None:
    unlucky = replace(program, variables={**program.variables, **variables})
    ended = await unlucky.run("up", "--port", "0", alone=True)
    assert ended.code == 3, ended.err
    (line,) = ended.err.splitlines()
    assert words in line
    assert "hush" not in line


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("COUNTERPOINT_DATA_DIR", "/proc/nowhere", "--data-dir"),
        ("COUNTERPOINT_KNOWLEDGE", "x", "COUNTERPOINT_KNOWLEDGE: no such setting"),
        ("COUNTERPOINT_MAX_STEPS", "many", "max_steps: "),
        ("COUNTERPOINT_HOST", "0.0.0.0", "COUNTERPOINT_API_KEY_SHA256"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    name: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert cli.run(["up", "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.siege
async def test_a_stop_before_it_is_ready_is_an_interruption(
    program: Program, openai_endpoint: OpenAIEndpoint
) -> None:
    """The endpoint is asked what it can, and does not answer."""
    openai_endpoint.will(Hangs())
    asking = replace(program, variables={**program.variables, "COUNTERPOINT_MODEL_TOOLS": "auto"})
    async with asking.up() as running:
        async with asyncio.timeout(20):
            await openai_endpoint.hanging.wait()
        children = descendants(running.process.pid)
        assert await running.end(signal.SIGINT) == 130
    await gone(children)


async def ingest(client: httpx.AsyncClient, number: int, *, words: int = 200) -> None:
    text = f"The password of room {number} is swordfish{number}.\n\n" + "More words. " * words
    reply = await client.post(
        "/documents", files={"files": (f"room-{number}.md", text.encode())}, timeout=30
    )
    assert reply.json()["results"][0]["status"] in {"added", "unchanged"}, reply.text


@pytest.mark.siege
async def test_killed_at_any_moment_it_loses_no_document_and_needs_no_repair(
    program: Program,
) -> None:
    """Killed in the middle of an ingest, then in the middle of the next start."""
    async with program.up() as running:
        url = await running.ready()
        children = descendants(running.process.pid)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            for number in range(3):
                await ingest(client, number)
            children = descendants(running.process.pid)
            # One more is on its way when the end comes.
            on_its_way = asyncio.create_task(ingest(client, 3, words=20_000))
            await client.get("/ok")
            running.process.kill()
            with pytest.raises(httpx.HTTPError):
                await on_its_way
        await running.ended()
    await gone(children)
    async with program.up() as running:
        while "Redis" not in await running.line():
            pass
        children = descendants(running.process.pid)
        await running.end(signal.SIGKILL)
    await gone(children)
    async with program.up() as running:
        url = await running.ready()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            listed = (await client.get("/documents")).json()["items"]
            assert {f"room-{number}.md" for number in range(3)} == {x["source"] for x in listed}
            for number in range(3):
                query = {"query": f"password of room {number}", "limit": 10}
                hits = (await client.post("/documents/search", json=query)).json()["hits"]
                assert any(f"swordfish{number}." in hit["text"] for hit in hits)
            await ingest(client, 3, words=20_000)
        assert await running.end(signal.SIGINT) == 0


ORDER = {"messages": [{"role": "user", "content": "500 pieces"}]}


@pytest.mark.siege
@pytest.mark.timeout(180)
async def test_a_run_that_waits_for_a_person_survives_down_and_up(program: Program) -> None:
    """Nothing of it is in a process: the next one shows it, and goes on with the decision."""
    serving = replace(
        program, variables={**program.variables, "COUNTERPOINT_LANGGRAPH_JSON": str(ORDERS)}
    )
    asked = {"assistant_id": "orders", "input": ORDER, "if_not_exists": "create"}
    async with serving.up() as running:
        url = await running.ready()
        children = descendants(running.process.pid)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            reply = await client.post("/threads", json={})
            thread = f"/threads/{reply.json()['thread_id']}"
            (await client.post(f"{thread}/runs/wait", json=asked)).raise_for_status()
            before = (await client.get("/approvals?status=pending")).json()
        ended = await serving.run("down", "--json")
        assert (ended.code, json.loads(ended.out)) == (0, {"stopped": running.process.pid})
        assert await running.ended() == 0
    await gone(children)
    nothing = await serving.run("down")
    assert (nothing.code, nothing.out) == (0, f"no Counterpoint owns {program.data_dir}\n")
    async with serving.up() as running:
        url = await running.ready()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            after = (await client.get("/approvals?status=pending")).json()
            assert after["total"] == 1
            for name in ("id", "run_id", "args", "args_sha256", "requested_at"):
                assert after["items"][0][name] == before["items"][0][name]
            decided = await serving.run(
                "approvals", "respond", after["items"][0]["id"], "--message", "true"
            )
            assert decided.code == 0, decided.err
            run_id = after["items"][0]["run_id"]
            state = (await client.get(f"{thread}/runs/{run_id}/join")).json()
    assert state["approved"] is True
