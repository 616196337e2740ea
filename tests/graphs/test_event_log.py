"""The event log, in Redis and in memory: one suite for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from graphs.event_log import Entry, EventLog, ThreadLog, position
from graphs.event_log_memory import MemoryEventLog
from graphs.fence import IDLE, FencedError, stamp
from graphs.keys import Keys, thread_name
from tests import examples
from tests.doubles.redis_kinds import KINDS, Server

SMALL = 20


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, redis_of_kind: Callable[[str], Server]) -> str:
    kind = request.getfixturevalue("log_kind")
    return redis_of_kind(kind).url


@pytest.fixture(params=[*KINDS, "memory"])
def log_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(request: pytest.FixtureRequest, log_kind: str) -> ThreadLog:
    if log_kind == "memory":
        return MemoryEventLog(max_events=SMALL)
    redis = cast("Redis", request.getfixturevalue("redis"))
    keys = cast("Keys", request.getfixturevalue("keys"))
    return EventLog(redis, keys, max_events=SMALL)


def said(*words: object) -> list[dict[str, Any]]:
    return [{"type": "said", "word": word} for word in words]


END = {"type": "run.finished", "answer": "done"}


async def all_of(entries: AsyncIterator[Entry]) -> list[Entry]:
    async with asyncio.timeout(30):
        return [entry async for entry in entries]


async def some(entries: AsyncIterator[Entry], count: int) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(30):
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
            async with asyncio.timeout(30):
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


PAUSE = {"type": "run.interrupted", "interrupts": []}


async def hold(log: ThreadLog, thread_id: str, holder: str) -> None:
    """Let a thread listen to one writer."""
    if isinstance(log, MemoryEventLog):
        log.fences["default", thread_id] = holder
    else:
        assert isinstance(log, EventLog)
        await log._redis.set(log._keys.fence(thread_name("default", thread_id)), holder)


async def test_a_writer_that_lost_its_claim_writes_nothing(log: ThreadLog) -> None:
    mine, theirs = stamp("r", 1), stamp("r", 2)
    await hold(log, "t", mine)
    await log.append("t", "r", said(1), fence=mine)
    await hold(log, "t", theirs)
    for fence in (mine, IDLE):
        with pytest.raises(FencedError):
            await log.append("t", "r", said("late"), fence=fence)
        with pytest.raises(FencedError):
            await log.pause("t", "r", PAUSE, fence=fence)
        with pytest.raises(FencedError):
            await log.close("t", "r", END, fence=fence)
    await log.append("t", "r", said(2), fence=theirs)
    await log.close("t", "r", END, fence=theirs)
    assert words(await all_of(log.read("t", run_id="r"))) == [1, 2, "run.finished"]


async def test_a_writer_that_is_no_run_is_heard_while_the_thread_is_idle(log: ThreadLog) -> None:
    await log.append("t", "r", said(1), fence=IDLE)
    with pytest.raises(FencedError):
        await log.append("t", "r", said(2), fence=stamp("r", 1))
    assert await log.size("t") > 0


async def test_a_run_that_is_in_another_state_is_not_told_to_have_stopped(
    log: ThreadLog, request: pytest.FixtureRequest
) -> None:
    await log.append("t", "r", said(1))
    if isinstance(log, MemoryEventLog):
        log.states["r"] = "running"
    else:
        keys = cast("Keys", request.getfixturevalue("keys"))
        await request.getfixturevalue("redis").hset(keys.run("r"), "status", "running")
    with pytest.raises(FencedError):
        await log.pause("t", "r", PAUSE, status="interrupted")
    with pytest.raises(FencedError):
        await log.close("t", "r", END, status="success")
    await log.close("t", "other", END, status="success")
    await log.close("t", "r", END, status="running")
    assert words(await all_of(log.read("t", run_id="r"))) == [1, "run.finished"]


async def test_a_paused_run_is_read_up_to_its_pause(log: ThreadLog) -> None:
    await log.append("t", "r", said(1))
    at = await log.pause("t", "r", PAUSE)
    entries = await all_of(log.read("t", run_id="r"))
    assert words(entries) == [1, "run.interrupted"]
    assert entries[-1].is_pause
    assert not entries[-1].is_terminal
    assert words(await all_of(log.read("t"))) == [1, "run.interrupted"]
    assert await all_of(log.read("t", run_id="r", after=at)) == []
    assert await log.pause("t", "r", PAUSE) == at


async def test_a_reader_that_waits_is_let_go_by_the_pause(log: ThreadLog) -> None:
    async with aclosing(cast("Any", log.read("t", run_id="r"))) as entries:
        following = asyncio.create_task(anext(entries))
        await asyncio.sleep(0)
        await log.append("t", "r", said(1))
        assert (await following).event["word"] == 1
        await log.pause("t", "r", PAUSE)
        assert (await anext(entries)).is_pause
        async with asyncio.timeout(30):
            with pytest.raises(StopAsyncIteration):
                await anext(entries)


async def test_a_resumed_run_is_read_through_its_pause_to_its_end(log: ThreadLog) -> None:
    await log.pause("t", "r", PAUSE)
    await log.append("t", "r", said(2))
    second = await log.pause("t", "r", PAUSE, number=1)
    await log.close("t", "r", END)
    whole = ["run.interrupted", 2, "run.interrupted", "run.finished"]
    assert words(await all_of(log.read("t", run_id="r"))) == whole
    assert words(await all_of(log.read("t", run_id="r", after=second))) == ["run.finished"]
    with_pause_too_late = await log.pause("t", "r", PAUSE)
    assert words(await all_of(log.read("t", run_id="r"))) == whole
    assert with_pause_too_late == (await all_of(log.read("t", run_id="r")))[-1].id


async def test_readers_of_a_run_that_is_to_go_on_wait_for_what_comes(log: ThreadLog) -> None:
    at = await log.pause("t", "r", PAUSE)
    await log.proceed("t", "r")
    async with aclosing(cast("Any", log.read("t", run_id="r", after=at))) as entries:
        following = asyncio.create_task(anext(entries))
        await asyncio.sleep(0)
        await log.append("t", "r", said("on"))
        async with asyncio.timeout(30):
            assert (await following).event["word"] == "on"


@pytest.mark.parametrize("told", [True, False])
async def test_a_pause_that_is_told_late_or_sent_again_is_not_told_behind_what_came_after_it(
    log: ThreadLog, told: bool
) -> None:
    await log.append("t", "r", said(1))
    if told:
        await log.pause("t", "r", PAUSE)
    await log.proceed("t", "r")
    for step in (2, 3):
        assert await log.pause("t", "r", PAUSE) == ""
        await log.append("t", "r", said(step))
    await log.pause("t", "r", PAUSE, number=1)
    before = [1, "run.interrupted"] if told else [1]
    assert words(await all_of(log.read("t", run_id="r"))) == [*before, 2, 3, "run.interrupted"]


async def test_reading_a_run_of_which_nothing_is_left_ends(log: ThreadLog) -> None:
    assert await all_of(log.read("never", run_id="r", begun=True)) == []
    await log.append("t", "other", said(1))
    assert await all_of(log.read("t", run_id="r", begun=True)) == []
    await log.append("t", "r", said("mine"))
    await log.close("t", "r", END)
    assert words(await all_of(log.read("t", run_id="r", begun=True))) == ["mine", "run.finished"]


async def test_a_run_that_was_trimmed_away_is_told_as_a_gap_and_leaves_no_trace(
    log: ThreadLog,
) -> None:
    await log.append("t", "old", said(1))
    await log.close("t", "old", END)
    await log.append("t", "new", said(*range(SMALL + 10)))
    entries = await all_of(log.read("t", run_id="old", begun=True))
    assert [entry.is_gap for entry in entries] == [True]


@pytest.mark.parametrize("run_id", ["r", None])
async def test_a_reader_that_waits_is_let_go_when_the_log_is_deleted(
    log: ThreadLog, run_id: str | None
) -> None:
    await log.append("t", "r", said(1))
    async with aclosing(cast("Any", log.read("t", run_id=run_id))) as entries:
        assert (await anext(entries)).event["word"] == 1
        waiting = asyncio.create_task(anext(entries))
        await asyncio.sleep(0)
        await log.delete("t")
        async with asyncio.timeout(30):
            with pytest.raises(StopAsyncIteration):
                await waiting


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


@settings(
    max_examples=examples.times(30), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
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


async def test_the_newest_event_is_known(log: ThreadLog) -> None:
    assert await log.newest("t") == "0-0"
    *_, last = await log.append("t", "r", said(1, 2))
    assert await log.newest("t") == last
