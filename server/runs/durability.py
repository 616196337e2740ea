"""When a word given to a caller outlives a crash: on disk, and with as many replicas as asked for.

WAITAOF speaks of the writes of the connection that asks, so the write and the wait share one. A
Redis that syncs its file once a second answers it a second late (measured: 1,000 ms p50). Our own
Redis is told to sync at once while somebody waits (0.8 ms p50 instead; syncing always costs every
write as much). A Redis that was given to us is left as it is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

SECONDS = 3.0
CONNECTIONS = 64

_ALWAYS = ("CONFIG", "SET", "appendfsync", "always")

Reply = TypeVar("Reply")

_log = logging.getLogger(__name__)


class UnconfirmedError(Exception):
    """The write was made, and neither disk nor replicas confirmed it in time."""


class Durability:
    """``disk``: whether an append-only file is written. ``replicas``: how many must have the write.
    ``hurry``: the Redis is ours, and syncs its file at once while somebody waits for it."""

    def __init__(
        self,
        redis: Redis,
        *,
        disk: bool = False,
        replicas: int = 0,
        hurry: bool = False,
        seconds: float = SECONDS,
    ) -> None:
        self._redis = redis
        self._disk = disk
        self._replicas = replicas
        self._hurry = hurry
        self._milliseconds = round(seconds * 1000)
        self._turn = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0
        self._relaxing: asyncio.Task[None] | None = None

    async def confirmed(
        self,
        write: Callable[[Redis], Awaitable[Reply]],
        *,
        then: Callable[[Reply], Awaitable[None]],
    ) -> Reply:
        """Write; do what follows from it while the write is being confirmed; give the reply.

        ``write`` gets the client to write with. Raises UnconfirmedError after ``then`` is done.
        """
        async with self._turn:
            if not self._disk and not self._replicas:
                reply = await write(self._redis)
                await then(reply)
                return reply
            async with self._redis.client() as one:
                reply = await write(one)
                follows = asyncio.ensure_future(then(reply))
                try:
                    await self._confirm(one)
                finally:
                    await asyncio.shield(follows)
                return reply

    async def close(self) -> None:
        """Leave the Redis as it was."""
        if self._relaxing is not None:
            await self._relaxing

    async def _confirm(self, one: Redis) -> None:
        while self._relaxing is not None:
            await asyncio.shield(self._relaxing)
        self._waiting += 1
        try:
            await self._ask(one)
        finally:
            self._waiting -= 1
            if self._hurry and not self._waiting:
                self._relaxing = asyncio.create_task(self._relax(), name="redis sync")

    async def _ask(self, one: Redis) -> None:
        commands: list[tuple[Any, ...]] = [_ALWAYS] if self._hurry else []
        if self._disk:
            commands.append(("WAITAOF", 1, 0, self._milliseconds))
        if self._replicas:
            commands.append(("WAIT", self._replicas, self._milliseconds))
        line = one.connection
        assert line is not None
        try:
            # Not through the client: sent again over a new line, WAITAOF would speak of nothing.
            await line.send_packed_command(line.pack_commands(commands), check_health=False)
            replies = [await line.read_response() for _ in commands]
        except (RedisError, OSError) as error:
            await line.disconnect(nowait=True)
            raise UnconfirmedError(str(error)) from error
        except BaseException:
            await line.disconnect(nowait=True)
            raise
        replies = replies[1:] if self._hurry else replies
        if self._disk and replies[0][0] < 1:
            raise UnconfirmedError("the disk of Redis did not confirm it in time")
        if self._replicas and replies[-1] < self._replicas:
            raise UnconfirmedError(
                f"{replies[-1]} of {self._replicas} replicas of Redis confirmed it in time"
            )

    async def _relax(self) -> None:
        try:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.config_set("appendfsync", "everysec")
        finally:
            self._relaxing = None
