"""A machine's clock may be wrong; what was written last is the latest all the same."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base import id as ids
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver

PLACE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangGraph's generator of ids as in a fresh process, and afterwards as it was."""
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)


async def write(saver: RedisSaver, after: Any, *, step: int) -> Any:
    made = empty_checkpoint()
    metadata: Any = {"source": "loop", "step": step, "parents": {}}
    return await saver.aput(after, made, metadata, {})


async def test_a_worker_whose_clock_is_behind_goes_on_behind_what_it_read(
    redis: Redis, keys: Keys, generator: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = RedisSaver(redis, keys)
    true_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_time() + 300_000_000_000)
    await write(saver, PLACE, step=0)

    # Another process, with another clock.
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)
    monkeypatch.setattr(time, "time_ns", lambda: true_time() - 300_000_000_000)
    read = await saver.aget_tuple(PLACE)
    assert read is not None
    written = await write(saver, read.config, step=1)

    latest = await saver.aget_tuple(PLACE)
    assert latest is not None
    assert latest.metadata["step"] == 1
    assert latest.config == written
    assert [one.metadata["step"] async for one in saver.alist(PLACE)] == [1, 0]


async def test_an_id_that_is_no_time_is_passed_over(
    redis: Redis, keys: Keys, generator: None
) -> None:
    saver = RedisSaver(redis, keys)
    made = empty_checkpoint()
    made["id"] = "first"
    last = ids._last_v6_timestamp
    metadata: Any = {"source": "input", "step": -1, "parents": {}}
    await saver.aput(PLACE, made, metadata, {})
    found = await saver.aget_tuple(PLACE)
    assert found is not None
    assert found.checkpoint["id"] == "first"
    assert ids._last_v6_timestamp == last
