"""The saver as a run sees it is a saver like any other; whose threads they are stays outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from redis.asyncio import Redis

from graphs.fence import FencedError
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.scoped_saver import ScopedSaver


async def test_it_passes_the_conformance_suite(redis: Redis, keys: Keys) -> None:
    @checkpointer_test(name="scoped")
    async def made() -> AsyncIterator[ScopedSaver]:
        yield ScopedSaver(RedisSaver(redis, keys), tenant="one")

    report = await validate(made)
    assert report.passed_all_base()


async def put(saver: ScopedSaver, thread_id: str) -> None:
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    stored = await saver.aput(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
    assert stored["configurable"]["thread_id"] == thread_id
    await saver.aput_writes(stored, [("channel", 1)], "task")


async def test_a_run_writes_its_own_thread_under_its_fence_and_others_without(
    redis: Redis, keys: Keys
) -> None:
    inner = RedisSaver(redis, keys)
    saver = ScopedSaver(inner, tenant="one", thread_id="mine", fence="r:1")
    await redis.set(keys.fence("one:mine"), "r:1")
    await put(saver, "mine")
    await put(saver, "side")
    await redis.set(keys.fence("one:mine"), "r:2")
    with pytest.raises(FencedError):
        await put(saver, "mine")
    await put(saver, "side")
    threads = {found.config["configurable"]["thread_id"] async for found in inner.alist(None)}
    assert threads == {"one:mine", "one:side"}
    await saver.adelete_thread("side")
    threads = {found.config["configurable"]["thread_id"] async for found in inner.alist(None)}
    assert threads == {"one:mine"}


async def test_a_fence_that_a_caller_forged_does_not_pass(redis: Redis, keys: Keys) -> None:
    saver = ScopedSaver(RedisSaver(redis, keys), tenant="one", thread_id="mine", fence="r:1")
    await redis.set(keys.fence("one:mine"), "s:1")
    config: Any = {
        "configurable": {"thread_id": "mine", "checkpoint_ns": "", "__fence": "s:1"},
    }
    with pytest.raises(FencedError):
        await saver.aput(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
