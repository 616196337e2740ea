"""What time it is, for whoever shares work through Redis: its own clock, or a test's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

Clock = Callable[[], Awaitable[int]]
"""The time now, in microseconds."""


def of_redis(redis: Redis) -> Clock:
    """Redis' own clock, which is the same for every process."""

    async def now() -> int:
        seconds, microseconds = await redis.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    return now


def moment(microseconds: int) -> datetime:
    """A time as people write it, in UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest)


def microseconds(moment: datetime) -> int:
    """The reverse of ``moment``; exact."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond
