"""Threads with a time to live."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.threads.records import RedisThreads
from server.threads.sweeper import ThreadSweeper, swept
from server.threads.thread import Strategy, ThreadNotFoundError, ThreadRecord, TimeToLive
from tests.server.threads.by_hand import checkpointed, put_status

HOUR = 3_600_000_000


@pytest.fixture
def sweeper(redis: Redis, keys: Keys, threads: RedisThreads) -> ThreadSweeper:
    return ThreadSweeper(redis, keys, threads=threads)


async def aged(redis: Redis, keys: Keys, record: ThreadRecord, microseconds: int = HOUR) -> None:
    """As if it had been made and last used that much earlier."""
    name = keys.thread_record(record.tenant, record.thread_id)
    await redis.hincrby(name, "updated_at", -microseconds)
    await redis.zincrby(keys.threads_expiring, -microseconds, record.checkpoint_thread)


async def there(threads: RedisThreads, record: ThreadRecord) -> bool:
    return bool(await threads.many([record.thread_id], tenant=record.tenant))


async def test_a_thread_goes_when_its_time_is_over_and_not_before(
    threads: RedisThreads, redis: Redis, keys: Keys, sweeper: ThreadSweeper
) -> None:
    old = await threads.create(tenant="a:b", ttl=TimeToLive(minutes=30))
    young = await threads.create(ttl=TimeToLive(minutes=90))
    without = await threads.create()
    for record in (old, young):
        await aged(redis, keys, record)
    assert await sweeper.sweep() == 1
    assert not await there(threads, old)
    assert await there(threads, young)
    assert await there(threads, without)
    assert await redis.zrange(keys.threads_expiring, 0, -1) == [young.checkpoint_thread.encode()]


async def test_a_thread_that_was_used_since_lives_on(
    threads: RedisThreads, redis: Redis, keys: Keys, sweeper: ThreadSweeper
) -> None:
    """Runs change its time of change and know nothing of the sweeper's list."""
    made = await threads.create(ttl=TimeToLive(minutes=30))
    await redis.zincrby(keys.threads_expiring, -HOUR, made.checkpoint_thread)
    assert await sweeper.sweep() == 0
    score = await redis.zscore(keys.threads_expiring, made.checkpoint_thread)
    assert made.expires_at is not None
    assert score == pytest.approx(made.expires_at.timestamp() * 1e6, abs=10)
    await aged(redis, keys, made)
    assert await sweeper.sweep() == 1


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("status", ["busy", "interrupted"])
async def test_a_thread_in_use_is_left_alone(
    threads: RedisThreads,
    redis: Redis,
    keys: Keys,
    saver: RedisSaver,
    sweeper: ThreadSweeper,
    strategy: Strategy,
    status: str,
) -> None:
    made = await threads.create(ttl=TimeToLive(minutes=30, strategy=strategy))
    await checkpointed(saver, made)
    await aged(redis, keys, made)
    await put_status(redis, keys, made, status)
    assert await sweeper.sweep() == 0
    config: Any = {"configurable": {"thread_id": made.checkpoint_thread}}
    assert len([found async for found in saver.alist(config)]) == 3


async def test_a_thread_that_keeps_its_latest_state_is_pruned_again_and_again(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver, sweeper: ThreadSweeper
) -> None:
    ttl = TimeToLive(minutes=30, strategy=Strategy.KEEP_LATEST)
    made = await threads.create(ttl=ttl)
    config: Any = {"configurable": {"thread_id": made.checkpoint_thread}}
    for _ in range(2):
        await checkpointed(saver, made)
        await aged(redis, keys, made)
        assert await sweeper.sweep() == 1
        assert len([found async for found in saver.alist(config)]) == 1
        assert await sweeper.sweep() == 0


async def test_what_a_deletion_left_is_finished(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver, sweeper: ThreadSweeper
) -> None:
    made = await threads.create()
    await checkpointed(saver, made)
    await redis.delete(keys.thread_record(made.tenant, made.thread_id))
    await redis.sadd(keys.threads_leaving, made.checkpoint_thread)
    await redis.zadd(keys.threads_expiring, {made.checkpoint_thread: 1})
    assert await sweeper.sweep() == 0
    config: Any = {"configurable": {"thread_id": made.checkpoint_thread}}
    assert await saver.aget_tuple(config) is None
    assert not await redis.exists(keys.threads_leaving, keys.threads_expiring)


async def test_sweeping_goes_on_in_the_background_also_after_a_failure(
    threads: RedisThreads, redis: Redis, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    made = await threads.create(ttl=TimeToLive(minutes=30))
    await aged(redis, keys, made)
    done = asyncio.Event()

    class Failing(ThreadSweeper):
        times = 0

        async def sweep(self) -> int:
            self.times += 1
            if self.times == 1:
                raise ConnectionError("no line")
            found = await super().sweep()
            done.set()
            return found

    async with asyncio.timeout(30), swept(Failing(redis, keys, threads=threads), every_seconds=0):
        await done.wait()
    with pytest.raises(ThreadNotFoundError):
        await threads.get(made.thread_id)
    assert "trying again" in caplog.text
