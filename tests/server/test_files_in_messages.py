"""Files inside messages, on both wires, and what runs made in the answer."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from server.artifacts.store import Origin
from tests.server.surface import USAGE, Parts, Team, in_process

CSV = b"region,amount\nnorth,1\n"
FILE = {
    "type": "file",
    "file": {"filename": "a.csv", "file_data": base64.b64encode(CSV).decode()},
}
BLOCK = {
    "type": "file",
    "source_type": "base64",
    "mime_type": "text/csv",
    "data": base64.b64encode(b"other").decode(),
    "metadata": {"filename": "a.csv"},
}


def said(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "Sum it up"}, *parts]}]


def chat(*parts: Any) -> dict[str, Any]:
    return {"model": "counterpoint", "messages": said(*parts)}


def run(*parts: Any) -> dict[str, Any]:
    return {"assistant_id": "team", "input": {"messages": said(*parts)}}


async def test_a_file_of_a_chat_is_kept_and_its_content_is_in_no_record(
    app: FastAPI, parts: Parts, team: Team, redis: Redis, keys: Keys
) -> None:
    async with in_process(app) as client:
        answered = await client.post("/v1/chat/completions", json=chat(FILE, FILE, BLOCK))
    assert answered.status_code == 200, answered.text
    thread = answered.json()["counterpoint"]["thread_id"]
    assert await redis.ttl(keys.thread_files("default", thread)) == -1
    kept = await parts.files.of_thread(thread, tenant="default", origin=Origin.UPLOAD)
    assert [(one.name, one.media_type) for one in kept] == [
        ("a.csv", "text/csv"),
        ("a-2.csv", "text/csv"),
    ]
    [record] = team.asked
    assert [dict(one) for one in record.asked.messages] == [
        {
            "role": "user",
            "content": "Sum it up\n[attached: a.csv]\n[attached: a.csv]\n[attached: a-2.csv]",
        }
    ]


async def test_a_file_of_a_run_is_kept_for_its_thread(
    app: FastAPI, parts: Parts, team: Team
) -> None:
    async with in_process(app) as client:
        made = await client.post("/threads", json={})
        thread = made.json()["thread_id"]
        first = await client.post(f"/threads/{thread}/runs/wait", json=run(FILE))
        second = await client.post(f"/threads/{thread}/runs/wait", json=run(BLOCK))
        alone = await client.post("/runs/wait", json=run(FILE))
        shown = await client.get(f"/threads/{thread}/runs")
    assert [one.status_code for one in (first, second, alone)] == [200] * 3, first.text
    kept = await parts.files.of_thread(thread, tenant="default")
    assert [one.name for one in kept] == ["a.csv", "a-2.csv"]
    assert "base64" not in shown.text
    words = [record.asked.messages[0]["content"] for record in team.asked]
    assert words == [
        "Sum it up\n[attached: a.csv]",
        "Sum it up\n[attached: a-2.csv]",
        "Sum it up\n[attached: a.csv]",
    ]
    elsewhere = await parts.files.of_thread(team.asked[2].thread_id, tenant="default")
    assert [one.name for one in elsewhere] == ["a.csv"]


@pytest.mark.parametrize(
    "part",
    [
        FILE,
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "url": "https://files.example/a.pdf"},
    ],
)
async def test_a_graph_of_a_users_own_gets_its_input_as_it_was_sent(
    app: FastAPI, parts: Parts, part: dict[str, Any]
) -> None:
    asked = {**run(part), "assistant_id": "echo"}
    async with in_process(app) as client:
        made = await client.post("/runs", json=asked)
    assert made.status_code == 200, made.text
    record = await parts.runs.get(made.json()["run_id"])
    assert record.asked.input["messages"] == said(part)
    assert await parts.files.of_thread(record.thread_id, tenant="default") == []


@pytest.mark.usefixtures("team")
async def test_nothing_is_kept_of_a_request_that_comes_to_nothing(
    app: FastAPI, parts: Parts
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    async with in_process(app) as client:
        made = await client.post("/threads", json={})
        thread = made.json()["thread_id"]
        for wrong in (
            run(FILE, {**FILE, "file": {"filename": "b", "file_data": "no base64!"}}),
            run(FILE, image),
            {**run(FILE), "assistant_id": "nobody"},
        ):
            refused = await client.post(f"/threads/{thread}/runs/wait", json=wrong)
            assert refused.status_code in {404, 422}, refused.text
        nowhere = str(uuid.uuid4())
        missing = {**run(FILE), "if_not_exists": "reject"}
        refused = await client.post(f"/threads/{nowhere}/runs/wait", json=missing)
        assert refused.status_code == 404
    for place in (thread, nowhere):
        assert await parts.files.of_thread(place, tenant="default") == []


async def test_the_same_request_again_keeps_its_files_once(
    app: FastAPI, parts: Parts, team: Team
) -> None:
    once = {"Idempotency-Key": "k1"}
    async with in_process(app) as client:
        first = await client.post("/runs", json=run(FILE), headers=once)
        again = await client.post("/runs", json=run(FILE), headers=once)
        await client.get(f"/runs/{first.json()['run_id']}/stream")
    assert first.json()["run_id"] == again.json()["run_id"]
    [record] = team.asked
    kept = await parts.files.of_thread(record.thread_id, tenant="default")
    assert [one.name for one in kept] == ["a.csv"]


async def _made(parts: Parts, thread: str) -> events.Artifact:
    kept = await parts.files.put(
        b"png",
        name="figure.png",
        media_type="image/png",
        tenant="default",
        thread_id=thread,
        run_id="r",
        origin=Origin.RUN,
    )
    return events.Artifact(
        id=kept.artifact_id, name=kept.name, media_type=kept.media_type, bytes=kept.bytes
    )


async def test_an_answer_shows_its_figures_and_the_code_behind_it(
    app: FastAPI, parts: Parts, team: Team
) -> None:
    made = await _made(parts, str(uuid.uuid4()))
    team.end = events.RunFinished(
        answer=f"Here: ![figure](/artifacts/{made.id})",
        stop_reason="answered",
        usage=USAGE,
        artifacts=[made],
        cells=[events.Cell(code="print(1)", output="1")],
    )
    async with in_process(app) as client:
        answered = (await client.post("/v1/chat/completions", json=chat())).json()
        base = str(client.base_url).rstrip("/")
        url = answered["counterpoint"]["artifacts"][0]["url"]
        got = await client.get(url)
    assert answered["choices"][0]["message"]["content"] == (
        f"Here: ![figure]({url})\n\nFiles:\n![figure.png]({url})\n\nCode:\n```python\nprint(1)\n```"
    )
    assert url == f"{base}/artifacts/{made.id}"
    assert answered["counterpoint"]["cells"] == [{"code": "print(1)", "output": "1", "ok": True}]
    assert (got.content, got.headers["content-type"]) == (b"png", "image/png")
