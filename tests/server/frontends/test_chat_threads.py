"""Threads that chat completions make: named so, out of the way of lists, gone after a while."""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from server.app import build
from server.runs.asked import of_messages
from server.threads.sweeper import ThreadSweeper
from server.threads.thread import (
    CHAT,
    SOURCE,
    NewThread,
    ThreadNotFoundError,
    ThreadQuery,
    ThreadStatus,
    TimeToLive,
)
from tests.server.surface import Parts, Team, configured, in_process
from tests.server.threads.by_hand import put_status
from tests.server.threads.test_sweeper import aged

ASKED = {"model": "counterpoint", "messages": [{"role": "user", "content": "How long?"}]}
CHATS = {"metadata": {SOURCE: CHAT}}


async def chat(client: httpx.AsyncClient) -> str:
    answer = await client.post("/v1/chat/completions", json=ASKED)
    thread: str = answer.json()["counterpoint"]["thread_id"]
    return thread


async def listed(client: httpx.AsyncClient, **asked: Any) -> list[str]:
    found = await client.post("/threads/search", json={"select": ["thread_id"], **asked})
    count = await client.post("/threads/count", json=asked)
    assert count.json() == int(found.headers["X-Pagination-Total"])
    return [one["thread_id"] for one in found.json()]


@pytest.mark.usefixtures("team")
async def test_the_thread_of_a_chat_completion_is_listed_for_who_asks_for_it(
    app: FastAPI,
) -> None:
    async with in_process(app) as client:
        thread = await chat(client)
        other = (await client.post("/threads", json={})).json()["thread_id"]
        assert await listed(client) == [other]
        assert await listed(client, status="idle") == [other]
        assert await listed(client, metadata={"graph_id": "team"}) == []
        assert await listed(client, **CHATS) == [thread]
        assert await listed(client, ids=[thread]) == [thread]
        shown = (await client.get(f"/threads/{thread}?include=ttl")).json()
    assert shown["metadata"] == {SOURCE: CHAT, "graph_id": "team", "assistant_id": "team"}
    assert shown["ttl"]["ttl_minutes"] == 7 * 24 * 60


async def test_one_that_waits_for_a_person_is_listed_with_all_that_wait(
    parts: Parts, team: Team
) -> None:
    team.end = events.RunInterrupted(interrupts=[events.Interrupt(id="i", value="May I?")])
    async with in_process(build(parts)) as client:
        thread = await chat(client)
        assert await listed(client, status="interrupted") == [thread]


@pytest.mark.usefixtures("team")
async def test_without_days_it_is_kept_for_ever(parts: Parts) -> None:
    async with in_process(configured(parts, chat_thread_days=0)) as client:
        thread = await chat(client)
        shown = (await client.get(f"/threads/{thread}?include=ttl")).json()
        assert await listed(client, **CHATS) == [thread]
    assert shown["ttl"] is None


async def test_it_goes_when_its_days_are_over_and_not_while_it_waits_for_a_person(
    parts: Parts, team: Team, redis: Redis, keys: Keys
) -> None:
    sweeper = ThreadSweeper(redis, keys, threads=parts.threads)
    new = NewThread(metadata={SOURCE: CHAT}, ttl=TimeToLive(minutes=30))
    asked = of_messages([{"role": "user", "content": "How long?"}])

    async def made(end: Any) -> str:
        team.end = end
        run = await parts.runs.create(asked, new_thread=new)
        await parts.runs.wait(run.run_id)
        await aged(redis, keys, await parts.threads.get(run.thread_id))
        return run.thread_id

    over = await made(None)
    waits = await made(events.RunInterrupted(interrupts=[events.Interrupt(id="i", value="?")]))
    assert await sweeper.sweep() == 1
    with pytest.raises(ThreadNotFoundError):
        await parts.threads.get(over)
    record = await parts.threads.get(waits)
    assert record.status is ThreadStatus.INTERRUPTED
    await parts.runs.cancel(record.paused)
    await aged(redis, keys, await parts.threads.get(waits))
    assert await sweeper.sweep() == 1


async def test_a_thread_that_was_there_stays_what_it_was(parts: Parts, team: Team) -> None:
    there = await parts.threads.create(metadata={"mine": 1})
    new = NewThread(metadata={SOURCE: CHAT}, ttl=TimeToLive(minutes=30))
    asked = of_messages([{"role": "user", "content": "How long?"}])
    run = await parts.runs.create(asked, thread_id=there.thread_id, new_thread=new)
    await parts.runs.wait(run.run_id)
    record = await parts.threads.get(there.thread_id)
    assert len(team.asked) == 1
    assert (record.ttl, SOURCE in record.metadata) == (None, False)


async def test_what_is_left_out_is_left_out_of_the_count_as_well(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    wanted = []
    for status, source in product(ThreadStatus, (CHAT, "other")):
        record = await parts.threads.create(metadata={SOURCE: source, "all": True})
        await put_status(redis, keys, record, status.value)
        if source != CHAT and status is ThreadStatus.IDLE:
            wanted.append(record.thread_id)
    for more in ({}, {"all": True}):
        query = ThreadQuery(metadata=more, status=ThreadStatus.IDLE, without=(SOURCE, CHAT))
        found, total = await parts.threads.search(query)
        assert ([one.thread_id for one in found], total) == (wanted, 1)
        found, total = await parts.threads.search(
            ThreadQuery(metadata=more, without=(SOURCE, CHAT))
        )
        assert (len(found), total) == (4, 4)
