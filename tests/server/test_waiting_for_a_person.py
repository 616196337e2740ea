"""A command that asked follows its run over a pause, to the end that a decision brings."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import pytest

from server import client as clients

PLACE = "/threads/t/runs/r/stream"


def event(kind: str, name: str, data: object) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), name.encode(), orjson.dumps(data))


class Server:
    """Tells a run that pauses, is looked at twice, and ends."""

    def __init__(self) -> None:
        self.looks: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        paused = event("end", "", {"run_id": "r", "status": "interrupted"})
        self.looks.append(request.headers.get("last-event-id"))
        if request.method == "POST":
            body = event("custom", "1-0", {"type": "approval.requested"}) + paused
        elif len(self.looks) == 2:
            body = paused
        else:
            body = event("custom", "2-0", {"type": "run.finished"})
            body += event("end", "", {"run_id": "r", "status": "success"})
        return httpx.Response(200, content=body, headers={"location": PLACE})


async def test_a_paused_run_is_waited_for_and_each_event_comes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = asyncio.sleep

    async def at_once(_: float) -> None:
        await real(0)

    monkeypatch.setattr("server.client.asyncio.sleep", at_once)
    server = Server()
    pauses: list[None] = []
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(server), base_url="http://127.0.0.1"
    ) as client:
        following = clients.run_events(client, {}, on_pause=lambda: pauses.append(None))
        told = [one["type"] async for one in following]
    assert told == ["approval.requested", "run.finished"]
    assert server.looks == [None, "1-0", "1-0"]
    assert len(pauses) == 2


async def test_a_cancelled_run_is_over_though_it_has_the_same_status() -> None:
    def cancelled(request: httpx.Request) -> httpx.Response:
        body = event("custom", "1-0", {"type": "run.failed", "error": "cancelled"})
        body += event("end", "", {"run_id": "r", "status": "interrupted"})
        return httpx.Response(200, content=body, headers={"location": PLACE})

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(cancelled), base_url="http://127.0.0.1"
    ) as client:
        assert len([one async for one in clients.run_events(client, {})]) == 1
