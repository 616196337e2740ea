"""The queue over a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.queue import RunQueue
from tests.server.approvals.desk import Desk, desk_of


@pytest.fixture
async def desk(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[Desk]:
    async with RunQueue(redis_url, keys) as queue:
        yield desk_of(redis, keys, queue)
