"""The double of Slack, and a desk before it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.queue import RunQueue
from tests.server.approvals.desk import desk_of
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import SlackDouble, slack_double
from tests.server.slack.office import Office, settings_of
from tests.server.surface import Parts


@pytest.fixture
async def double() -> AsyncIterator[SlackDouble]:
    async with SlackDouble() as made:
        yield made


@pytest.fixture
async def desk(parts: Parts, redis: Redis, keys: Keys, double: SlackDouble) -> AsyncIterator[Desk]:
    async with at_desk(parts, redis, keys, double) as made:
        yield made


@pytest.fixture
async def office(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[Office]:
    """Nobody serves yet."""
    async with RunQueue(redis_url, keys) as queue, slack_double() as slack:
        made = Office(desk=desk_of(redis, keys, queue), slack=slack, settings=settings_of(slack))
        yield made
        made.check_limits()


@pytest.fixture
async def open_office(office: Office) -> AsyncIterator[Office]:
    """One server."""
    async with office.server():
        yield office
