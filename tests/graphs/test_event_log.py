"""The event log, in Redis and in memory: one suite for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from graphs.event_log import Entry, EventLog, MemoryEventLog, ThreadLog, position
from graphs.keys import Keys
from server.redis_client import open_redis

SMALL = 20


@pytest.fixture(params=["redis", "memory"])
def log(request: pytest.FixtureRequest) -> ThreadLog:
    if request.param == "memory":
        return MemoryEventLog(max_events=SMALL)
    redis = cast("Redis", request.getfixturevalue("redis"))
    keys = cast("Keys", request.getfixturevalue("keys"))
    return EventLog(redis, keys, max_events=SMALL)


def said(*words: object) -> list[dict[str, Any]]:
    return [{"type": "said", "word": word} for word in words]


END = {"type": "run.finished", "answer": "done"}


async def all_of(entries: AsyncIterator[Entry]) -> list[Entry]:
    async with asyncio.timeout(5):
        return [entry async for entry in entries]


async def some(entries: AsyncIterator[Entry], count: int) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.append(await anext(entries))
    return found


def words(entries: Iterable[Entry]) -> list[Any]:
    return [entry.event.get("word", entry.event["type"]) for entry in entries]


async def test_a_reader_gets_every_event_in_order_with_growing_ids(log: ThreadLog) -> None:
    ids = await log.append("t", "r", said(1, 2))
    ids += await log.append("t", "r", said(3))
    ids.append(await log.close("t", "r", END))
    entries = await all_of(log.read("t", run_id="r"))
    assert words(entries) == [1, 2, 3, "run.finished"]
    assert [entry.id for entry in entries] == ids
    assert [position(i) for i in ids] == sorted({position(i) for i in ids})


async def test_nothing_to_write_writes_nothing(log: ThreadLog) -> None:
    assert await log.append("t", "r", []) == []


async def test_a_reader_that_comes_back_with_its_last_id_misses_nothing(log: ThreadLog) -> None:
    await log.append("t", "r", said(*range(8)))
    await log.close("t", "r", END)
    whole = await all_of(log.read("t", run_id="r"))
    for cut in range(len(whole)):
        rest = await all_of(log.read("t", run_id="r", after=whole[cut].id))
        assert rest == whole[cut + 1 :]


async def test_a_reader_waits_for_what_is_not_yet_written(log: ThreadLog) -> None:
    async with aclosing(cast("Any", log.read("t", run_id="r"))) as entries:
        first = asyncio.create_task(anext(entries))
        await asyncio.sleep(0)
        for word in range(5):
            await log.append("t", "r", said(word))
            async with asyncio.timeout(5):
                entry = await first
            assert entry.event["word"] == word
            first = asyncio.create_task(anext(entries))
        await log.close("t", "r", END)
        assert (await first).is_terminal
        with pytest.raises(StopAsyncIteration):
            await anext(entries)


async def test_a_run_is_read_from_its_own_start_to_its_own_end(log: ThreadLog) -> None:
    await log.append("t", "first", said("a"))
    await log.close("t", "first", END)
    await log.append("t", "second", said("b"))
    await log.append("t", "other", said("c"))
    await log.close("t", "other", END)
    await log.append("t", "second", said("d"))
    await log.close("t", "second", END)
    assert words(await all_of(log.read("t", run_id="first"))) == ["a", "run.finished"]
    assert words(await all_of(log.read("t", run_id="second"))) == ["b", "d", "run.finished"]


async def test_a_reader_behind_the_end_is_not_kept_waiting(log: ThreadLog) -> None:
    end = await log.close("t", "r", END)
    await log.append("t", "next", said("more"))
    assert await all_of(log.read("t", run_id="r", after=end)) == []


async def test_a_run_ends_once(log: ThreadLog) -> None:
    first = await log.close("t", "r", END)
    assert await log.close("t", "r", {"type": "run.failed"}) == first
    assert words(await all_of(log.read("t", run_id="r"))) == ["run.finished"]


async def test_a_whole_thread_is_followed_beyond_the_end_of_its_runs(log: ThreadLog) -> None:
    await log.append("t", "one", said("a"))
    await log.close("t", "one", END)
    await log.append("t", "two", said("b"))
    async with aclosing(cast("Any", log.read("t", until_terminal=False))) as entries:
        assert words(await some(entries, 3)) == ["a", "run.finished", "b"]


async def test_trimmed_history_is_told_as_a_gap(log: ThreadLog) -> None:
    ids = await log.append("t", "r", said(*range(SMALL)))
    ids += await log.append("t", "r", said(*range(SMALL, SMALL + 10)))
    await log.close("t", "r", END)
    entries = await all_of(log.read("t", run_id="r", after=ids[0]))
    assert entries[0].is_gap
    assert entries[0].event["after"] == ids[0]
    assert entries[0].id == ids[9]
    assert words(entries[1:]) == [*range(10, SMALL + 10), "run.finished"]


async def test_a_reader_at_the_edge_of_what_is_left_has_no_gap(log: ThreadLog) -> None:
    ids = await log.append("t", "r", said(*range(SMALL + 10)))
    await log.close("t", "r", END)
    entries = await all_of(log.read("t", run_id="r", after=ids[9]))
    assert words(entries) == [*range(10, SMALL + 10), "run.finished"]


async def test_a_run_after_trimmed_ones_starts_without_a_gap(log: ThreadLog) -> None:
    await log.append("t", "old", said(*range(SMALL + 10)))
    await log.append("t", "new", said("a"))
    await log.close("t", "new", END)
    assert words(await all_of(log.read("t", run_id="new"))) == ["a", "run.finished"]


async def test_threads_and_tenants_do_not_see_each_other(log: ThreadLog) -> None:
    await log.append("t", "r", said("mine"), tenant="a")
    await log.append("t", "r", said("theirs"), tenant="b")
    await log.append("a:t", "r", said("odd"), tenant="")
    for tenant, word in (("a", "mine"), ("b", "theirs")):
        await log.close("t", "r", END, tenant=tenant)
        entries = await all_of(log.read("t", run_id="r", tenant=tenant))
        assert words(entries) == [word, "run.finished"]


async def test_a_deleted_thread_is_forgotten(log: ThreadLog) -> None:
    await log.append("t", "r", said("old"))
    await log.close("t", "r", END)
    await log.delete("t")
    await log.append("t", "r", said("new"))
    await log.close("t", "r", END)
    assert words(await all_of(log.read("t", run_id="r"))) == ["new", "run.finished"]


async def test_what_is_no_id_is_refused(log: ThreadLog) -> None:
    with pytest.raises(ValueError):
        await all_of(log.read("t", after="yesterday"))


async def test_many_readers_and_writers_agree(log: ThreadLog) -> None:
    async def reader() -> list[Entry]:
        return await all_of(log.read("t", run_id="r"))

    async def writer(name: int) -> None:
        for number in range(2):
            await log.append("t", "r", said(f"{name}.{number}"))

    readers = [asyncio.create_task(reader()) for _ in range(10)]
    await asyncio.gather(*(writer(name) for name in range(8)))
    await log.close("t", "r", END)
    found = await asyncio.gather(*readers)
    assert all(entries == found[0] for entries in found)
    assert len({entry.id for entry in found[0]}) == 17


async def blocked(redis: Redis) -> None:
    """Wait until somebody waits for a stream."""
    async with asyncio.timeout(5):
        while (await redis.info("clients"))["blocked_clients"] == 0:
            pass


async def test_a_reader_in_another_process_is_woken_by_the_write_itself(
    redis: Redis, redis_url: str, keys: Keys
) -> None:
    elsewhere = open_redis(redis_url)
    writing, reading = EventLog(elsewhere, keys), EventLog(redis, keys)
    async with aclosing(cast("Any", reading.read("t", run_id="r"))) as entries:
        loop = asyncio.get_running_loop()
        following = asyncio.create_task(anext(entries))
        waited = 0.0
        for word in range(4):
            await blocked(elsewhere)
            written = loop.time()
            await writing.append("t", "r", said(word))
            async with asyncio.timeout(5):
                assert (await following).event["word"] == word
            waited += loop.time() - written
            following = asyncio.create_task(anext(entries))
        await writing.close("t", "r", END)
        assert (await following).is_terminal
    # Four polls of a second would take two on average.
    assert waited < 0.8
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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(st.integers(1, 12), max_size=12), cut=st.integers(0, 200))
async def test_whatever_is_trimmed_a_reader_gets_the_rest_or_is_told(
    batches: list[int], cut: int
) -> None:
    log = MemoryEventLog(max_events=SMALL)
    ids: list[str] = []
    for size in batches:
        ids += await log.append("t", "r", said(*range(size)))
    ids.append(await log.close("t", "r", END))
    after = ids[min(cut, len(ids) - 1)]
    entries = await all_of(log.read("t", run_id="r", after=after))
    expected = [i for i in ids if position(i) > position(after)]
    told = [entry.id for entry in entries if not entry.is_gap]
    assert told == expected[len(expected) - len(told) :]
    assert any(entry.is_gap for entry in entries) == (len(told) < len(expected))
