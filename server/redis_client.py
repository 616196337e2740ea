"""The one way to open Redis: bytes in, bytes out, and no call that hangs on a dead line."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

# A blocking read has to come back before the socket gives up.
SOCKET_SECONDS = 5
LONGEST_BLOCK_MS = 1000

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
    client: Redis = Redis.from_url(
        bounded(url),
        decode_responses=False,
        protocol=2,
        max_connections=max_connections,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
    )
    return client
