"""Runs on LangGraph's wire: started, followed, waited for, looked at."""

from __future__ import annotations

import asyncio
import uuid

import httpx
import pytest
from fastapi import FastAPI

from graphs import events
from server.app import build
from server.assistants.records import built_in_id
from tests.server.asking import QUESTION, RUNS, THREAD, ask, cut, data, named, steps
from tests.server.served_graphs import WORDS, gates
from tests.server.surface import ANSWER, SECONDS, Parts, Team, in_process, sent, served


async def test_a_run_is_streamed_from_its_start_to_its_state(app: FastAPI, team: Team) -> None:
    async with in_process(app) as client:
        body = ask(config={"configurable": {"collection": "hr"}}, unknown=1)
        reply = await client.post(f"{RUNS}/stream", json=body)
    told = sent(reply.text)
    assert named(told) == ["metadata", *["custom"] * 7, "values", "end"]
    head, *customs, values, end = told
    run_id = data(head)["run_id"]
    assert data(head) == {"run_id": run_id, "thread_id": THREAD, "attempt": 1}
    assert data(customs[0])["type"] == "run.started"
    assert data(customs[-1])["type"] == "run.finished"
    assert len({event.id for event in told}) == len(told)
    state = data(values)
    assert [(m["type"], m["content"]) for m in state["messages"]] == [
        ("human", "How long?"),
        ("ai", ANSWER),
    ]
    assert [source["number"] for source in state["sources"]] == [1, 2]
    assert data(end) == {"run_id": run_id, "status": "success"}
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["content-location"] == f"{RUNS}/{run_id}"
    assert reply.headers["location"] == f"{RUNS}/{run_id}/stream"
    (record,) = team.asked
    assert (record.asked.agent, record.asked.collection) == ("team", "hr")
    assert record.thread_id == THREAD


@pytest.mark.usefixtures("team")
async def test_a_run_without_a_thread_gets_one_and_only_the_wanted_modes(app: FastAPI) -> None:
    async with in_process(app) as client:
        reply = await client.post("/runs/stream", json=ask(stream_mode="values"))
        assert named(sent(reply.text)) == ["metadata", "values", "end"]
        reply = await client.post("/runs/stream", json=ask(stream_mode=["custom", "updates"]))
        assert set(named(sent(reply.text))) == {"metadata", "custom", "end"}


async def test_an_agent_of_the_team_is_asked_by_its_name_and_of_the_headers_collection(
    app: FastAPI, team: Team
) -> None:
    async with in_process(app) as client:
        reply = await client.post(
            f"{RUNS}/wait",
            json=ask(assistant_id="researcher"),
            headers={"X-Counterpoint-Collection": "hr"},
        )
    assert reply.status_code == 200
    assert (team.asked[0].asked.agent, team.asked[0].asked.collection) == ("researcher", "hr")


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


@pytest.mark.usefixtures("worker")
async def test_a_users_graph_is_streamed_in_every_mode_that_was_asked(app: FastAPI) -> None:
    modes = ["values", "updates", "messages-tuple", "messages", "custom", "tasks", "debug"]
    async with in_process(app) as client:
        body = {"assistant_id": "echo", "input": QUESTION, "stream_mode": modes}
        told = sent((await client.post(f"{RUNS}/stream", json=body)).text)
        writes = steps("deep", stream_mode=["custom", "values"], stream_subgraphs=True)
        deep = sent((await client.post("/runs/stream", json=writes)).text)
    assert {"values", "updates", "messages", "messages/partial", "tasks", "debug"} <= set(
        named(told)
    )
    pieces = [data(event)[0] for event in told if event.event == "messages"]
    assert "".join(piece["content"] for piece in pieces) == WORDS
    assert len({piece["id"] for piece in pieces}) == 1
    (whole,) = [data(event)[0] for event in told if event.event == "messages/complete"]
    assert (whole["content"], whole["type"], whole["id"]) == (WORDS, "ai", pieces[0]["id"])
    state = [data(event) for event in told if event.event == "values"][-1]
    assert [message["content"] for message in state["messages"]] == ["How long?", WORDS]
    inner = [event for event in deep if event.event.startswith("custom|inner:")]
    assert [data(event) for event in inner] == [{"progress": n} for n in range(3)]
    assert data([event for event in deep if event.event == "values"][-1]) == {
        "steps": ["looked", "looked", "looked", "wrote"]
    }


@pytest.mark.usefixtures("worker")
async def test_a_graph_that_asks_is_answered_by_the_next_run_of_its_thread(app: FastAPI) -> None:
    async with in_process(app) as client:
        told = sent((await client.post(f"{RUNS}/stream", json=steps("asks"))).text)
        other = sent(
            (
                await client.post(
                    f"/threads/{uuid.uuid4()}/runs/stream",
                    json=steps("asks", stream_mode="updates"),
                )
            ).text
        )
        thread = (await client.get(f"/threads/{THREAD}")).json()
        body = {"assistant_id": "asks", "command": {"resume": "yes"}, "input": {}}
        resumed = (await client.post(f"{RUNS}/wait", json=body)).json()
        runs = (await client.get(RUNS)).json()
    *_, asked, end = told
    (question,) = data(asked)["__interrupt__"]
    assert asked.event == "values"
    assert question["value"] == {"question": "Shall I?"}
    assert data(end)["status"] == "interrupted"
    assert named(other)[-2:] == ["values", "end"]
    assert data(other[-2])["__interrupt__"][0]["value"] == question["value"]
    assert thread["status"] == "interrupted"
    assert thread["metadata"]["graph_id"] == "asks"
    assert resumed == {"steps": ["looked", "told yes"]}
    assert [run["status"] for run in runs] == ["success", "interrupted"]


@pytest.mark.usefixtures("worker")
async def test_who_waits_gets_the_state_the_questions_or_the_error(app: FastAPI) -> None:
    async with in_process(app) as client:
        done = await client.post(f"{RUNS}/wait", json=steps("writes"))
        alone = await client.post("/runs/wait", json=steps("writes"))
        paused = await client.post("/runs/wait", json=steps("asks", on_completion="keep"))
        stops = await client.post(
            f"/threads/{uuid.uuid4()}/runs/wait", json=steps("deep", interrupt_before=["inner"])
        )
        failed = await client.post("/runs/wait", json=steps("fails"))
        joined = await client.get(done.headers["location"])
    assert done.json() == alone.json() == {"steps": ["wrote"]}
    assert paused.json()["__interrupt__"][0]["value"] == {"question": "Shall I?"}
    assert stops.json() == {"__interrupt__": []}
    assert failed.json() == {"__error__": {"error": "ValueError", "message": "the moon is full"}}
    assert failed.status_code == 200
    assert done.headers["location"] == done.headers["content-location"] + "/join"
    assert joined.json() == done.json()


@pytest.mark.usefixtures("worker")
async def test_a_reader_who_comes_back_misses_nothing_and_gets_nothing_twice(
    app: FastAPI,
) -> None:
    gate = gates[uuid.uuid4().hex]
    name = next(name for name, one in gates.items() if one is gate)
    body = {
        "assistant_id": "gated",
        "input": {"gate": name},
        "stream_mode": ["values", "updates", "custom"],
    }
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        first = ""
        async with client.stream("POST", f"{RUNS}/stream", json=body) as reply:
            path = reply.headers["location"]
            async for text in reply.aiter_text():
                first += text
                if len(seen := sent(cut(first))) >= 3:
                    break
        # It goes on without its reader.
        gate.opened.set()
        rest = sent((await client.get(path, headers={"Last-Event-ID": str(seen[-1].id)})).text)
        whole = sent((await client.get(path, headers={"Last-Event-ID": "-1"})).text)
        nothing = await client.get(path, headers={"Last-Event-ID": str(whole[-1].id)})
        values = sent((await client.get(path, params={"stream_mode": "values"})).text)
    assert seen + rest == whole
    assert named(whole).count("custom") == 3
    assert nothing.text == ""
    assert set(named(values)) == {"metadata", "values", "end"}


@pytest.mark.usefixtures("team")
async def test_history_that_was_trimmed_is_an_explicit_gap(app: FastAPI, parts: Parts) -> None:
    async with in_process(app) as client:
        reply = await client.post(f"{RUNS}/stream", json=ask())
        path = reply.headers["location"]
        trimmed = parts.log.__class__(parts.log._redis, parts.log._keys, max_events=1)
        await trimmed.append(THREAD, "other", [{"type": "noise", "n": n} for n in range(2_000)])
        told = sent((await client.get(path, headers={"Last-Event-ID": "1-1"})).text)
        rest = sent((await client.get(path, headers={"Last-Event-ID": str(told[0].id)})).text)
    assert named(told) == ["custom", "custom", "values", "end"]
    assert [data(event)["type"] for event in told[:2]] == ["log.gap", "run.finished"]
    assert rest == told[1:]


@pytest.mark.usefixtures("worker")
async def test_a_run_without_a_reader_is_looked_at_listed_and_forgotten(app: FastAPI) -> None:
    async with in_process(app) as client:
        body = steps("writes", metadata={"who": "me"})
        made = await client.post(RUNS, json=body)
        run_id = made.json()["run_id"]
        await client.get(f"{RUNS}/{run_id}/join")
        await client.post(f"{RUNS}/wait", json=steps("fails"))
        run = (await client.get(f"{RUNS}/{run_id}")).json()
        everything = await client.get(RUNS)
        first = await client.get(RUNS, params={"limit": 1, "select": ["run_id", "status"]})
        failed = (await client.get(RUNS, params={"status": "error", "select": "status"})).json()
        second = await client.get(RUNS, params={"limit": 1, "offset": 1})
        forgotten = await client.delete(f"{RUNS}/{run_id}")
        gone = await client.get(f"{RUNS}/{run_id}")
    assert made.headers["content-location"] == f"{RUNS}/{run_id}"
    assert (run["status"], run["metadata"], run["assistant_id"]) == (
        "success",
        {"who": "me"},
        built_in_id("writes"),
    )
    assert run["kwargs"]["input"] == {"steps": []}
    assert [one["status"] for one in everything.json()] == ["error", "success"]
    assert first.headers["x-pagination-next"] == "1"
    assert set(first.json()[0]) == {"run_id", "status"}
    assert failed == [{"status": "error"}]
    assert [one["run_id"] for one in second.json()] == [run_id]
    assert "x-pagination-next" not in second.headers
    assert (forgotten.status_code, gone.status_code) == (204, 404)


@pytest.mark.usefixtures("worker")
async def test_a_batch_is_all_or_nothing(app: FastAPI) -> None:
    async with in_process(app) as client:
        bad = await client.post("/runs/batch", json=[steps("writes"), steps("nowhere")])
        body = [steps("writes"), steps("writes", thread_id=THREAD)]
        made = await client.post("/runs/batch", json=body, headers={"Idempotency-Key": "once"})
        again = await client.post("/runs/batch", json=body, headers={"Idempotency-Key": "once"})
        await client.get(f"{RUNS}/{made.json()[1]['run_id']}/join")
    assert bad.status_code == 404
    ids = [run["run_id"] for run in made.json()]
    assert len(set(ids)) == 2
    assert [run["run_id"] for run in again.json()] == ids


@pytest.mark.usefixtures("worker")
async def test_a_request_that_is_repeated_under_its_key_is_one_run(app: FastAPI) -> None:
    async with in_process(app, **{"Idempotency-Key": "mine"}) as client:
        one = await client.post(f"{RUNS}/wait", json=steps("writes"))
        other = await client.post(f"{RUNS}/stream", json=steps("writes"))
    assert data(sent(other.text)[0])["run_id"] in one.headers["content-location"]


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
