"""What the tests of graphs share."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from tests.server.graphs.desk import Desk


@pytest.fixture
async def desk(redis: Redis, keys: Keys) -> Desk:
    return Desk(redis, keys)
