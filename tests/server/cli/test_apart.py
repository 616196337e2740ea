"""API and workers as processes of their own, over one Redis, with documents that one API keeps."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from models.schema import ANSWER
from server.redis_server import RedisServer
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Request, Says
from tests.server.cli.program import WORKER_READY, Program, Running

QUESTION = "How many days do I have to return an annual plan?"
SAID = "Within 45 days of the payment [1]."
PLANS = "# Plans\n\n## Money back\n\nAn annual plan can be returned within 45 days of payment.\n"
SECONDS = 30.0
STOPPING = re.compile(r"Stopping")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.siege,
    pytest.mark.xdist_group("apart"),
]


class Patient(OpenAIEndpoint):
    """A model that thinks until it is let go, and then answers each agent in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)
        self.let_go = asyncio.Event()
        self.let_go.set()

    def hold(self) -> None:
        """Think from now on, and count anew who has asked."""
        self.let_go.clear()
        self.asked = asyncio.Semaphore(0)

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.asked.release()
        waiting = asyncio.create_task(self.let_go.wait())
        closing = asyncio.create_task(self._closing.wait())
        await asyncio.wait({waiting, closing}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        closing.cancel()
        self.will(_answer(request))
        await super()._reply(request, writer)


def _answer(request: Request) -> Says:
    schema = json.dumps(request.body.get("tools", []))
    if '"move"' in schema:
        return _typed({"move": "research", "text": "", "tasks": [QUESTION]})
    if '"supported"' in schema:
        return _typed({"reason": "the passage says so", "supported": True})
    return Says(text=SAID)


def _typed(answer: object) -> Says:
    return Says(calls=(Call(name=ANSWER, args=json.dumps(answer)),), usage=(50, 10))


@dataclass(kw_only=True)
class Town:
    """Five processes: the keeper of the documents (an API), a second API, workers, Redis."""

    program: Program
    model: Patient
    keeper: Running
    api: Running
    stack: AsyncExitStack
    workers: list[Running] = field(default_factory=list)

    def at(self, running: Running) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=SECONDS)

    async def hire(self) -> Running:
        worker = await self.stack.enter_async_context(
            self.program.running("worker", "--concurrency", "1")
        )
        await worker.says(WORKER_READY)
        self.workers.append(worker)
        return worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town() -> AsyncIterator[Town]:
    with tempfile.TemporaryDirectory() as folder:
        async with _town(Path(folder)) as made:
            yield made


@asynccontextmanager
async def _town(folder: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        redis = RedisServer(folder / "redis")
        (folder / "redis").mkdir()
        await redis.start()
        stack.push_async_callback(redis.close)
        model = await Patient().start()
        stack.push_async_callback(model.aclose)
        variables = {
            "COUNTERPOINT_REDIS_URL": redis.url,
            "COUNTERPOINT_MODEL_URL": model.url,
            "COUNTERPOINT_MODEL": "double",
            "COUNTERPOINT_MODEL_TOOLS": "native",
            "COUNTERPOINT_DRAIN_SECONDS": "15",
        }
        keeping = Program(data_dir=folder / "keeper", home=folder, variables=variables)
        keeper = await stack.enter_async_context(
            keeping.running("api", "--keep-documents", "--port", "0")
        )
        await keeper.ready()
        # One data folder for all the others: none of them owns it.
        program = Program(
            data_dir=folder / "data",
            home=folder,
            variables={**variables, "COUNTERPOINT_KNOWLEDGE_URL": keeper.url},
        )
        api = await stack.enter_async_context(program.running("api", "--port", "0"))
        made = Town(program=program, model=model, keeper=keeper, api=api, stack=stack)
        await asyncio.gather(api.ready(), made.hire(), made.hire())
        # By way of the API that does not keep them.
        async with made.at(api) as client:
            added = await client.post("/documents", files={"files": ("plans.md", PLANS.encode())})
        assert added.json()["results"][0]["status"] == "added"
        yield made


async def ask(client: httpx.AsyncClient, *, thread: str | None = None) -> dict[str, Any]:
    """A run, as its wire shows it, on a thread of its own unless one is given."""
    if thread is None:
        thread = (await client.post("/threads", json={})).json()["thread_id"]
    asked = {"assistant_id": "team", "input": {"messages": [{"role": "user", "content": QUESTION}]}}
    reply = await client.post(f"/threads/{thread}/runs", json=asked)
    assert reply.status_code == 200, reply.text
    run: dict[str, Any] = reply.json()
    return run


def path(run: dict[str, Any]) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['run_id']}"


async def test_a_worker_does_the_run_that_an_api_took_and_asks_the_keeper(town: Town) -> None:
    async with town.at(town.api) as client:
        reply = await client.post(
            "/v1/chat/completions",
            json={"model": "counterpoint", "messages": [{"role": "user", "content": QUESTION}]},
        )
    said = reply.json()["choices"][0]["message"]["content"]
    assert SAID in said
    assert "plans.md" in said
    async with town.at(town.keeper) as client:
        assert (await client.get("/documents")).json()["total"] == 1


async def test_another_api_serves_the_stream_of_the_same_run(town: Town) -> None:
    town.model.hold()
    async with town.at(town.api) as here, town.at(town.keeper) as there:
        run = await ask(here)
        await town.model.asked.acquire()
        async with there.stream(
            "GET",
            f"{path(run)}/stream",
            params={"stream_mode": "custom"},
            headers={"Last-Event-ID": "-1"},
        ) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if '"run.started"' in line:
                    break
            town.model.let_go.set()
            rest = [line async for line in lines]
        assert any(SAID in line for line in rest)
        assert (await here.get(path(run))).json()["status"] == "success"


async def test_an_api_that_stops_cuts_its_streams_and_another_goes_on_behind_the_cut(
    town: Town,
) -> None:
    town.model.hold()
    async with (
        town.program.running("api", "--port", "0") as leaving,
        town.at(town.keeper) as there,
    ):
        await leaving.ready()
        async with town.at(leaving) as here:
            run = await ask(here)
            await town.model.asked.acquire()
            seen: list[str] = []
            params = {"stream_mode": "custom"}
            beginning = {"Last-Event-ID": "-1"}
            stream = f"{path(run)}/stream"
            async with here.stream("GET", stream, params=params, headers=beginning) as cut:
                async for name in ids(cut):
                    if not seen:
                        leaving.process.send_signal(signal.SIGTERM)
                    seen.append(name)
        assert await leaving.ended() == 0
        town.model.let_go.set()
        last = {"Last-Event-ID": seen[-1]}
        async with there.stream("GET", stream, params=params, headers=last) as rest:
            after = [name async for name in ids(rest)]
        async with there.stream("GET", stream, params=params, headers=beginning) as whole:
            told = [name async for name in ids(whole)]
    assert after
    assert seen + after == told


async def ids(stream: httpx.Response) -> AsyncIterator[str]:
    """The ids of a stream's events, to its end or to where it is cut."""
    with suppress(httpx.RemoteProtocolError):
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                yield line.removeprefix("id: ")


async def each_holds_one(town: Town, client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Two runs under way, one at each of two workers."""
    while len(town.workers) < 2:
        await town.hire()
    town.model.hold()
    runs = [await ask(client), await ask(client)]
    for _ in runs:
        await town.model.asked.acquire()
    return runs


async def done(client: httpx.AsyncClient, run: dict[str, Any]) -> tuple[str, int]:
    """A run's end, and how many attempts it took; sooner than a lease would end."""
    assert (await client.get(f"{path(run)}/join")).status_code == 200
    shown = (await client.get(f"/admin/runs/{run['run_id']}")).json()
    return shown["status"], shown["attempts"]


async def test_a_worker_that_is_told_to_stop_ends_its_run_first(town: Town) -> None:
    async with town.at(town.api) as client:
        runs = await each_holds_one(town, client)
        leaving = town.workers.pop(0)
        leaving.process.send_signal(signal.SIGTERM)
        await leaving.says(STOPPING)
        town.model.let_go.set()
        assert [await done(client, run) for run in runs] == [("success", 1)] * 2
        assert await leaving.ended() == 0
        # The other one is still at work.
        assert await done(client, await ask(client)) == ("success", 1)


async def test_a_second_signal_gives_the_run_to_another_worker_at_once(town: Town) -> None:
    async with town.at(town.api) as client:
        runs = await each_holds_one(town, client)
        leaving = town.workers.pop(0)
        leaving.process.send_signal(signal.SIGTERM)
        await leaving.says(STOPPING)
        assert await leaving.end(signal.SIGTERM) == 130
        town.model.let_go.set()
        assert [await done(client, run) for run in runs] == [("success", 1)] * 2


async def test_an_operator_sees_why_a_run_waits_and_ends_what_is_in_its_way(town: Town) -> None:
    town.model.hold()
    at = ("--url", town.api.url)
    async with town.at(town.api) as client:
        first = await ask(client)
        await town.model.asked.acquire()
        second = await ask(client, thread=first["thread_id"])
    told, listed, refused = await asyncio.gather(
        town.program.run("runs", "explain", second["run_id"], *at),
        town.program.run("runs", "list", "--status", "running", "--json", *at),
        town.program.run("threads", "unlock", first["thread_id"], *at),
    )
    assert told.code == 0, told.err
    assert told.out.startswith("pending: ")
    assert first["run_id"] in told.out
    assert [item["run_id"] for item in json.loads(listed.out)["items"]] == [first["run_id"]]
    assert refused.code == 2
    assert "is at work" in refused.err
    ended, shown = await asyncio.gather(
        town.program.run("runs", "cancel", first["run_id"], *at),
        town.program.run("threads", "show", first["thread_id"], *at),
    )
    assert (ended.code, shown.code) == (0, 0), ended.err + shown.err
    assert "busy" in shown.out
    town.model.let_go.set()
    async with town.at(town.api) as client:
        assert await done(client, second) == ("success", 1)
        assert (await done(client, first))[0] == "cancelled"


async def test_without_a_server_a_repair_says_how_to_name_one(town: Town, tmp_path: Path) -> None:
    lost = replace(town.program, data_dir=tmp_path)
    ended = await lost.run("runs", "list")
    assert ended.code == 3
    assert "--url" in ended.err
