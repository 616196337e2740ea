"""The thread-centric protocol at the front door: commands, and sockets that are let in or not."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock, patch
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from graphs.keys import Keys
from server.app import build
from server.crons.records import Crons
from server.routes import protocol_socket
from server.sections import KeySettings
from tests.server.served_graphs import FLOOD, gates
from tests.server.surface import SECONDS, Parts, served

NOTHING: Any = {"steps": []}
ALL = {"channels": ["values", "lifecycle", "input"]}
KEY = "a key of this test"

pytestmark = pytest.mark.usefixtures("worker")


class Thread:
    """A thread by its bare wire."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.name = str(uuid.uuid4())
        self.opened = asyncio.Event()
        self._client = client

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        body = {"id": 7, "method": method, "params": params}
        reply = await self._client.post(f"/threads/{self.name}/commands", json=body)
        assert reply.status_code == 200
        told: dict[str, Any] = reply.json()
        assert told["id"] == 7
        return told

    async def events(
        self, *, until: str, last: str | None = None, **asked: Any
    ) -> list[dict[str, Any]]:
        """Those of a subscription, up to a phase of the run's own."""
        found: list[dict[str, Any]] = []
        body = {**ALL, **asked}
        path = f"/threads/{self.name}/stream/events"
        headers = {} if last is None else {"Last-Event-ID": last}
        async with self._client.stream("POST", path, json=body, headers=headers) as reply:
            assert reply.status_code == 200
            self.opened.set()
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    found.append(orjson.loads(line.removeprefix("data: ")))
                    if phase(found[-1]) == until:
                        return found
        raise AssertionError(found)


def phase(event: dict[str, Any]) -> str | None:
    of_run = event["method"] == "lifecycle" and not event["params"]["namespace"]
    return str(event["params"]["data"]["event"]) if of_run else None


@pytest.fixture
async def thread(app: FastAPI) -> AsyncIterator[Thread]:
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        yield Thread(client)


async def test_a_thread_that_is_not_there_yet_is_waited_for(thread: Thread) -> None:
    following = asyncio.create_task(thread.events(until="completed"))
    await asyncio.sleep(0)
    begun = await thread.command("run.start", assistant_id="writes", input=NOTHING)
    run = begun["result"]["run_id"]
    events = await following
    assert [phase(one) for one in events if one["method"] == "lifecycle"] == [
        "running",
        "completed",
    ]
    assert events[0]["event_id"].split(":")[:2] == ["synth", run]
    # The first one's id names its run.
    assert await thread.events(until="completed", last=events[0]["event_id"]) == events[1:]
    through = (await thread.command("run.start", assistant_id="writes", input=NOTHING))["meta"]
    rest = await thread.events(until="completed", since=through["applied_through_seq"])
    assert phase(rest[0]) == "running"
    assert not {one["event_id"] for one in rest} & {one["event_id"] for one in events}


@pytest.mark.parametrize("seconds", [0, 3], ids=["at once", "later"])
async def test_who_waits_is_not_told_of_a_run_that_was_over_unless_it_may_be_his(
    parts: Parts, redis: Redis, keys: Keys, seconds: int
) -> None:
    async def clock() -> int:
        now, fraction = await redis.time()
        return (now + seconds) * 1_000_000 + fraction

    watches: dict[str, Any] = {"channels": ["lifecycle", "input"]}
    app = build(replace(parts, crons=Crons(redis, keys, clock=clock)))
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        thread = Thread(client)
        first = (await thread.command("run.start", assistant_id="asks", input=NOTHING))["result"]
        await thread.events(until="interrupted")
        # What still waits is told whenever somebody comes.
        asked = await thread.events(until="interrupted", **watches)
        assert [one["method"] for one in asked] == ["lifecycle", "input.requested", "lifecycle"]
        await client.post(f"/threads/{thread.name}/runs/{first['run_id']}/cancel?wait=1")
        gate = str(uuid.uuid4())
        thread.opened.clear()
        watching = asyncio.create_task(thread.events(until="completed", **watches))
        await thread.opened.wait()
        given = {"steps": [], "gate": gate}
        begun = (await thread.command("run.start", assistant_id="gated", input=given))["result"]
        gates[gate].opened.set()
        told = await watching
    named = {one["event_id"].split(":")[1] for one in told if one["method"] == "lifecycle"}
    assert begun["run_id"] in named
    assert (first["run_id"] in named) is (seconds == 0)


async def test_states_and_agents_are_looked_at_and_a_state_is_gone_on_from(thread: Thread) -> None:
    run = (await thread.command("run.start", assistant_id="deep", input=NOTHING))["result"]
    await thread.events(until="completed")
    tree = await thread.command("agent.getTree", run_id=run["run_id"])
    inner = tree["result"]["tree"].pop("children")
    assert tree["result"]["tree"] == {"namespace": [], "status": "completed", "graph_name": "deep"}
    assert [(one["graph_name"], one["status"]) for one in inner] == [("inner", "completed")]
    state = (await thread.command("state.get", namespace=[], keys=["steps"]))["result"]
    assert state["values"] == {"steps": ["looked", "looked", "looked", "wrote"]}
    listed = (await thread.command("state.listCheckpoints", limit=3))["result"]["checkpoints"]
    assert [one["step"] for one in listed] == [2, 1, 0]
    assert listed[0]["id"] == state["checkpoint"]["id"]
    forked = await thread.command("state.fork", checkpoint_id=listed[2]["id"], input=None)
    assert forked["result"]["thread_id"] == thread.name
    assert forked["result"]["run_id"] != run["run_id"]
    told = await thread.events(until="completed", since=forked["meta"]["applied_through_seq"])
    assert [one["params"]["data"] for one in told if one["method"] == "values"][-1] == state[
        "values"
    ]


async def test_the_tree_of_a_run_that_waits_for_its_turn_is_there_at_once(thread: Thread) -> None:
    gate = str(uuid.uuid4())
    await thread.command("run.start", assistant_id="gated", input={"gate": gate})
    await gates[gate].reached.wait()
    await thread.command("run.start", assistant_id="writes", input=NOTHING)
    tree = await thread.command("agent.getTree")
    assert tree["result"]["tree"] == {
        "namespace": [],
        "status": "started",
        "graph_name": "writes",
    }
    gates[gate].opened.set()


async def test_answering_by_input_alone_goes_on_where_the_thread_waits(thread: Thread) -> None:
    await thread.command("run.start", assistant_id="asks", input=NOTHING)
    asked = await thread.events(until="interrupted")
    (question,) = [one for one in asked if one["method"] == "input.requested"]
    assert question["params"]["data"]["payload"] == {"question": "Shall I?"}
    await thread.command("run.start", assistant_id="asks", input="yes")
    told = await thread.events(until="completed")
    assert told[-2]["params"]["data"] == {"steps": ["looked", "told yes"]}
    interrupt = question["params"]["data"]["interrupt_id"]
    late = await thread.command("input.respond", interrupt_id=interrupt, response="no")
    assert (late["type"], late["error"]) == ("error", "no_such_interrupt")


async def test_at_a_breakpoint_an_input_is_one_and_none_goes_on(thread: Thread) -> None:
    stops: Any = {"assistant_id": "deep", "interrupt_before": ["inner"]}
    await thread.command("run.start", **stops, input=NOTHING)
    await thread.events(until="interrupted")
    before = ["looked", "new", "looked"]
    for asked, given, until, steps in (
        (stops, {"steps": ["new"]}, "interrupted", before),
        # The subgraph adds to what it was given.
        ({"assistant_id": "deep"}, None, "completed", [*before, *before, "looked", "wrote"]),
    ):
        begun = await thread.command("run.start", **asked, input=given)
        told = await thread.events(until=until, since=begun["meta"]["applied_through_seq"])
        values = [one["params"]["data"] for one in told if one["method"] == "values"]
        assert values[-1]["steps"] == steps


@pytest.mark.parametrize(
    ("method", "params", "code", "says"),
    [
        ("run.start", {"assistant_id": "nobody"}, "invalid_argument", "nobody"),
        ("run.start", {}, "invalid_argument", "params.assistant_id"),
        ("run.start", {"assistant_id": "team", "input": 3}, "invalid_argument", "input"),
        ("input.respond", {"interrupt_id": "i1"}, "no_such_interrupt", "nothing waits"),
        ("state.get", {}, "invalid_argument", "no thread"),
        ("state.fork", {"checkpoint_id": "c1"}, "no_such_run", "no run yet"),
        ("agent.getTree", {}, "no_such_run", "no run yet"),
        ("subscription.subscribe", ALL, "not_supported", "WebSocket"),
        ("input.inject", {}, "not_supported", "not offered"),
        ("run.stop", {}, "unknown_command", "run.stop"),
    ],
    ids=str,
)
async def test_a_command_that_cannot_be_carried_out_says_why(
    thread: Thread, method: str, params: dict[str, Any], code: str, says: str
) -> None:
    told = await thread.command(method, **params)
    assert (told["type"], told["error"]) == ("error", code)
    assert says in told["message"]


async def test_a_fork_from_where_there_is_nothing_names_it(thread: Thread) -> None:
    await thread.command("run.start", assistant_id="writes", input=NOTHING)
    await thread.events(until="completed")
    told = await thread.command("state.fork", checkpoint_id=str(uuid.uuid4()))
    assert told["error"] == "no_such_checkpoint"
    told = await thread.command("agent.getTree", run_id=str(uuid.uuid4()))
    assert told["error"] == "no_such_run"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("commands", {"method": "run.start"}, "id"),
        ("commands", {"id": -1, "method": "run.start"}, "id"),
        ("stream/events", {"channels": []}, "channels"),
        ("stream/events", {"channels": ["all"]}, "channels"),
        ("stream/events", {"channels": ["values"], "since": -1}, "since"),
    ],
    ids=str,
)
async def test_what_is_no_request_at_all_is_refused_by_field(
    app: FastAPI, path: str, body: dict[str, Any], field: str
) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        reply = await client.post(f"/threads/{uuid.uuid4()}/{path}", json=body)
    assert reply.status_code == 422
    assert field in reply.json()["detail"]


@asynccontextmanager
async def socket(
    url: str, thread: str, headers: dict[str, str] | None = None
) -> AsyncIterator[ClientConnection]:
    where = f"{url.replace('http', 'ws')}/threads/{thread}/stream/events"
    async with asyncio.timeout(SECONDS), connect(where, additional_headers=headers) as made:
        yield made


async def asked(made: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    await made.send(orjson.dumps({"id": 1, "method": method, "params": params}).decode())
    while "id" not in (told := orjson.loads(await made.recv())):
        pass
    return dict(told)


async def test_a_socket_carries_commands_and_what_is_subscribed_to(app: FastAPI) -> None:
    gate = str(uuid.uuid4())
    async with served(app) as url, socket(url, str(uuid.uuid4())) as made:
        first = await asked(made, "subscription.subscribe", channels=["lifecycle"])
        second = await asked(made, "subscription.subscribe", channels=["lifecycle"])
        await asked(made, "run.start", assistant_id="gated", input={"gate": gate})
        await gates[gate].reached.wait()
        ended = await asked(made, "subscription.unsubscribe", **second["result"])
        assert ended["type"] == "success"
        gates[gate].opened.set()
        while phase(orjson.loads(await made.recv())) != "completed":
            pass
        again = await asked(made, "subscription.unsubscribe", **second["result"])
        assert again["error"] == "no_such_subscription"
        assert first["result"]["subscription_id"] != second["result"]["subscription_id"]
        await made.send("no JSON")
        assert orjson.loads(await made.recv())["error"] == "invalid_argument"
        await made.send(orjson.dumps({"id": "x", "method": "run.start"}).decode())
        assert "id" in orjson.loads(await made.recv())["message"]
        wrong = await asked(made, "subscription.subscribe", channels=["all"])
        assert "params.channels" in wrong["message"]
        unknown = await asked(made, "run.stop")
        assert unknown["error"] == "unknown_command"


async def test_a_sockets_subscriptions_are_told_in_order_each_event_once(app: FastAPI) -> None:
    name = str(uuid.uuid4())
    async with served(app) as url, socket(url, name) as made:
        for channels in (["lifecycle"], ["custom"], ["custom", "values"]):
            await asked(made, "subscription.subscribe", channels=channels)
        await asked(made, "run.start", assistant_id="floods", input=NOTHING)
        told = [orjson.loads(await made.recv())]
        while phase(told[-1]) != "completed":
            told.append(orjson.loads(await made.recv()))
        events = [one for one in told if one["type"] == "event"]
        places = [one["seq"] for one in events]
        assert places == sorted(set(places))
        assert sum(one["method"] == "custom" for one in events) == FLOOD
        # One that comes later is told from the beginning, the others are told nothing again.
        await asked(made, "subscription.subscribe", channels=["lifecycle", "values"])
        again = [orjson.loads(await made.recv()) for _ in range(4)]
        assert [phase(one) for one in again] == ["running", None, None, "completed"]


async def test_a_socket_is_told_of_a_thread_that_was_deleted_and_made_again(app: FastAPI) -> None:
    name = str(uuid.uuid4())
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        socket(url, name) as made,
    ):
        body = {"assistant_id": "writes", "input": NOTHING}
        await client.post(f"/threads/{name}/runs/wait", json={**body, "if_not_exists": "create"})
        await asked(made, "subscription.subscribe", channels=["lifecycle"])
        for turn in range(2):
            if turn:
                await asked(made, "run.start", **body)
            while phase(orjson.loads(await made.recv())) != "completed":
                pass
            assert (await client.delete(f"/threads/{name}")).status_code == 204


@patch.object(protocol_socket, "past_of", AsyncMock(side_effect=RedisError()))
async def test_a_socket_is_closed_to_come_back_while_redis_is_away(app: FastAPI) -> None:
    async with served(app) as url, socket(url, str(uuid.uuid4())) as made:
        await asked(made, "subscription.subscribe", channels=["lifecycle", "input"])
        assert orjson.loads(await made.recv())["message"] == "Redis does not answer; connect again"
        await made.wait_closed()
    assert made.close_code == 1011


async def test_a_socket_that_is_not_let_in_is_closed_with_the_status(parts: Parts) -> None:
    known = hashlib.sha256(KEY.encode()).hexdigest()
    keyed = build(
        replace(parts, settings=parts.settings.model_copy(update={"api_key_sha256": [known]}))
    )
    open_to_all = build(parts)
    name = str(uuid.uuid4())
    page = {"Origin": "https://elsewhere.example"}
    for app, headers, code in (
        (keyed, {}, 4401),
        (keyed, {"x-api-key": "another"}, 4401),
        (open_to_all, page, 4403),
        (open_to_all, {"Origin": "null"}, 4403),
    ):
        async with served(app) as url, socket(url, name, headers) as made:
            with pytest.raises(ConnectionClosedError) as closed:
                await made.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    async with served(open_to_all) as url, asyncio.timeout(SECONDS):
        port = urlsplit(url).port
        there = f"ws://rebound.example:{port}/threads/{name}/stream/events"
        async with connect(there, host="127.0.0.1", port=port) as made:
            with pytest.raises(ConnectionClosedError) as closed:
                await made.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    async with served(keyed) as url, socket(url, name, {"x-api-key": KEY}) as made:
        assert (await asked(made, "run.stop"))["error"] == "unknown_command"
    async with served(open_to_all) as url, socket(url, "no-uuid") as made:
        with pytest.raises(ConnectionClosedError) as closed:
            await made.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4422


async def test_another_tenants_thread_is_empty(parts: Parts) -> None:
    keys = [
        KeySettings(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), tenant=name)
        for name in ("one", "two")
    ]
    settings = parts.settings.model_copy(update={"keys": keys})
    name = str(uuid.uuid4())
    async with served(build(replace(parts, settings=settings))) as url:
        async with socket(url, name, {"x-api-key": "one"}) as made:
            await asked(made, "subscription.subscribe", channels=["lifecycle"])
            await asked(made, "run.start", assistant_id="writes", input=NOTHING)
            while phase(orjson.loads(await made.recv())) != "completed":
                pass
        async with socket(url, name, {"x-api-key": "two"}) as made:
            await asked(made, "subscription.subscribe", channels=["lifecycle"])
            found = await asked(made, "agent.getTree")
            assert found["error"] == "no_such_run"
