"""Runs on LangGraph's wire: started, followed, waited for, looked at, ended."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from graphs import events
from server.app import build
from server.assistants.records import built_in_id
from server.runs.asked import of_messages
from server.runs.transitions import RunStatus
from tests.server.served_graphs import WORDS, gates
from tests.server.surface import ANSWER, SECONDS, Parts, Sent, Team, in_process, sent, served

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
QUESTION: Any = {"messages": [{"type": "human", "content": "How long?"}]}
RUNS = f"/threads/{THREAD}/runs"


def ask(**more: Any) -> dict[str, Any]:
    return {"assistant_id": "team", "input": QUESTION, **more}


def steps(graph: str, **more: Any) -> dict[str, Any]:
    return {"assistant_id": graph, "input": {"steps": []}, **more}


def data(event: Sent) -> Any:
    return json.loads(event.data)


def named(events: list[Sent]) -> list[str]:
    return [event.event for event in events]


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


def cut(text: str) -> str:
    """The whole blocks of what has arrived."""
    return text.rpartition("\n\n")[0]


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
        joined = (await client.get(f"{path}/join")).json()
    assert (told["status"], told["cancel_reason"]) == ("interrupted", "cancelled")
    assert data(sent(reply.text)[-2])["error"] == "cancelled"
    assert data(sent(reply.text)[-1])["status"] == "interrupted"
    assert joined["__error__"]["error"] == "cancelled"


async def test_a_run_that_is_taken_back_leaves_nothing(
    app: FastAPI, parts: Parts, team: Team
) -> None:
    team.hold = True
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    path = f"/threads/{record.thread_id}/runs/{record.run_id}"
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        await team.begun.wait()
        waiting = asyncio.create_task(client.get(f"{path}/join"))
        await client.post(f"{path}/cancel?wait=true&action=rollback")
        assert (await waiting).json()["__error__"]["error"] == "cancelled"


@pytest.mark.parametrize(
    "which", [{"status": "all"}, {"status": "running"}, {"thread_id": THREAD}, {"run_ids": 1}]
)
async def test_many_runs_are_cancelled_at_once(
    app: FastAPI, parts: Parts, team: Team, which: dict[str, Any]
) -> None:
    team.hold = True
    question = of_messages([{"role": "user", "content": "x"}])
    record = await parts.runs.create(question, thread_id=THREAD)
    if "run_ids" in which:
        which = {"thread_id": THREAD, "run_ids": [record.run_id]}
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        await team.begun.wait()
        reply = await client.post("/runs/cancel", json=which)
        assert (await parts.runs.wait(record.run_id)).status is RunStatus.CANCELLED
    assert reply.status_code == 204


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
@pytest.mark.parametrize("how", ["stream", "wait"])
async def test_a_reader_who_leaves_ends_the_run_only_if_it_said_so(
    app: FastAPI, parts: Parts, team: Team, on_disconnect: str, how: str
) -> None:
    team.hold = True
    body = ask(on_disconnect=on_disconnect)
    async with asyncio.timeout(SECONDS):
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url) as client,
            client.stream("POST", f"/runs/{how}", json=body),
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


@pytest.mark.usefixtures("worker")
async def test_a_thread_is_followed_over_its_runs(app: FastAPI) -> None:
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, timeout=SECONDS) as client,
        asyncio.timeout(SECONDS),
    ):
        for graph in ("writes", "asks"):
            await client.post(f"{RUNS}/wait", json=steps(graph))
        shown = {
            mode: await until(client, f"/threads/{THREAD}/stream?{query}={mode}", ends=ends)
            for mode, query, ends in (
                ("run_modes", "stream_mode", "run_done"),
                ("lifecycle", "stream_modes", "run_done"),
                ("state_update", "stream_mode", "state_update"),
            )
        }
        rest = await until(
            client, f"/threads/{THREAD}/stream", last=shown["run_modes"][3].id, ends="run_done"
        )
    assert named(shown["lifecycle"]) == ["metadata", "run_done"] * 2
    assert [data(event).get("status") for event in shown["lifecycle"]] == [
        None,
        "success",
        None,
        "interrupted",
    ]
    assert named(shown["run_modes"])[:4] == ["metadata", "values", "values", "run_done"]
    assert [data(event)["values"] for event in shown["state_update"]] == [
        {"steps": ["wrote"]},
        {"steps": ["wrote", "looked"]},
    ]
    assert rest == shown["run_modes"][4:]


async def until(
    client: httpx.AsyncClient, path: str, *, ends: str, last: str | None = None
) -> list[Sent]:
    """What a thread's stream tells up to the second run's end."""
    headers = {"Last-Event-ID": last} if last else {}
    told = ""
    count = 1 if last else 2
    async with client.stream("GET", path, headers=headers) as reply:
        assert reply.headers["location"].startswith(f"/threads/{THREAD}/stream?stream_mode=")
        async for text in reply.aiter_text():
            told += text
            if cut(told).count(f"event: {ends}\n") == count:
                break
    return sent(cut(told))


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/threads/x/runs/stream", ask(), 422, "thread_id: "),
    ("POST", "/runs/stream", ask(assistant_id="nobody"), 404, "nobody"),
    ("POST", "/runs/stream", {"input": {}}, 422, "assistant_id is missing"),
    ("POST", "/runs/stream", ask(input={}), 422, "input.messages is missing"),
    ("POST", "/runs/stream", ask(input={"messages": []}), 422, "nothing to answer"),
    ("POST", "/runs/stream", ask(input={"messages": [{"type": "x"}]}), 422, "0.role: must"),
    ("POST", "/runs/stream", ask(stream_mode="x"), 422, "stream_mode: no mode 'x'; use"),
    ("POST", "/runs/wait", steps("writes", command={"resume": 1}), 400, "command.resume: "),
    (
        "POST",
        RUNS,
        steps("writes", context={"a": 1}, config={"configurable": {"b": 1}}),
        400,
        "context: ",
    ),
    ("POST", RUNS, steps("writes", multitask_strategy="x"), 422, "multitask_strategy: "),
    ("POST", RUNS, steps("writes", if_not_exists="reject"), 404, THREAD),
    ("POST", RUNS, [], 422, "body"),
    ("POST", "/runs/batch", {}, 422, "list"),
    ("POST", "/runs/batch", [], 422, "at least 1"),
    ("POST", "/runs/batch", [{"input": 1}], 422, "0.assistant_id is missing"),
    ("GET", f"{RUNS}?limit=0", None, 422, "limit: "),
    ("GET", f"{RUNS}?status=x", None, 422, "status: must be one of"),
    ("GET", f"{RUNS}?select=x", None, 422, "select: no field 'x'"),
    ("GET", f"{RUNS}/{THREAD}", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/x", None, 422, "run_id: "),
    ("DELETE", f"{RUNS}/{THREAD}", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/{THREAD}/stream", None, 404, f"no run {THREAD}"),
    ("GET", f"{RUNS}/{THREAD}/stream?stream_mode=x", None, 422, "stream_mode: no mode"),
    ("GET", f"{RUNS}/{THREAD}/join", None, 404, f"no run {THREAD}"),
    ("GET", f"/runs/{THREAD}/stream", None, 404, f"no run {THREAD}"),
    ("POST", f"{RUNS}/{THREAD}/cancel", None, 404, f"no run {THREAD}"),
    ("POST", f"{RUNS}/{THREAD}/cancel?action=x", None, 422, "action: "),
    ("POST", "/runs/cancel", {}, 422, "say which"),
    ("POST", "/runs/cancel", {"run_ids": ["x"]}, 422, "run_ids.0: "),
    ("GET", f"/threads/{THREAD}/stream?stream_mode=values", None, 422, "use lifecycle"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), BAD)
async def test_a_bad_request_is_told_in_words(
    app: FastAPI, method: str, path: str, body: Any, status: int, said: str
) -> None:
    async with in_process(app) as client:
        reply = await client.request(method, path, json=body)
    assert reply.status_code == status
    assert said in reply.json()["detail"]


async def test_a_busy_thread_refuses_a_run_that_would_not_wait(app: FastAPI, team: Team) -> None:
    team.hold = True
    async with in_process(app) as client, asyncio.timeout(SECONDS):
        made = await client.post(RUNS, json=ask())
        busy = await client.post(RUNS, json=ask(multitask_strategy="reject"))
        early = await client.delete(made.headers["content-location"])
        team.let_go.set()
        await client.get(made.headers["content-location"] + "/join")
    assert (busy.status_code, early.status_code) == (409, 409)
    assert THREAD in busy.json()["detail"]


@pytest.mark.parametrize("given", ["x", "1-x", "9" * 30, "1-1-1", "-2"])
async def test_an_id_that_is_none_is_refused(app: FastAPI, given: str) -> None:
    async with in_process(app) as client:
        path = f"{RUNS}/{THREAD}/stream"
        reply = await client.get(path, headers={"Last-Event-ID": given})
    assert reply.status_code == 422
    assert "Last-Event-ID" in reply.json()["detail"]


async def test_a_run_is_found_only_on_its_thread(app: FastAPI, parts: Parts) -> None:
    record = await parts.runs.create(of_messages([{"role": "user", "content": "x"}]))
    async with in_process(app) as client:
        reply = await client.get(f"/threads/{uuid.uuid4()}/runs/{record.run_id}")
    assert reply.status_code == 404
