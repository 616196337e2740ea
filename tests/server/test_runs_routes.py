"""Runs on LangGraph's wire: followed, taken up again, looked at, ended."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client

from graphs import events
from server.app import build
from server.runs.asked import of_messages
from server.runs.transitions import RunStatus
from server.wire import sse
from server.wire.run_stream import modes, query_modes
from tests.server.surface import ANSWER, SECONDS, Parts, Sent, Team, in_process, sent, served

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"


QUESTION: Any = {"messages": [{"type": "human", "content": "How long?"}]}


def ask(**more: Any) -> dict[str, Any]:
    return {
        "assistant_id": "team",
        "input": QUESTION,
        **more,
    }


def data(event: Sent) -> Any:
    return json.loads(event.data)


async def test_a_run_is_streamed_from_its_start_to_its_state(app: FastAPI, team: Team) -> None:
    async with in_process(app) as client:
        body = ask(config={"configurable": {"collection": "hr"}}, unknown=1)
        reply = await client.post(f"/threads/{THREAD}/runs/stream", json=body)
    told = sent(reply.text)
    assert [event.event for event in told] == ["metadata", *["custom"] * 7, "values", "end"]
    head, *customs, values, end = told
    run_id = data(head)["run_id"]
    assert data(head) == {"run_id": run_id, "thread_id": THREAD, "attempt": 1}
    assert data(customs[0])["type"] == "run.started"
    assert data(customs[-1])["type"] == "run.finished"
    assert all(event.id for event in customs)
    state = data(values)
    assert [(m["type"], m["content"]) for m in state["messages"]] == [
        ("human", "How long?"),
        ("ai", ANSWER),
    ]
    assert [source["number"] for source in state["sources"]] == [1, 2]
    assert data(end) == {"run_id": run_id, "status": "success"}
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["content-location"] == f"/threads/{THREAD}/runs/{run_id}"
    assert reply.headers["location"] == f"/threads/{THREAD}/runs/{run_id}/stream"
    (record,) = team.asked
    assert (record.asked.agent, record.asked.collection, record.thread_id) == ("team", "hr", THREAD)


@pytest.mark.usefixtures("team")
async def test_a_run_without_a_thread_gets_one_and_only_the_wanted_modes(app: FastAPI) -> None:
    async with in_process(app) as client:
        reply = await client.post("/runs/stream", json=ask(stream_mode="values"))
        assert [event.event for event in sent(reply.text)] == ["metadata", "values", "end"]
        reply = await client.post("/runs/stream", json=ask(stream_mode=["custom", "updates"]))
        assert {event.event for event in sent(reply.text)} == {"metadata", "custom", "end"}


async def test_a_failure_is_told_before_the_end(app: FastAPI, team: Team) -> None:
    team.end = events.RunFailed(error="ModelTimeout", message="The model is slow; wait.")
    async with in_process(app) as client:
        reply = await client.post("/runs/stream", json=ask())
    *_, error, end = sent(reply.text)
    assert (error.event, data(error)) == (
        "error",
        {"error": "ModelTimeout", "message": "The model is slow; wait."},
    )
    assert data(end)["status"] == "error"


async def test_a_reader_who_comes_back_misses_nothing_and_gets_nothing_twice(
    app: FastAPI, team: Team
) -> None:
    team.hold = True
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        first = ""
        async with client.stream("POST", "/runs/stream", json=ask()) as reply:
            path = reply.headers["location"]
            async for text in reply.aiter_text():
                first += text
                if len(seen := [e for e in sent(cut(first)) if e.event == "custom"]) >= 2:
                    break
        # It goes on without its reader.
        team.let_go.set()
        rest = sent((await client.get(path, headers={"Last-Event-ID": str(seen[-1].id)})).text)
        whole = sent((await client.get(path, headers={"Last-Event-ID": "-1"})).text)
        nothing = sent((await client.get(path, headers={"Last-Event-ID": str(whole[-3].id)})).text)
    ids = [event.id for event in whole if event.event == "custom"]
    later = [event.id for event in rest if event.event == "custom"]
    assert len(ids) == 7
    assert [event.id for event in seen] + later == ids
    assert [event.event for event in nothing] == ["metadata", "values", "end"]


def cut(text: str) -> str:
    """The whole blocks of what has arrived."""
    return text.rpartition("\n\n")[0]


@pytest.mark.usefixtures("team")
async def test_history_that_was_trimmed_is_an_explicit_gap(app: FastAPI, parts: Parts) -> None:
    async with in_process(app) as client:
        reply = await client.post(f"/threads/{THREAD}/runs/stream", json=ask())
        path = reply.headers["location"]
        trimmed = parts.log.__class__(parts.log._redis, parts.log._keys, max_events=1)
        await trimmed.append(THREAD, "other", [{"type": "noise", "n": n} for n in range(2_000)])
        told = sent((await client.get(path, headers={"Last-Event-ID": "1-1"})).text)
    assert [event.event for event in told] == ["metadata", "custom", "values", "end"]
    assert data(told[1])["type"] == "log.gap"


async def test_a_run_is_looked_at_and_cancelled(app: FastAPI, parts: Parts, team: Team) -> None:
    team.hold = True
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    path = f"/threads/{record.thread_id}/runs/{record.run_id}"
    async with in_process(app) as client:
        await team.begun.wait()
        assert (await client.get(path)).json()["status"] == "running"
        assert (await client.post(f"{path}/cancel")).status_code == 202
        assert (await client.post(f"{path}/cancel?wait=1")).status_code == 204
        told = (await client.get(path)).json()
        reply = await client.get(f"{path}/stream")
    assert (told["status"], told["cancel_reason"]) == ("interrupted", "cancelled")
    assert data(sent(reply.text)[-2])["error"] == "cancelled"


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_a_reader_who_leaves_ends_the_run_only_if_it_said_so(
    app: FastAPI, parts: Parts, team: Team, on_disconnect: str
) -> None:
    team.hold = True
    body = ask(on_disconnect=on_disconnect)
    async with asyncio.timeout(SECONDS):
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url) as client,
            client.stream("POST", "/runs/stream", json=body),
        ):
            await team.begun.wait()
        # The server is gone, and with it all that it does about a reader who left.
        if on_disconnect == "continue":
            team.let_go.set()
        record = await parts.runs.wait(team.asked[0].run_id)
    ended = {"cancel": RunStatus.CANCELLED, "continue": RunStatus.SUCCESS}
    assert record.status is ended[on_disconnect]


async def test_a_silent_run_is_heard_by_its_heart(parts: Parts, team: Team) -> None:
    team.hold = True
    beats = 0
    async with (
        served(build(parts, heartbeat=0.02)) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
        client.stream("POST", "/runs/stream", json=ask()) as reply,
    ):
        async for line in reply.aiter_lines():
            beats += line == ": heartbeat"
            if beats == 3:
                team.let_go.set()
    assert beats >= 3


async def test_the_heart_beats_on_while_there_is_much_to_send() -> None:
    closed = asyncio.Event()

    async def busy() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield b"x"
        finally:
            closed.set()

    beats = 0
    async with asyncio.timeout(SECONDS), aclosing(sse.beating(busy(), every=0.01)) as frames:
        async for frame in frames:
            beats += frame == sse.HEARTBEAT
            if beats == 3:
                break
    assert closed.is_set()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/threads/x/runs/stream", ask(), 422, "thread_id: "),
        ("POST", "/runs/stream", ask(assistant_id="nobody"), 404, "no such assistant; use one of"),
        ("POST", "/runs/stream", ask(input={}), 422, "input.messages is missing"),
        ("POST", "/runs/stream", ask(input={"messages": []}), 422, "nothing to answer"),
        ("POST", "/runs/stream", ask(input={"messages": [{"type": "x"}]}), 422, "0.role: must"),
        ("POST", "/runs/stream", ask(stream_mode="x"), 422, "no mode 'x'; use custom, values"),
        ("GET", f"/threads/{THREAD}/runs/{THREAD}", None, 404, f"no run {THREAD}"),
        ("GET", f"/threads/{THREAD}/runs/{THREAD}/stream", None, 404, f"no run {THREAD}"),
        ("POST", f"/threads/{THREAD}/runs/{THREAD}/cancel", None, 404, f"no run {THREAD}"),
    ],
)
async def test_a_bad_request_is_told_in_words(
    app: FastAPI, method: str, path: str, body: Any, status: int, said: str
) -> None:
    async with in_process(app) as client:
        reply = await client.request(method, path, json=body)
    assert reply.status_code == status
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", "custom values"),
        ("stream_mode=", "custom values"),
        ("stream_mode=values", "values"),
        ("stream_mode=values,updates", "values"),
        ("stream_mode=custom&stream_mode=updates", "custom"),
        ("stream_mode=%5B%22values%22%2C%22custom%22%5D", "custom values"),
    ],
)
def test_modes_are_read_as_each_client_spells_them(query: str, wanted: str) -> None:
    spelled = httpx.QueryParams(query).get_list("stream_mode")
    assert modes(query_modes(spelled)) == set(wanted.split())


@pytest.mark.parametrize("given", ["x", "1-x", "9" * 30, "1-1-1", "-2"])
async def test_an_id_that_is_none_is_refused(app: FastAPI, given: str) -> None:
    async with in_process(app) as client:
        path = f"/threads/{THREAD}/runs/{THREAD}/stream"
        reply = await client.get(path, headers={"Last-Event-ID": given})
    assert reply.status_code == 422
    assert "Last-Event-ID" in reply.json()["detail"]


async def test_a_run_is_found_only_on_its_thread(app: FastAPI, parts: Parts) -> None:
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    async with in_process(app) as client:
        reply = await client.get(f"/threads/{uuid.uuid4()}/runs/{record.run_id}")
    assert reply.status_code == 404


@pytest.mark.usefixtures("team")
async def test_the_unmodified_langgraph_client_follows_a_run_and_joins_it_again(
    app: FastAPI,
) -> None:
    async with served(app) as url, asyncio.timeout(SECONDS), get_client(url=url) as client:
        told = []
        created: list[Any] = []
        async for part in client.runs.stream(
            THREAD,
            "team",
            input=QUESTION,
            stream_mode=["values", "custom"],
            on_run_created=created.append,
        ):
            told.append(part)
        run_id = created[0]["run_id"]
        joined = [part async for part in client.runs.join_stream(THREAD, run_id)]
        run = await client.runs.get(THREAD, run_id)
    assert [part.event for part in told] == ["metadata", *["custom"] * 7, "values", "end"]
    assert [part.event for part in joined] == [part.event for part in told]
    assert told[-2].data["messages"][-1]["content"] == ANSWER
    assert run["status"] == "success"
