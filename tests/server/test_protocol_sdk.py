"""The thread-centric protocol, spoken by LangGraph's own unmodified clients over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import NotFoundError

from server.app import build
from tests.server.cutting import allowances, cutting
from tests.server.served_graphs import FLOOD, WORDS, gates
from tests.server.surface import ANSWER, SECONDS, Parts, served

QUESTION: Any = {"messages": [{"type": "human", "content": "How long?"}]}
NOTHING: Any = {"steps": []}

pytestmark = pytest.mark.usefixtures("worker")


class Thread:
    """Either client's thread; what the synchronous one does blocks, so it goes to a thread."""

    def __init__(self, thread: Any) -> None:
        self._thread = thread
        self._blocks = not hasattr(thread, "__aenter__")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thread, name)

    async def _called(self, call: Callable[[], Any]) -> Any:
        if self._blocks:
            return await asyncio.to_thread(call)
        return await call()

    async def start(self, given: Any, **more: Any) -> str:
        begun = await self._called(lambda: self._thread.run.start(input=given, **more))
        return str(begun["run_id"])

    async def respond(self, response: Any, **more: Any) -> str:
        begun = await self._called(lambda: self._thread.run.respond(response, **more))
        return str(begun["run_id"])

    async def output(self) -> Any:
        if self._blocks:
            return await asyncio.to_thread(lambda: self._thread.output)
        return await self._thread.output

    async def each(self, name: str) -> list[Any]:
        """All that a projection gives, to the run's end or pause."""
        if self._blocks:
            return await asyncio.to_thread(lambda: list(getattr(self._thread, name)))
        return [one async for one in getattr(self._thread, name)]

    async def text(self, message: Any) -> str:
        return (
            str(await asyncio.to_thread(lambda: str(message.text)))
            if self._blocks
            else str(await message.text)
        )

    async def channel(self, *channels: str) -> list[Any]:
        """The events of these, to the run's end or pause."""
        found = self._thread.subscribe(list(channels))
        if self._blocks:
            return await asyncio.to_thread(lambda: list(found))
        return [one async for one in found]


class Client:
    def __init__(self, client: Any, *, transport: str) -> None:
        self._client = client
        self._transport = transport

    @contextlib.asynccontextmanager
    async def thread(self, graph: str, thread_id: str | None = None) -> AsyncIterator[Thread]:
        found = self._client.threads.stream(
            thread_id, assistant_id=graph, transport=self._transport
        )
        if hasattr(found, "__aenter__"):
            async with found as thread:
                yield Thread(thread)
            return
        thread = await asyncio.to_thread(found.__enter__)
        try:
            yield Thread(thread)
        finally:
            # The synchronous client's streams end with their thread only.
            with contextlib.suppress(NotFoundError):
                await asyncio.to_thread(self._client.threads.delete, found.thread_id)
            await asyncio.to_thread(found.__exit__, None, None, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@contextlib.asynccontextmanager
async def connected(url: str, kind: str, transport: str) -> AsyncIterator[Client]:
    if kind == "async":
        async with get_client(url=url, api_key=None) as made:
            yield Client(made, transport=transport)
    else:
        with get_sync_client(url=url, api_key=None) as sync:
            yield Client(sync, transport=transport)


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(parts: Parts, kind: str, transport: str) -> AsyncIterator[Client]:
    # The synchronous client notices that its stream is closed at the next sign of life.
    async with (
        served(build(parts, heartbeat=0.1)) as url,
        asyncio.timeout(SECONDS),
        connected(url, kind, transport) as made,
    ):
        yield made


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients come back without the seconds that they would wait."""
    monkeypatch.setattr("langgraph_sdk._async.stream._reconnect_delay", lambda *_, **__: 0)


async def test_a_models_words_are_streamed_and_the_run_has_an_output(client: Client) -> None:
    async with client.thread("echo") as thread:
        await thread.start(QUESTION)
        (message,) = await thread.each("messages")
        assert await thread.text(message) == WORDS
        output = await thread.output()
    assert [one["content"] for one in output["messages"]] == ["How long?", WORDS]
    assert output["messages"][-1]["id"] == message.message_id


async def test_a_question_is_answered_and_the_run_goes_on(client: Client) -> None:
    async with client.thread("asks") as thread:
        first = await thread.start(NOTHING)
        # The client ends this at the question, which it hears of over another connection.
        await thread.each("values")
        (asked,) = thread.interrupts
        assert (asked["value"], asked["namespace"]) == ({"question": "Shall I?"}, [])
        with pytest.raises(RuntimeError, match="no_such_interrupt"):
            await thread._called(
                lambda: thread._send_command(
                    "input.respond", {"interrupt_id": "i0", "namespace": [], "response": 1}
                )
            )
        second = await thread.respond("yes", interrupt_id=asked["interrupt_id"])
        assert await thread.output() == {"steps": ["looked", "told yes"]}
    assert first != second


async def test_a_failure_reaches_who_waits_for_the_output(client: Client) -> None:
    async with client.thread("fails") as thread:
        await thread.start(NOTHING)
        with pytest.raises(RuntimeError, match="the moon is full"):
            await thread.output()


async def test_subgraphs_are_found_and_named(client: Client) -> None:
    async with client.thread("deep") as thread:
        await thread.start(NOTHING)
        (found,) = await thread.each("subgraphs")
        assert (found.graph_name, found.status) == ("inner", "completed")
        assert await thread.output() == {"steps": ["looked", "looked", "looked", "wrote"]}


async def test_the_team_answers_and_its_agents_are_seen_at_work(client: Client) -> None:
    async with client.thread("team") as thread:
        await thread.start(QUESTION)
        (agent,) = await thread.each("subagents")
        assert agent.namespace == ["tools:1"]
    async with client.thread("team") as thread:
        await thread.start(QUESTION)
        (told,) = await thread.channel("values")
    assert told["params"]["data"]["messages"][-1]["content"] == ANSWER


async def test_a_thread_is_followed_over_its_runs_from_where_a_reader_stands(
    client: Client,
) -> None:
    name = str(uuid.uuid4())
    async with client.thread("writes", name) as thread:
        await thread.start(NOTHING)
        first = await thread.channel("custom", "lifecycle", "values")
        await thread.start(NOTHING)
        second = await thread.channel("custom", "lifecycle", "values")
    for run in (first, second):
        told = [one["params"]["data"] for one in run if one["method"] == "custom"]
        assert told == [{"payload": {"progress": number}} for number in range(3)]
    names = [one["event_id"] for one in [*first, *second]]
    assert len(set(names)) == len(names)
    assert second[1]["params"]["data"] == {"steps": ["wrote"]}


async def test_each_turn_of_a_conversation_has_its_own_output(app: FastAPI) -> None:
    name = str(uuid.uuid4())
    async with served(app) as url, asyncio.timeout(SECONDS), get_client(url=url) as client:
        await client.threads.create(thread_id=name)
        for _ in range(2):
            await client.runs.wait(name, "writes", input=NOTHING)
        for turn in (3, 4):
            # The client takes the first end that it is told for that of its run.
            async with client.threads.stream(name, assistant_id="writes") as thread:
                await thread.run.start(input=NOTHING)
                assert await thread.output == {"steps": ["wrote"] * turn}


async def test_a_run_begins_from_an_earlier_checkpoint(client: Client) -> None:
    name = str(uuid.uuid4())
    async with client.thread("deep", name) as thread:
        await thread.start(NOTHING)
        told = await thread.channel("checkpoints")
        places = [one["params"]["data"] for one in told if not one["params"]["namespace"]]
        assert [one["step"] for one in places] == [-1, 0, 1, 2]
        config = {"configurable": {"checkpoint_id": places[2]["id"]}}
        await thread.start(None, config=config)
        again = await thread.channel("checkpoints", "tasks")
    assert [
        (one["params"]["node"], one["params"]["data"]["input"])
        for one in again
        if one["method"] == "tasks"
        and not one["params"]["namespace"]
        and "input" in one["params"]["data"]
    ] == [("inner", {"steps": ["looked"]})]


async def test_a_run_that_is_cancelled_ends_as_interrupted(app: FastAPI) -> None:
    gate = str(uuid.uuid4())
    async with (
        served(app) as url,
        asyncio.timeout(SECONDS),
        get_client(url=url, api_key=None) as client,
        client.threads.stream(assistant_id="gated") as thread,
    ):
        told = thread.subscribe(["lifecycle"])
        run = await thread.run.start(input={"gate": gate})
        await gates[gate].reached.wait()
        await client.runs.cancel(thread.thread_id, run["run_id"])
        async for one in told:
            phase: Any = one["params"]["data"]["event"]
            if phase != "running":
                break
    assert phase == "interrupted"


@pytest.mark.usefixtures("_at_once")
async def test_a_stream_that_is_cut_again_and_again_gives_every_event_once(app: FastAPI) -> None:
    async with asyncio.timeout(SECONDS * 2), served(app) as url:
        async with (
            get_client(url=url, api_key=None) as direct,
            direct.threads.stream(assistant_id="floods") as made,
        ):
            await made.run.start(input=NOTHING)
            await made.output
            name = made.thread_id
            whole = [one async for one in made.subscribe(["custom", "values"])]
        async with (
            cutting(url, allowances=allowances(seed=7, cuts=60, first=3_000)) as (there, proxy),
            get_client(url=there, api_key=None) as client,
            client.threads.stream(name, assistant_id="floods") as thread,
        ):
            thread._shared_max_reconnect_attempts = 100
            told = [one async for one in thread.subscribe(["custom", "values"])]
    assert told == whole
    assert [
        one["params"]["data"]["payload"]["progress"] for one in told if one["method"] == "custom"
    ] == list(range(FLOOD))
    assert proxy.cuts > 10
