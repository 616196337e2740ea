"""Asks the Counterpoint that keeps the documents once more while it is started again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_AWAY = frozenset(
    {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}
)


async def asked(
    client: httpx.AsyncClient, method: str, path: str, patience_seconds: float, **options: Any
) -> httpx.Response:
    """The answer. What was not sent is sent again until the patience ends, reads in any case.

    Raises httpx.HTTPError.
    """
    reads = method == "GET" or (method == "POST" and path == "/documents/search")
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
