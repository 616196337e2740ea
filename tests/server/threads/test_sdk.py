"""Threads and assistants with LangGraph's own unmodified clients, over a socket."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import (
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from server.assistants.records import built_in_id
from tests.server.surface import Parts, served
from tests.server.threads.by_hand import put_status
from tests.server.threads.test_state_routes import ran

Call = Callable[..., Awaitable[Any]]

HUMAN = {"type": "human", "content": "hello"}
STEPS = [
    {
        "updates": [
            {"values": {"messages": [HUMAN], "count": 1}, "as_node": "__start__", "command": None}
        ]
    },
    {"updates": [{"values": None, "command": {"update": {"title": "x"}}, "as_node": "answer"}]},
]


class Client:
    """Either client, called in the same way; each call that nobody made is known."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.called: set[str] = set()

    def __getattr__(self, part: str) -> Any:
        inner = getattr(self._client, part)
        outer = self

        class Part:
            def __getattr__(self, name: str) -> Call:
                async def call(*args: Any, **options: Any) -> Any:
                    outer.called.add(f"{part}.{name}")
                    method = getattr(inner, name)
                    if inspect.iscoroutinefunction(method):
                        return await method(*args, **options)
                    return await asyncio.to_thread(method, *args, **options)

                return call

        return Part()

    def uncalled(self, part: str, *, besides: set[str]) -> set[str]:
        """The public methods of a part of the client that were not called."""
        methods = {
            name
            for name, _ in inspect.getmembers(getattr(self._client, part), callable)
            if not name.startswith("_") and name not in besides
        }
        return methods - {name.partition(".")[2] for name in self.called}


@pytest.fixture(params=["async", "sync"])
async def client(app: FastAPI, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with served(app) as url:
        if request.param == "async":
            async with get_client(url=url, api_key=None) as made:
                yield Client(made)
        else:
            with get_sync_client(url=url, api_key=None) as sync:
                yield Client(sync)


async def test_every_method_for_threads(client: Client, parts: Parts) -> None:
    threads = cast("Any", client.threads)
    thread_id = str(uuid.uuid4())
    made = await threads.create(
        thread_id=thread_id, metadata={"user": "ann"}, graph_id="talking", supersteps=STEPS, ttl=60
    )
    assert made["metadata"] == {"user": "ann", "graph_id": "talking"}
    assert made["values"]["title"] == "x"
    with pytest.raises(ConflictError, match="already"):
        await threads.create(thread_id=thread_id)
    assert await threads.create(thread_id=thread_id, if_exists="do_nothing") == made
    told = await threads.get(thread_id, include=["ttl"])
    assert told["ttl"]["ttl_minutes"] == 60

    changed = await threads.update(thread_id, metadata={"topic": "refunds"}, ttl={"ttl": 5})
    assert changed["metadata"]["topic"] == "refunds"
    assert await threads.update(thread_id, metadata={"seen": True}, return_minimal=True) is None

    copied = await threads.copy(thread_id)
    assert copied["values"] == made["values"]
    assert await threads.count(metadata={"user": "ann"}, values={"title": "x"}, status="idle") == 2
    found = await threads.search(
        metadata={"seen": True},
        values={"title": "x"},
        ids=[thread_id],
        status="idle",
        limit=5,
        offset=0,
        sort_by="state_updated_at",
        sort_order="asc",
        select=["thread_id", "metadata"],
        extract={"last_msg": "values.messages[-1].content"},
    )
    assert found == [
        {
            "thread_id": thread_id,
            "metadata": {**changed["metadata"], "seen": True},
            "extracted": {"last_msg": "hello"},
        }
    ]

    state = await threads.get_state(thread_id, subgraphs=True)
    assert state["metadata"]["step"] == 1
    picked = await threads.get_state(thread_id, select=["values.title", "next"])
    assert picked == {"values": {"title": "x"}, "next": []}
    before = await threads.get_state(thread_id, checkpoint_id=state["parent_checkpoint_id"])
    assert before["next"] == ["answer"]
    assert await threads.get_state(thread_id, checkpoint=state["parent_checkpoint"]) == before
    written = await threads.update_state(
        thread_id, {"title": "y"}, as_node="answer", checkpoint=state["checkpoint"]
    )
    assert written["checkpoint"]["thread_id"] == thread_id
    history = await threads.get_history(thread_id, limit=10)
    assert [one["values"].get("title") for one in history] == ["y", "x", None]
    assert await threads.get_history(thread_id, before=history[0]["checkpoint"]) == history[1:]
    some = await threads.get_history(
        thread_id, before=history[0]["checkpoint_id"], limit=1, select=["values"]
    )
    assert some == [{"values": history[1]["values"]}]
    of_source = await threads.get_history(thread_id, metadata={"source": "update"}, limit=1)
    assert of_source == history[:1]

    ids = [copied["thread_id"]]
    assert await threads.prune(ids, strategy="keep_latest") == {"pruned_count": 1}
    assert await threads.prune(ids) == {"pruned_count": 1}
    assert await threads.delete(thread_id) is None
    with pytest.raises(NotFoundError, match=thread_id):
        await threads.get_state(thread_id)
    with pytest.raises(UnprocessableEntityError, match="thread_id"):
        await threads.get("none")
    assert client.uncalled("threads", besides={"stream", "join_stream"}) == set()


async def test_a_pause_and_the_inboxs_ignore(client: Client, parts: Parts) -> None:
    threads = cast("Any", client.threads)
    made = await ran(parts, "asking", {"count": 1})
    await put_status(parts.records.redis, parts.records.keys, made, "interrupted")
    (listed,) = await threads.search(status="interrupted", metadata={"graph_id": "asking"})
    (task,) = (await threads.get_state(made.thread_id))["tasks"]
    assert listed["interrupts"] == {task["id"]: task["interrupts"]}
    await threads.update_state(made.thread_id, None, as_node="__end__")
    after = await threads.get(made.thread_id)
    assert (after["status"], after["interrupts"]) == ("idle", {})


async def test_every_method_for_assistants(client: Client) -> None:
    assistants = cast("Any", client.assistants)
    assistant_id = str(uuid.uuid4())
    made = await assistants.create(
        "talking",
        {"tags": ["a"]},
        context={"tone": "dry"},
        metadata={"mine": True},
        assistant_id=assistant_id,
        name="Ann",
        description="answers",
    )
    with pytest.raises(ConflictError):
        await assistants.create("talking", assistant_id=assistant_id)
    again = await assistants.create("asking", assistant_id=assistant_id, if_exists="do_nothing")
    assert again == made == await assistants.get(assistant_id)
    second = await assistants.update(
        assistant_id,
        graph_id="nested",
        config={},
        context={},
        metadata={"more": 1},
        name="Bea",
        description="asks",
    )
    assert (second["version"], second["metadata"]) == (2, {"mine": True, "more": 1})
    assert second["config"] == {}
    versions = await assistants.get_versions(assistant_id, metadata={"mine": True}, limit=5)
    assert [one["version"] for one in versions] == [2, 1]
    assert (await assistants.set_latest(assistant_id, 1))["name"] == "Ann"
    assert (await assistants.set_latest(assistant_id, 2))["name"] == "Bea"

    found = await assistants.search(
        metadata={"mine": True},
        graph_id="nested",
        name="be",
        limit=1,
        sort_by="name",
        sort_order="asc",
        select=["assistant_id", "name"],
    )
    assert found == [{"assistant_id": assistant_id, "name": "Bea"}]
    paged = await assistants.search(limit=1, response_format="object")
    assert (len(paged["assistants"]), paged["next"]) == (1, "1")
    assert await assistants.count(metadata={"mine": True}, graph_id="nested", name="BEA") == 1

    drawn = await assistants.get_graph(assistant_id, xray=True)
    assert "inner:ask" in [node["id"] for node in drawn["nodes"]]
    flat = await assistants.get_graph(built_in_id("nested"), xray=0)
    assert "inner" in [node["id"] for node in flat["nodes"]]
    assert "messages" in (await assistants.get_schemas(assistant_id))["input_schema"]["properties"]
    inner = await assistants.get_subgraphs(assistant_id, recurse=True)
    assert await assistants.get_subgraphs(assistant_id, "inner") == inner
    assert list(inner) == ["inner"]

    assert await assistants.delete(assistant_id, delete_threads=True) is None
    with pytest.raises(NotFoundError, match=assistant_id):
        await assistants.get(assistant_id)
    assert client.uncalled("assistants", besides=set()) == set()
