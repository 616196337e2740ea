"""What tests of senders share."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from redis.asyncio import Redis

from server import clock as clocks
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.webhooks.deliveries import Delivery
from tests.server.surface import Parts
from tools.web.addresses import Opened

LOOPBACK = Opened.of(["127.0.0.1"])

Making = Callable[..., Any]
"""Makes a sender, as the house does."""


class Clock:
    """Redis' time, moved forward by hand."""

    def __init__(self, redis: Redis) -> None:
        self._now = clocks.of_redis(redis)
        self.ahead = 0.0

    async def __call__(self) -> int:
        return await self._now() + round(self.ahead * 1e6)


class Names(AbstractResolver):
    """Every name is at loopback."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


def asked(url: str, **given: Any) -> Asked:
    said = [{"role": "user", "content": "How long?"}]
    return Asked(input={"messages": said}, webhook=url, **given)


async def ended(parts: Parts, url: str, **given: Any) -> RunRecord:
    """A run that has come to its end or pause."""
    record = await parts.runs.create(asked(url, **given))
    return await parts.runs.wait(record.run_id)


async def delivery(parts: Parts, record: RunRecord) -> Delivery:
    (found,) = await parts.webhooks.of_run(record.run_id)
    return found
