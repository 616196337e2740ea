"""Callers of the stack: they follow runs and read, come back when cut, and note all that failed."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.endpoint import QUESTION

PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.1


@dataclass
class Books:
    """What callers met: statuses that were no success, connections that were refused or cut.

    ``away`` are answers 503 that say when to come back.
    """

    refused: list[str] = field(default_factory=list)
    away: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)


class Caller:
    """One caller, with a connection of its own to the proxy."""

    def __init__(self, url: str, books: Books) -> None:
        self.client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0)
        self.books = books

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Until there is an answer that says nothing about coming back."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        name = f"{method} {path.split('/')[1]}"
        while True:
            assert time.monotonic() < deadline, f"{name}: no answer in time"
            try:
                reply = await self.client.request(method, path, **options)
            except httpx.TransportError:
                self.books.cut[name] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if reply.status_code in {502, 503} and "retry-after" in reply.headers:
                self.books.away[f"{reply.status_code} {name}"] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not reply.is_success:
                self.books.refused.append(f"{name}: {reply.status_code} {reply.text[:200]}")
            self.books.answered[name] += 1
            return reply


@dataclass
class Followed:
    """One run, as its caller saw it."""

    thread_id: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_id: str = ""
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    reconnects: int = 0


async def follow(caller: Caller, run: Followed) -> None:
    """Begin the run under its key and follow it to its end, from the last event after each cut."""
    asked = {
        "assistant_id": "team",
        "input": {"messages": [{"role": "user", "content": QUESTION}]},
    }
    reply = await caller.ask(
        "POST",
        f"/threads/{run.thread_id}/runs",
        json=asked,
        headers={"Idempotency-Key": run.key},
    )
    run.run_id = reply.json()["run_id"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not run.ended:
        assert time.monotonic() < deadline, f"{run.run_id}: no end of its stream in time"
        try:
            await _read(caller, run)
        except httpx.TransportError:
            caller.books.cut["stream"] += 1
        if not run.ended:
            run.reconnects += 1
            await asyncio.sleep(_PAUSE_SECONDS)


async def _read(caller: Caller, run: Followed) -> None:
    last = run.ids[-1] if run.ids else "-1"
    path = f"/threads/{run.thread_id}/runs/{run.run_id}/stream"
    async with caller.client.stream(
        "GET", path, params={"stream_mode": "custom"}, headers={"Last-Event-ID": last}
    ) as stream:
        if stream.status_code != httpx.codes.OK:
            await stream.aread()
            if stream.status_code in {502, 503} and "retry-after" in stream.headers:
                caller.books.away[f"{stream.status_code} stream"] += 1
            else:
                caller.books.refused.append(f"stream: {stream.status_code} {stream.text[:200]}")
            return
        name = ""
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                run.ids.append(line.removeprefix("id: "))
            elif line.startswith("event: "):
                name = line.removeprefix("event: ")
                run.names.append(name)
            elif line.startswith("data: ") and name == "custom":
                told = json.loads(line.removeprefix("data: "))
                if told.get("type") not in {"run.queued", "run.started"}:
                    run.begun.set()
            elif not line and name == "end":
                run.ended = True
                run.begun.set()


async def read(caller: Caller, stop: asyncio.Event) -> None:
    """List approvals and search, again and again."""
    while not stop.is_set():
        await caller.ask("GET", "/approvals", params={"limit": 10})
        found = await caller.ask(
            "POST", "/documents/search", json={"query": "annual plan refund", "limit": 2}
        )
        if found.is_success and not found.json()["hits"]:
            caller.books.refused.append("search: found nothing")
        await asyncio.sleep(_PAUSE_SECONDS)
