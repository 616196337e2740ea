"""The one way to open Redis: bytes in, bytes out, and no call that hangs on a dead line."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.script_line import ScriptLine

# A blocking read has to come back before the socket gives up.
SOCKET_SECONDS = 5
LONGEST_BLOCK_MS = 1000
RETRIES = 3
LARGE_BYTES = 128 * 1024
# What a run asks often: none of them waits in Redis, and none leaves a state behind on its line.
SHARED = frozenset(
    {"EVALSHA", "EXISTS", "HDEL", "HGET", "HGETALL", "HMGET", "HSET", "TIME", "TTL", "ZADD", "ZREM"}
)

_LIMITS = {
    "socket_timeout": str(SOCKET_SECONDS),
    "socket_connect_timeout": str(SOCKET_SECONDS),
    "socket_keepalive": "true",
    "health_check_interval": "5",
}


def bounded(url: str) -> str:
    """The URL with time limits for TCP, so that a half-open connection is noticed in seconds.

    Limits that the URL already has are kept. A unix socket needs none: its peer is on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"}:
        return url
    query = {**_LIMITS, **dict(parse_qsl(parts.query, keep_blank_values=True))}
    return urlunsplit(parts._replace(query=urlencode(query)))


def open_redis(url: str, *, max_connections: int = 256) -> Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://``; close it with ``aclose()``."""
    client: Redis = SharingRedis.from_url(
        bounded(url),
        decode_responses=False,
        protocol=2,
        max_connections=max_connections,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), RETRIES),
    )
    return client


class _OpenedByNobody:
    """A connection outlives the run that happened to open it: it keeps none of its context.

    One whose opening was cancelled is closed: it may be half greeted, and nobody may come for it.
    One that was lost a moment ago refuses what is written as any lost one does.
    """

    async def connect(self) -> None:
        connection = cast("Any", super())
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _connect(self) -> None:
        opening = cast("Any", super())._connect()
        await asyncio.get_running_loop().create_task(opening, context=contextvars.Context())

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        try:
            await cast("Any", super()).send_packed_command(command, check_health=check_health)
        except (RuntimeError, TypeError) as error:
            # How uvloop and asyncio refuse a transport that has just closed.
            raise RedisConnectionError("the line was lost before it was written to") from error


class SharingRedis(Redis):
    """A client whose short calls go over one connection; all else goes as it always does.

    Short are those of ``SHARED``, and pipelines of nothing else that are no transactions. A call
    that is large, or a client that has a connection of its own (``client()``), keeps out of the
    others' way.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        kind = self.connection_pool.connection_class
        if not issubclass(kind, _OpenedByNobody):
            self.connection_pool.connection_class = type(kind.__name__, (_OpenedByNobody, kind), {})
        self._seconds: float | None = self.connection_pool.connection_kwargs.get("socket_timeout")
        self._line = ScriptLine(self._connected, seconds=self._seconds)
        self._shared: AbstractConnection | None = None
        self._is_closed = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.check_open()
        if self.single_connection_client or not _is_shared([(args, options)]):
            return await cast("Any", super()).execute_command(*args, **options)
        try:
            return _read(self.response_callbacks, args, await self._line.call(*args))
        except (RedisConnectionError, RedisTimeoutError):
            self.check_open()
            # Made again as any call is whose reply was lost, and apart from those it was lost with.
            return await cast("Any", super()).execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002
        if transaction:
            return super().pipeline(transaction, shard_hint)
        return _SharingPipeline(self, self._line, shard_hint)

    def check_open(self) -> None:
        """Raises ConnectionError once it was closed: nobody would close what a late call opens."""
        if self._is_closed:
            raise RedisConnectionError("the client was closed")

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001
        self._is_closed = True
        await self._line.close()
        await super().aclose(close_connection_pool)

    async def _connected(self) -> AbstractConnection:
        if self._shared is None:
            self._shared = cast("Any", self.connection_pool).make_connection()
            # What it does not reach at once is tried again on the ordinary way.
            cast("Any", self._shared).retry = Retry(NoBackoff(), 0)
        assert self._shared is not None
        await cast("Any", self._shared).connect()
        return self._shared


class _SharingPipeline(Pipeline):
    """Several calls that go together, over the connection that all share if they are short."""

    def __init__(self, redis: SharingRedis, line: ScriptLine, shard_hint: str | None) -> None:
        super().__init__(redis.connection_pool, redis.response_callbacks, False, shard_hint)  # noqa: FBT003
        self._redis = redis
        self._line = line

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002
        self._redis.check_open()
        calls = self.command_stack
        alone = self.connection or self.scripts or self.watching or self.explicit_transaction
        if alone or not calls or not _is_shared(calls):
            return await super().execute(raise_on_error)
        try:
            replies = await self._line.calls([words for words, _ in calls])
        except (RedisConnectionError, RedisTimeoutError):
            self._redis.check_open()
            return await super().execute(raise_on_error)
        except BaseException:
            await cast("Any", self).reset()
            raise
        await cast("Any", self).reset()
        if raise_on_error:
            self.raise_first_error(calls, replies)
        return [
            reply if isinstance(reply, Exception) else _read(self.response_callbacks, words, reply)
            for (words, _), reply in zip(calls, replies, strict=True)
        ]


def _is_shared(calls: Sequence[tuple[Sequence[Any], Any]]) -> bool:
    """Whether these are short calls. ``keys`` among their options is for a cache on our side."""
    size = 0
    for words, options in calls:
        if words[0] not in SHARED or (options and options.keys() - {"keys"}):
            return False
        for word in words:
            # As a tuple, for a union takes twice as long.
            if isinstance(word, (bytes, str)):
                size += len(word)
    return size <= LARGE_BYTES


def _read(callbacks: Any, words: Sequence[Any], reply: Any) -> Any:
    """The reply as the client gives it for this command."""
    read = callbacks.get(words[0])
    return reply if read is None else read(reply)
