"""How the Counterpoint that keeps the documents is asked: once more while it is started again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from models import outside
from models.remote import CONNECT_SECONDS, quick

_ANSWER_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_AWAY = frozenset(
    {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}
)


def client(url: str, *, key: str | None) -> httpx.AsyncClient:
    """A client of the Counterpoint at ``url``; searches, of which a run has many, go quickly.

    Raises httpx.ProxyError.
    """
    transport = quick(url, may_repeat=_may_repeat)
    return httpx.AsyncClient(
        base_url=url.rstrip("/"),
        headers={"x-api-key": key} if key else {},
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=CONNECT_SECONDS),
        **({"transport": transport, "trust_env": False} if transport else outside.options(url)),
    )


async def asked(
    client: httpx.AsyncClient, method: str, path: str, patience_seconds: float, **options: Any
) -> httpx.Response:
    """The answer. What was not sent is sent again until the patience ends, reads in any case.

    Raises httpx.HTTPError.
    """
    reads = _reads(method, path)
    deadline = time.monotonic() + patience_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        last = time.monotonic() + pause >= deadline
        try:
            reply = await client.request(method, path, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if last:
                raise
        except httpx.TransportError:
            if last or not reads:
                raise
        else:
            if last or not reads or reply.status_code not in _AWAY:
                return reply
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _may_repeat(request: httpx.Request) -> bool:
    return _reads(request.method, request.url.path)


def _reads(method: str, path: str) -> bool:
    return method == "GET" or (method == "POST" and path.endswith("/documents/search"))
