"""Runs with LangGraph's own unmodified clients, over a socket: every method of ``client.runs``."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import threading
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk._async.runs import RunsClient
from langgraph_sdk._sync.runs import SyncRunsClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from server.assistants.records import built_in_id
from tests.server.cutting import allowances, cutting
from tests.server.served_graphs import FLOOD, WORDS, gates
from tests.server.surface import SECONDS, served

CUTS = 200
RUNS = 4
QUESTION: Any = {"messages": [{"type": "human", "content": "How long?"}]}
NOTHING: Any = {"steps": []}

pytestmark = pytest.mark.usefixtures("worker")


class Client:
    """Either client: a call is awaited, a stream is listed, in a thread where it has to be."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, name: str, *args: Any, **options: Any) -> Any:
        part, _, method = name.rpartition(".")
        function = getattr(getattr(self._client, part or "runs"), method)
        if inspect.iscoroutinefunction(function):
            return await function(*args, **options)
        return await asyncio.to_thread(function, *args, **options)

    async def each(self, name: str, *args: Any, **options: Any) -> AsyncIterator[Any]:
        part, _, method = name.rpartition(".")
        parts = getattr(getattr(self._client, part or "runs"), method)(*args, **options)
        if inspect.iscoroutine(parts):
            parts = await parts
        if isinstance(parts, AsyncIterator):
            async for one in parts:
                yield one
            return
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        over = object()

        def read() -> None:
            try:
                for one in parts:
                    told.put(one)
            except Exception as error:  # noqa: BLE001 - raised where the parts are read
                told.put(error)
            told.put(over)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            while (one := await asyncio.to_thread(told.get)) is not over:
                if isinstance(one, Exception):
                    raise one
                yield one
        finally:
            await asyncio.to_thread(thread.join)

    async def stream(self, name: str, *args: Any, **options: Any) -> list[Any]:
        return [one async for one in self.each(name, *args, **options)]

    def threads_stream(self, *args: Any, **options: Any) -> Any:
        return self._client.threads.stream(*args, **options)

    def delete_thread(self, thread: str) -> None:
        self._client.threads.delete(thread)


@contextlib.asynccontextmanager
async def connected(url: str, kind: str) -> AsyncIterator[Client]:
    if kind == "async":
        async with get_client(url=url, api_key=None) as made:
            yield Client(made)
    else:
        with get_sync_client(url=url, api_key=None) as sync:
            yield Client(sync)


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(app: FastAPI, kind: str) -> AsyncIterator[Client]:
    async with served(app) as url, asyncio.timeout(SECONDS * 4), connected(url, kind) as made:
        yield made


def thread_id() -> str:
    return str(uuid.uuid4())


async def test_stream_tells_a_run_and_where_it_is(client: Client) -> None:
    thread = thread_id()
    created: list[Any] = []
    told = await client.stream(
        "stream",
        thread,
        "echo",
        input=QUESTION,
        stream_mode=["values", "messages-tuple", "updates"],
        metadata={"who": "me"},
        config={"tags": ["t"], "recursion_limit": 9, "configurable": {"n": 1}},
        stream_resumable=True,
        on_run_created=created.append,
    )
    assert created == [{"run_id": told[0].data["run_id"], "thread_id": thread}]
    assert (told[0].event, told[-1].event) == ("metadata", "end")
    pieces = [part.data[0]["content"] for part in told if part.event == "messages"]
    assert "".join(pieces) == WORDS
    assert len({part.id for part in told}) == len(told)


async def test_stream_in_its_second_version_tells_questions_apart(client: Client) -> None:
    told = await client.stream("stream", thread_id(), "asks", input=NOTHING, version="v2")
    assert told[-1]["type"] == "values"
    assert told[-1]["interrupts"][0]["value"] == {"question": "Shall I?"}
    alone = await client.stream(
        "stream", None, "deep", input=NOTHING, stream_subgraphs=True, version="v2"
    )
    assert any(part["ns"] and part["ns"][0].startswith("inner:") for part in alone)


async def test_create_get_list_join_and_delete_a_run(client: Client) -> None:
    thread = thread_id()
    created: list[Any] = []
    made = await client.call(
        "create",
        thread,
        built_in_id("writes"),
        input=NOTHING,
        metadata={"who": "me"},
        multitask_strategy="enqueue",
        on_run_created=created.append,
    )
    run_id = made["run_id"]
    assert created == [{"run_id": run_id, "thread_id": thread}]
    assert await client.call("join", thread, run_id) == {"steps": ["wrote"]}
    run = await client.call("get", thread, run_id)
    assert (run["status"], run["metadata"]) == ("success", {"who": "me"})
    assert run["multitask_strategy"] == "enqueue"
    listed = await client.call("list", thread, status="success", select=["run_id"])
    assert listed == [{"run_id": run_id}]
    assert await client.call("list", thread, status="error") == []
    await client.call("delete", thread, run_id)
    with pytest.raises(NotFoundError, match=run_id):
        await client.call("get", thread, run_id)


async def test_create_without_a_thread_and_many_at_once(client: Client) -> None:
    alone = await client.call("create", None, "writes", input=NOTHING, on_completion="keep")
    many: Any = await client.call(
        "create_batch",
        [{"assistant_id": "writes", "input": NOTHING, "thread_id": None}] * 3,
    )
    assert len({run["run_id"] for run in many}) == 3
    for run in [alone, *many]:
        assert await client.call("join", run["thread_id"], run["run_id"]) == {"steps": ["wrote"]}


async def test_join_stream_replays_a_run_from_where_it_is_told(client: Client) -> None:
    thread = thread_id()
    told = await client.stream("stream", thread, "writes", input=NOTHING, stream_mode="custom")
    run_id = told[0].data["run_id"]
    assert await client.stream("join_stream", thread, run_id, last_event_id="-1") == told
    rest = await client.stream("join_stream", thread, run_id, last_event_id=told[2].id)
    assert rest == told[3:]
    none = await client.stream("join_stream", thread, run_id, stream_mode=["debug", "updates"])
    assert [part.event for part in none] == ["metadata", "end"]


async def test_wait_gives_the_state_the_questions_or_raises(client: Client) -> None:
    thread = thread_id()
    created: list[Any] = []
    asked = await client.call("wait", thread, "asks", input=NOTHING, on_run_created=created.append)
    assert asked["__interrupt__"][0]["value"] == {"question": "Shall I?"}
    assert created[0]["thread_id"] == thread
    answered = await client.call("wait", thread, "asks", command={"resume": "yes"})
    assert answered == {"steps": ["looked", "told yes"]}
    with pytest.raises(Exception, match="ValueError: the moon is full"):
        await client.call("wait", None, "fails", input=NOTHING)
    failed = await client.call("wait", None, "fails", input=NOTHING, raise_error=False)
    assert failed["__error__"]["error"] == "ValueError"


async def test_cancel_one_and_many(client: Client) -> None:
    thread, name = thread_id(), thread_id()
    runs = [await client.call("create", thread, "gated", input={"gate": name}) for _ in range(3)]
    await gates[name].reached.wait()
    with pytest.raises(ConflictError):
        await client.call(
            "create", thread, "gated", input={"gate": name}, multitask_strategy="reject"
        )
    with pytest.raises(ConflictError):
        await client.call("delete", thread, runs[0]["run_id"])
    await client.call("cancel", thread, runs[0]["run_id"], wait=True)
    assert (await client.call("get", thread, runs[0]["run_id"]))["cancel_reason"]
    await client.call("cancel", thread, runs[1]["run_id"], action="rollback")
    await client.call("cancel_many", status="all")
    joined = await client.call("join", thread, runs[2]["run_id"])
    assert joined["__error__"]["error"] == "cancelled"


async def test_the_stream_of_a_thread_tells_its_runs(client: Client) -> None:
    thread = thread_id()
    await client.call("wait", thread, "writes", input=NOTHING)
    told = []
    async for part in client.each(
        "threads.join_stream", thread, stream_mode="lifecycle", last_event_id="-1"
    ):
        told.append(part)
        if part.event == "run_done":
            # The sync client's stream ends with its thread's log only.
            await client.call("threads.delete", thread)
            break
    assert [part.event for part in told] == ["metadata", "run_done"]


def test_no_method_of_the_clients_is_left_out() -> None:
    for known in (RunsClient, SyncRunsClient):
        methods = {name for name in vars(known) if not name.startswith("_")}
        assert methods == {
            "stream",
            "create",
            "create_batch",
            "wait",
            "list",
            "get",
            "cancel",
            "cancel_many",
            "join",
            "join_stream",
            "delete",
        }


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients come back without the seconds that they would wait."""
    for module in ("_async", "_sync"):
        monkeypatch.setattr(f"langgraph_sdk.{module}.http._reconnect_delay", lambda *_, **__: 0)


@pytest.mark.usefixtures("_at_once")
async def test_streams_that_are_cut_two_hundred_times_give_every_event_once(
    app: FastAPI, kind: str
) -> None:
    modes = ["custom", "values", "updates"]
    cuts = 0
    async with asyncio.timeout(SECONDS * 8), served(app) as url, connected(url, kind) as direct:
        for seed in range(RUNS):
            thread = thread_id()
            lengths = allowances(seed=seed, cuts=CUTS // RUNS, first=900)
            async with (
                cutting(url, allowances=lengths) as (there, proxy),
                connected(there, kind) as client,
            ):
                told = await client.stream(
                    "stream", thread, "floods", input=NOTHING, stream_mode=modes
                )
            cuts += proxy.cuts
            run_id = told[0].data["run_id"]
            whole = await direct.stream("join_stream", thread, run_id, last_event_id="-1")
            pieces = [part.data["progress"] for part in told if part.event == "custom"]
            assert pieces == list(range(FLOOD))
            assert told == whole
            assert all(part.id for part in told)
            assert len({part.id for part in told}) == len(told)
    assert cuts == CUTS


@pytest.mark.usefixtures("_at_once")
async def test_an_answer_that_is_cut_while_it_is_waited_for_is_fetched_again(
    app: FastAPI, kind: str
) -> None:
    async with (
        asyncio.timeout(SECONDS * 2),
        served(app) as url,
        cutting(url, allowances=iter([420, 420, 1 << 40])) as (there, proxy),
        connected(there, kind) as client,
    ):
        with pytest.warns(UserWarning, match="attempting reconnect"):
            found = await client.call("wait", thread_id(), "writes", input=NOTHING)
    assert found == {"steps": ["wrote"]}
    assert proxy.cuts > 0


async def test_the_thread_centric_stream_starts_a_run_and_gives_its_output(client: Client) -> None:
    thread = thread_id()
    for transport in ("sse", "websocket"):
        found = client.threads_stream(
            thread, assistant_id="writes", transport=transport, run_start_timeout=SECONDS
        )
        if hasattr(found, "__aenter__"):
            async with found as one:
                await one.run.start(input=NOTHING)
                output = await one.output
        else:
            output = await asyncio.to_thread(run_and_delete, found, client)
        assert output == {"steps": ["wrote"]}
        thread = thread_id()


def run_and_delete(found: Any, client: Client) -> Any:
    """The output of a run; its thread goes, with which the synchronous client's stream ends."""
    with found as one:
        one.run.start(input=NOTHING)
        output = one.output
        client.delete_thread(one.thread_id)
    return output
