"""Thread records below the wire."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.redis_client import open_redis
from server.threads.matching import contains
from server.threads.records import RedisThreads
from server.threads.thread import (
    SortBy,
    Strategy,
    ThreadBusyError,
    ThreadExistsError,
    ThreadNotFoundError,
    ThreadQuery,
    ThreadStatus,
    TimeToLive,
)
from tests import examples
from tests.server.threads.by_hand import checkpointed, put_status


async def leftovers(redis: Redis) -> set[str]:
    return {name.decode() async for name in redis.scan_iter(count=1000)}


async def test_a_thread_is_made_merged_and_deleted_without_a_trace(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver
) -> None:
    before = await leftovers(redis)
    made = await threads.create(
        metadata={"a": 1, "b": {"c": [1]}, "": None}, ttl=TimeToLive(minutes=5)
    )
    assert made.metadata == {"a": 1, "b": {"c": [1]}, "": None}
    assert (made.status, made.ttl) == (ThreadStatus.IDLE, TimeToLive(minutes=5))
    await threads.patch(made.thread_id, metadata={"a": "two", "d": True})
    merged = await threads.get(made.thread_id)
    assert merged.metadata == {"a": "two", "b": {"c": [1]}, "d": True, "": None}
    assert merged.updated_at > made.updated_at
    assert (await threads.search(ThreadQuery(metadata={"a": 1})))[1] == 0
    assert (await threads.search(ThreadQuery(metadata={"a": "two"})))[1] == 1
    await checkpointed(saver, made)
    with pytest.raises(ThreadExistsError):
        await threads.create(thread_id=made.thread_id)
    await threads.delete(made.thread_id)
    assert await leftovers(redis) - before == {keys.tenants}
    for missing in (threads.get, threads.delete, threads.patch, threads.copy):
        with pytest.raises(ThreadNotFoundError):
            await missing(made.thread_id)


async def test_a_busy_thread_is_not_deleted(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    made = await threads.create()
    await put_status(redis, keys, made, "busy")
    with pytest.raises(ThreadBusyError, match="cancel its runs"):
        await threads.delete(made.thread_id)
    await put_status(redis, keys, made, "idle")
    await redis.set(keys.fence(made.checkpoint_thread), "run:1")
    with pytest.raises(ThreadBusyError):
        await threads.delete(made.thread_id)
    assert await threads.prune([made.thread_id], Strategy.DELETE) == 0
    await redis.delete(keys.fence(made.checkpoint_thread))
    assert await threads.prune([made.thread_id, made.thread_id], Strategy.DELETE) == 1


async def test_what_a_deletion_left_is_gone_before_the_id_is_used_again(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver
) -> None:
    """A process that died in between leaves checkpoints, which nobody may see."""
    made = await threads.create()
    await checkpointed(saver, made)
    await redis.delete(keys.thread_record(made.tenant, made.thread_id))
    await redis.sadd(keys.threads_leaving, made.checkpoint_thread)
    again = await threads.create(thread_id=made.thread_id)
    config: Any = {"configurable": {"thread_id": again.checkpoint_thread}}
    assert await saver.aget_tuple(config) is None


async def test_a_copy_has_the_history_and_a_life_of_its_own(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver
) -> None:
    made = await threads.create(metadata={"graph_id": "team"})
    await checkpointed(saver, made)
    await put_status(redis, keys, made, "interrupted")
    copied = await threads.copy(made.thread_id)
    assert copied.metadata == made.metadata
    assert copied.status is ThreadStatus.INTERRUPTED
    await threads.delete(made.thread_id)
    config: Any = {"configurable": {"thread_id": copied.checkpoint_thread}}
    assert len([found async for found in saver.alist(config)]) == 3
    assert await threads.prune([copied.thread_id], Strategy.KEEP_LATEST) == 1
    assert len([found async for found in saver.alist(config)]) == 1


METADATA = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from([1, 1.0, "1", True, None, [1], {"b": 1}, {"b": 1, "c": 2}]),
        "d": st.sampled_from(["x", "y"]),
    },
)


@settings(
    max_examples=examples.times(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stored=st.lists(METADATA, max_size=6),
    patches=st.lists(METADATA, max_size=4),
    statuses=st.lists(st.sampled_from(ThreadStatus), max_size=4),
    status=st.none() | st.sampled_from(ThreadStatus),
    asked=METADATA,
    sort_by=st.sampled_from(SortBy),
    descending=st.booleans(),
    limit=st.integers(1, 4),
    offset=st.integers(0, 3),
)
async def test_a_search_finds_what_looking_at_every_thread_would(
    redis: Redis,
    keys: Keys,
    saver: RedisSaver,
    threads: RedisThreads,
    stored: list[dict[str, Any]],
    patches: list[dict[str, Any]],
    statuses: list[ThreadStatus],
    status: ThreadStatus | None,
    asked: Mapping[str, Any],
    sort_by: SortBy,
    descending: bool,
    limit: int,
    offset: int,
) -> None:
    tenant = uuid.uuid4().hex
    made = [await threads.create(tenant=tenant, metadata=about) for about in stored]
    for record, patch in zip(made, patches, strict=False):
        await threads.patch(record.thread_id, tenant=tenant, metadata=patch)
    for record, put in zip(made, statuses, strict=False):
        await put_status(redis, keys, record, put)
    every = await threads.many([record.thread_id for record in made], tenant=tenant)
    expected = sorted(
        (
            record
            for record in every
            if contains(record.metadata, asked) and status in (None, record.status)
        ),
        key=lambda record: (getattr(record, sort_by.value), record.thread_id),
        reverse=descending,
    )
    query = ThreadQuery(metadata=asked, status=status, sort_by=sort_by, descending=descending)
    page, total = await threads.search(query, tenant=tenant, limit=limit, offset=offset)
    assert total == len(expected)
    assert list(page) == expected[offset : offset + limit]


async def test_thousands_of_threads_are_listed_by_page_whichever_way_they_are_found(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    """Behind some hundred members a set is no longer sorted, the order is walked instead."""
    chance = random.Random(7)
    wanted: dict[str, list[str]] = {"half": [], "rare": []}
    ids = []
    for number in range(2_000):
        thread_id = str(uuid.UUID(int=chance.getrandbits(128)))
        ids.append(thread_id)
        async with redis.pipeline(transaction=False) as pipeline:
            record = keys.thread_record("default", thread_id)
            pipeline.hset(record, mapping={"created_at": number + 1, "status": "idle"})
            pipeline.zadd(keys.threads("default"), {thread_id: number + 1})
            for name, every in (("half", 2), ("rare", 50)):
                if number % every == 0:
                    wanted[name].append(thread_id)
                    pipeline.sadd(keys.thread_metadata("default", name, b"true"), thread_id)
            await pipeline.execute()
    for name, expected in wanted.items():
        found: list[str] = []
        for offset in range(0, len(expected), 100):
            query = ThreadQuery(metadata={name: True})
            page, total = await threads.search(query, limit=100, offset=offset)
            assert total == len(expected)
            found += [record.thread_id for record in page]
        assert found == expected[::-1]
    both = ThreadQuery(metadata={"half": True, "rare": True}, descending=False)
    assert (await threads.search(both))[1] == len(wanted["rare"])
    page, total = await threads.search(ThreadQuery(ids=[ids[3], ids[0], ids[0], "none"]))
    assert ([record.thread_id for record in page], total) == ([ids[3], ids[0]], 2)
    status = ThreadQuery(status=ThreadStatus.IDLE, metadata={"half": True})
    assert (await threads.search(status))[1] == len(wanted["half"])
    assert (await threads.search(ThreadQuery(status=ThreadStatus.ERROR)))[1] == 0


async def test_who_may_not_sort_by_other_keys_gets_the_same_order(
    threads: RedisThreads, redis: Redis, redis_url: str, keys: Keys, saver: RedisSaver
) -> None:
    """Redis refuses SORT ... BY to a user whose keys are restricted."""
    made = [await threads.create(metadata={"a": number % 2}) for number in range(6)]
    await threads.patch(made[2].thread_id, metadata={"b": 1})
    query = ThreadQuery(metadata={"a": 0}, sort_by=SortBy.STATE_UPDATED_AT)
    expected = await threads.search(query)
    name = f"narrow-{uuid.uuid4().hex}"
    rules = ["reset", "on", ">secret", f"~{keys.prefix}*", "+@all"]
    await redis.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]
    narrow = open_redis(redis_url)
    try:
        narrow.connection_pool.connection_kwargs |= {"username": name, "password": "secret"}
        restricted = RedisThreads(narrow, keys, saver=saver, log=EventLog(narrow, keys))
        assert await restricted.search(query) == expected
        assert expected[1] == 3
    finally:
        await narrow.aclose()
        await redis.execute_command("ACL", "DELUSER", name)  # type: ignore[no-untyped-call]


async def test_what_is_one_tenants_is_not_anothers(threads: RedisThreads) -> None:
    made = await threads.create(tenant="one", metadata={"a": 1})
    with pytest.raises(ThreadNotFoundError):
        await threads.get(made.thread_id, tenant="two")
    assert (await threads.search(ThreadQuery(metadata={"a": 1}), tenant="two"))[1] == 0
    assert (await threads.search(ThreadQuery(ids=[made.thread_id]), tenant="two"))[1] == 0


async def test_what_a_deletion_drops_late_is_nothing_of_the_next_thread_of_that_id(
    threads: RedisThreads, redis: Redis, keys: Keys, saver: RedisSaver
) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slowly(tenant: str, thread_id: str) -> None:
        begun.set()
        await let_go.wait()

    log = EventLog(redis, keys)
    slow = RedisThreads(redis, keys, saver=saver, log=log, forget=slowly)
    made = await slow.create()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        deleting = group.create_task(slow.delete(made.thread_id))
        await begun.wait()
        # As the sweep of another server does.
        await threads.clean(made.thread_id)
        assert await redis.sismember(keys.threads_leaving, made.checkpoint_thread)
        again = group.create_task(threads.create(thread_id=made.thread_id))
        let_go.set()
        await again
        await checkpointed(saver, made)
        await deleting
    # A sweep that has looked before the thread was made anew.
    await threads.clean(made.thread_id)
    config: Any = {"configurable": {"thread_id": made.checkpoint_thread}}
    assert await saver.aget_tuple(config) is not None
