"""What is followed for readers ends with them."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from graphs.event_log import EventLog
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
