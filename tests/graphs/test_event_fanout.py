"""What is followed for readers ends with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs import event_fanout
from graphs.event_fanout import Topic
from graphs.event_log import Entry, EventLog
from graphs.keys import Keys
from tests.faults.polling import eventually

SECONDS = 30.0


def followers() -> int:
    return sum(task.get_name().startswith("follow ") for task in asyncio.all_tasks())


async def read_while_it_is_written(log: EventLog, thread_id: str, *, turns: int) -> None:
    async def write() -> None:
        await log.append(thread_id, "r", [{"type": "run.started"}])
        for _ in range(turns):
            await asyncio.sleep(0)
        await log.append(thread_id, "r", [{"type": "x"}])
        await log.close(thread_id, "r", {"type": "run.finished"})

    writing = asyncio.create_task(write())
    kinds = [entry.event["type"] async for entry in log.read(thread_id, run_id="r")]
    await writing
    assert kinds == ["run.started", "x", "run.finished"]


async def test_no_follower_outlives_its_readers(redis: Redis, keys: Keys) -> None:
    """Each would hold a line to Redis; before Python 3.12 a cancel may be lost on its way."""
    log = EventLog(redis, keys)
    for number in range(60):
        await read_while_it_is_written(log, f"t{number}", turns=number % 20)
    assert log.followed == 0

    async def none() -> bool:
        return followers() == 0

    await eventually(none, within=SECONDS, what="the followers have ended")


async def test_a_process_that_writes_does_not_read_back_what_it_will_write_next(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, followed = EventLog(redis, keys), 0
    monkeypatch.setattr(event_fanout, "AWAIT_SECONDS", SECONDS)
    original = redis.xread

    async def counted(*args: Any, **more: Any) -> Any:
        nonlocal followed
        followed += 1
        return await original(*args, **more)

    monkeypatch.setattr(redis, "xread", counted)
    await log.append("other", "r", [{"type": "run.started"}])
    for number in range(5):
        await read_while_it_is_written(log, f"t{number}", turns=20)
    assert followed == 0


async def test_all_who_wait_for_a_change_are_told_and_one_timer_is_enough_where_none_comes() -> (
    None
):
    topic: Topic[Entry] = Topic()
    first = topic.changed
    waits = [asyncio.create_task(first.wait(0.01)) for _ in range(100)]
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*waits)
    # What was waited for in vain is over: the next wait is a new one.
    assert topic.changed is not first
    waits = [asyncio.create_task(topic.changed.wait(SECONDS * 100)) for _ in range(100)]
    await asyncio.sleep(0)
    topic.publish(after="0-0", batch=[Entry(id="1-0", run_id="r", event={})])
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*waits)


async def test_a_follower_that_waits_alone_wakes_nobody_else() -> None:
    topic: Topic[Entry] = Topic()
    changed = topic.changed
    waiting = asyncio.create_task(changed.wait(SECONDS * 100))
    await changed.wait_alone(0.001)
    assert topic.changed is changed
    assert not waiting.done()
    topic.wake()
    async with asyncio.timeout(SECONDS):
        await waiting
