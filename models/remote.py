"""One JSON request to an embedding or reranking service, with its failures told in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from models import outside
from models.registry import is_private

CONNECT_SECONDS = 5.0
ATTEMPTS = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
# What is worth asking again: too many at once, or a server that is starting or overloaded.
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class RemoteError(Exception):
    """The service gave no answer that can be used; its ``status`` where it gave one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def quick(
    url: str, *, may_repeat: Callable[[httpx.Request], bool]
) -> httpx.AsyncBaseTransport | None:
    """How requests travel in one's own network; None elsewhere, where a proxy may be set."""
    if not is_private(url):
        return None
    # Late: who only asks a server for something does not wait for aiohttp.
    from models.quick_http import QuickTransport

    return QuickTransport(may_repeat=may_repeat)


def client(url: str, *, key: str | None, seconds: float) -> httpx.AsyncClient:
    """A client of the service at ``url``; ``key`` is its bearer. Raises httpx.ProxyError."""
    transport = quick(url, may_repeat=lambda _: True)
    return httpx.AsyncClient(
        base_url=url.rstrip("/") + "/",
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
        **({"transport": transport, "trust_env": False} if transport else outside.options(url)),
    )


async def post(
    http: httpx.AsyncClient, path: str, body: Mapping[str, Any], *, attempts: int = ATTEMPTS
) -> Any:
    """The answer's JSON, asked for at most ``attempts`` times. Raises RemoteError."""
    place = urlsplit(str(http.base_url)).netloc.rpartition("@")[2]
    pause = FIRST_PAUSE
    for attempt in range(1, attempts + 1):
        asked_for = None
        try:
            reply = await http.post(path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            told = f"{place} does not answer ({_line(str(error)) or type(error).__name__})"
        else:
            if reply.is_success:
                try:
                    return orjson.loads(reply.content)
                except orjson.JSONDecodeError:
                    raise RemoteError(f"{place}/{path} answers no JSON; correct its URL") from None
            told = f"{place} answered {reply.status_code}: {_line(reply.text)}"
            if reply.status_code not in _AGAIN:
                raise RemoteError(told, status=reply.status_code)
            asked_for = reply.headers.get("retry-after")
        if attempt < attempts:
            await asyncio.sleep(_seconds(asked_for, pause))
            pause *= 2
    raise RemoteError(told)


def _seconds(asked_for: str | None, pause: float) -> float:
    try:
        return min(LONGEST_PAUSE, max(0.0, float(asked_for or pause)))
    except ValueError:
        return pause


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
