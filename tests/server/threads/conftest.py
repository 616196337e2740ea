"""Threads over the real store."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.threads.records import RedisThreads


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


@pytest.fixture
def threads(redis: Redis, keys: Keys, saver: RedisSaver) -> RedisThreads:
    return RedisThreads(redis, keys, saver=saver, log=EventLog(redis, keys))
