"""The one way to open Redis: bytes in, bytes out, and no call that hangs on a dead line."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import Redis
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


class SharingRedis(Redis):
    """A client whose calls of scripts go over one connection; all else goes as it always does.

    A call that is large, or a client that has a connection of its own (``client()``), keeps out of
    the others' way.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seconds: float | None = self.connection_pool.connection_kwargs.get("socket_timeout")
        self._line = ScriptLine(self._connected, seconds=self._seconds)
        self._shared: AbstractConnection | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "EVALSHA" or options or self.single_connection_client or _is_large(args):
            return await cast("Any", super()).execute_command(*args, **options)
        try:
            return await self._line.call(*args)
        except (RedisConnectionError, RedisTimeoutError):
            # Made again as any call is whose reply was lost, and apart from those it was lost with.
            return await cast("Any", super()).execute_command(*args)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001
        await self._line.close()
        await super().aclose(close_connection_pool)

    async def _connected(self) -> AbstractConnection:
        if self._shared is None:
            self._shared = cast("Any", self.connection_pool).make_connection()
            # What it does not reach at once is tried again on the ordinary way.
            cast("Any", self._shared).retry = Retry(NoBackoff(), 0)
        assert self._shared is not None
        self._shared.socket_timeout = self._seconds
        await cast("Any", self._shared).connect()
        # The line minds it for all calls; here each write would be a task of its own.
        self._shared.socket_timeout = None
        return self._shared


def _is_large(words: tuple[Any, ...]) -> bool:
    return sum(len(word) for word in words if isinstance(word, bytes | str)) > LARGE_BYTES
