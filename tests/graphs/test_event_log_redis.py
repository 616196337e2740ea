"""The event log in Redis: other processes, lost replies, retention, what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from graphs import event_fanout
from graphs.event_log import EventLog
from graphs.event_log_memory import MemoryEventLog
from graphs.keys import Keys
from server.redis_client import open_redis
from tests.doubles.lost_replies import lost_replies
from tests.doubles.redis_kinds import Server
from tests.graphs.test_event_log import END, PAUSE, all_of, said, words


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    """Every kind of server that we promise to run on."""
    return redis_of_kind(redis_kind).url


async def blocked(redis: Redis) -> None:
    """Wait until somebody waits for a stream."""
    async with asyncio.timeout(30):
        while (await redis.info("clients"))["blocked_clients"] == 0:
            pass


async def test_a_reader_in_another_process_is_woken_by_the_write_itself(
    redis: Redis, redis_url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who looked again only after this would be late.
    monkeypatch.setattr(event_fanout, "BLOCK_MS", 120_000)
    elsewhere = open_redis(f"{redis_url}?socket_timeout=300")
    writing, reading = EventLog(redis, keys), EventLog(elsewhere, keys)
    async with aclosing(cast("Any", reading.read("t", run_id="r"))) as entries:
        following = asyncio.create_task(anext(entries))
        for word in range(4):
            await blocked(redis)
            await writing.append("t", "r", said(word))
            async with asyncio.timeout(30):
                assert (await following).event["word"] == word
            following = asyncio.create_task(anext(entries))
        await writing.close("t", "r", END)
        assert (await following).is_terminal
    await elsewhere.aclose()


async def test_a_reader_beside_the_writer_gets_batches_from_memory(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, pages = EventLog(redis, keys), 0
    original = log._page

    async def counted(*args: Any) -> Any:
        nonlocal pages
        pages += 1
        return await original(*args)

    monkeypatch.setattr(log, "_page", counted)
    async with aclosing(cast("Any", log.read("t", run_id="r"))) as entries:
        following = asyncio.create_task(anext(entries))
        await log.append("t", "r", said(0))
        await following
        pages = 0
        for word in range(1, 20):
            await log.append("t", "r", said(word))
            assert (await anext(entries)).event["word"] == word
        assert pages == 0


async def test_two_writing_processes_cost_a_local_reader_nothing(
    redis: Redis, redis_url: str, keys: Keys
) -> None:
    elsewhere = open_redis(redis_url)
    near, far = EventLog(redis, keys), EventLog(elsewhere, keys)
    reader = asyncio.create_task(all_of(near.read("t", run_id="r")))
    for number in range(20):
        await (near if number % 3 else far).append("t", "r", said(number))
    await near.close("t", "r", END)
    assert words(await reader) == [*range(20), "run.finished"]
    await elsewhere.aclose()


async def test_nothing_is_kept_of_a_thread_that_nobody_reads(redis: Redis, keys: Keys) -> None:
    log = EventLog(redis, keys)
    async with aclosing(cast("Any", log.read("t", run_id="r"))) as entries:
        following = asyncio.create_task(anext(entries))
        await log.append("t", "r", said(1))
        await following
        assert log.followed == 1
    assert log.followed == 0


async def test_the_log_of_a_finished_thread_expires_and_a_new_run_revives_it(
    redis: Redis, keys: Keys
) -> None:
    log = EventLog(redis, keys, retention_seconds=100)
    names = [keys.events("default", "t"), keys.events_meta("default", "t")]
    await log.append("t", "r", said(1))
    assert [await redis.ttl(name) for name in names] == [-1, -1]
    await log.close("t", "r", END)
    assert [await redis.ttl(name) for name in names] == [100, 100]
    await log.append("t", "next", said(2))
    assert [await redis.ttl(name) for name in names] == [-1, -1]


async def test_an_unfinished_run_keeps_the_log_whatever_else_ends(redis: Redis, keys: Keys) -> None:
    log = EventLog(redis, keys, retention_seconds=100)
    names = [keys.events("default", "t"), keys.events_meta("default", "t")]
    await log.pause("t", "paused", PAUSE)
    await log.append("t", "other", said(1))
    await log.close("t", "other", END)
    assert [await redis.ttl(name) for name in names] == [-1, -1]
    await log.close("t", "paused", END)
    assert [await redis.ttl(name) for name in names] == [100, 100]


async def test_the_log_of_a_temporary_thread_goes_soon(redis: Redis, keys: Keys) -> None:
    log = EventLog(redis, keys)
    await log.append("t", "r", said(1))
    await log.close("t", "r", END, retention_seconds=7)
    assert await redis.ttl(keys.events("default", "t")) == 7
    await log.append("gone", "r", said(1))
    await log.close("gone", "r", END, retention_seconds=0)
    assert words(await all_of(log.read("gone", run_id="r"))) == [1, "run.finished"]


async def test_an_expired_log_ends_its_readers(redis: Redis, keys: Keys) -> None:
    log = EventLog(redis, keys)
    await log.append("t", "r", said(1))
    async with aclosing(cast("Any", log.read("t", until_terminal=False))) as entries:
        assert (await anext(entries)).event["word"] == 1
        for name in (keys.events("default", "t"), keys.events_meta("default", "t")):
            await redis.pexpire(name, 1)
        async with asyncio.timeout(30):
            with pytest.raises(StopAsyncIteration):
                await anext(entries)


async def test_no_event_is_missing_and_none_is_there_twice_when_replies_get_lost(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(redis, keys)
    with lost_replies(monkeypatch) as lost:
        ids = await log.append("t", "r", said(1, 2, 3))
        ids += await log.append("t", "r", said(4))
        ids.append(await log.pause("t", "r", PAUSE))
        ids += await log.append("t", "r", said(5))
        ids.append(await log.close("t", "r", END))
    assert len(lost) >= 5
    found = await all_of(log.read("t", run_id="r"))
    assert words(found) == [1, 2, 3, 4, "run.interrupted", 5, "run.finished"]
    assert [entry.id for entry in found] == ids


async def test_writers_of_one_run_at_once_lose_nothing_to_lost_replies(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(redis, keys)
    with lost_replies(monkeypatch, every=2):
        given = await asyncio.gather(*(log.append("t", "r", said(n, -n)) for n in range(1, 7)))
    await log.close("t", "r", END)
    found = await all_of(log.read("t", run_id="r"))
    assert sorted(words(found[:-1])) == sorted(n * s for n in range(1, 7) for s in (1, -1))
    assert sorted(i for ids in given for i in ids) == sorted(entry.id for entry in found[:-1])


async def test_a_batch_larger_than_the_log_is_still_told_its_ids(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(redis, keys, max_events=10)
    with lost_replies(monkeypatch):
        ids = await log.append("t", "r", said(*range(30)))
    assert len(set(ids)) == 30
    assert await redis.xlen(keys.events("default", "t")) == 10


async def test_a_hundred_readers_of_a_thread_cost_one_that_follows(
    redis: Redis, redis_url: str, keys: Keys
) -> None:
    elsewhere = open_redis(redis_url)
    log = EventLog(redis, keys)
    readers = [asyncio.create_task(all_of(log.read("t", run_id="r"))) for _ in range(100)]
    await blocked(elsewhere)
    assert (await elsewhere.info("clients"))["blocked_clients"] == 1
    assert log.followed == 1
    far = EventLog(elsewhere, keys)
    await far.append("t", "r", said(1))
    await far.close("t", "r", END)
    assert [words(found) for found in await asyncio.gather(*readers)] == [[1, "run.finished"]] * 100
    await elsewhere.aclose()


async def test_what_is_left_of_ended_runs_does_not_grow_with_their_number(
    redis: Redis, keys: Keys
) -> None:
    log = EventLog(redis, keys, max_events=10)
    for number in range(40):
        await log.append("t", f"r{number}", said(number))
        await log.close("t", f"r{number}", END)
    # Two fields a run that still has events, and three for the thread.
    assert await redis.hlen(keys.events_meta("default", "t")) <= 2 * 7 + 3


def test_both_logs_are_there_for_the_same_calls() -> None:
    assert {n for n in vars(MemoryEventLog) if not n.startswith("_")} <= set(dir(EventLog))
