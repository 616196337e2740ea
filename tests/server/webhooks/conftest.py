"""Senders on a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.routes.run_ends import values
from server.webhooks.deliveries import Deliveries
from server.webhooks.sender import Sender
from tests.server.surface import Parts
from tests.server.webhooks.receiver import Receiver, receiving
from tests.server.webhooks.sending import LOOPBACK, Clock, Making


@pytest.fixture
def clock(redis: Redis) -> Clock:
    return Clock(redis)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
def made(parts: Parts, redis: Redis, keys: Keys, clock: Clock) -> Making:
    """Senders, as the house makes them."""

    @asynccontextmanager
    async def make(**given: Any) -> AsyncIterator[Sender]:
        options = {"opened": LOOPBACK, "roll": lambda: 0.5, **given}
        async with Sender(
            Deliveries(redis, keys, clock=clock),
            secrets=parts.webhook_secrets,
            values=partial(values, parts),
            **options,
        ) as sender:
            yield sender

    return make
