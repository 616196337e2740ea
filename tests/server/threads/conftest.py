"""Threads over the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.store import RedisStore
from server.registry import GraphRegistry
from server.threads.records import RedisThreads
from server.threads.states import ThreadStates
from server.threads.thread import ThreadRecord
from tests.server.threads.graphs import sources


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


@pytest.fixture
def threads(redis: Redis, keys: Keys, saver: RedisSaver) -> RedisThreads:
    return RedisThreads(redis, keys, saver=saver, log=EventLog(redis, keys))


@pytest.fixture
async def registry(redis: Redis, keys: Keys, saver: RedisSaver) -> AsyncIterator[GraphRegistry]:
    store = RedisStore(redis, keys)
    async with GraphRegistry(saver=saver, store=store, sources=sources()) as made:
        yield made


class Ended:
    """Notes whose paused run was to be ended."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    async def __call__(self, record: ThreadRecord) -> None:
        self.threads.append(record.thread_id)


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def states(
    registry: GraphRegistry, saver: RedisSaver, threads: RedisThreads, ended: Ended
) -> ThreadStates:
    return ThreadStates(graphs=registry, saver=saver, threads=threads, end_paused=ended)
