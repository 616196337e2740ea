"""Runs on the real queue and a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from tests.server.runs.workshop import House


@pytest.fixture
async def house(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[House]:
    records, log = RunRecords(redis, keys), EventLog(redis, keys)
    async with RunQueue(redis_url, keys) as queue:
        runs = Runs(records=records, log=log, queue=queue)
        yield House(records=records, log=log, queue=queue, runs=runs)


@pytest.fixture
def records(redis: Redis, keys: Keys) -> RunRecords:
    return RunRecords(redis, keys, retention_seconds=100)
