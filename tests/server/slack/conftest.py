"""The double of Slack, and a desk before it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import SlackDouble
from tests.server.surface import Parts


@pytest.fixture
async def double() -> AsyncIterator[SlackDouble]:
    async with SlackDouble() as made:
        yield made


@pytest.fixture
async def desk(parts: Parts, redis: Redis, keys: Keys, double: SlackDouble) -> AsyncIterator[Desk]:
    async with at_desk(parts, redis, keys, double) as made:
        yield made
