"""What may come in: JSON (or files, where files are taken), and no more than a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BodyTooLarge, Fault, WrongMediaType, answer

JSON = "application/json"
FILES = "multipart/form-data"
# A client that still sends would not read the answer: this much is taken and thrown away first.
DISCARD_BYTES = 256_000_000
DISCARD_SECONDS = 10.0

LimitFor = Callable[[str, str], int]


class BodyGate:
    """Refuses a body of another type (415) or over its limit (413).

    ``limit_for(path, media_type)`` gives bytes; 0 means that the type is not taken there.
    A page of another origin can send plain text without asking; JSON it cannot.
    """

    def __init__(self, app: ASGIApp, *, limit_for: LimitFor) -> None:
        self._app = app
        self._limit_for = limit_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if scope["type"] != "http" or (length == "0" and "transfer-encoding" not in headers):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        limit = self._limit_for(path, media_type)
        fault: Fault | None = None
        if limit == 0:
            fault = WrongMediaType(
                f"{path} does not take {media_type[:100] or 'a body without a type'}; "
                f"send JSON with `Content-Type: {JSON}`"
            )
        elif length.isdecimal() and int(length) > limit:
            fault = _too_large(limit)
        if fault is None:
            await self._app(scope, _counting(receive, limit=limit), send)
            return
        await _discard(receive)
        await answer(fault, path=path)(scope, receive, send)


def _counting(receive: Receive, *, limit: int) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                await _discard(receive)
                raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is larger than {limit:,} bytes; send less at a time "
        "(documents: fewer files per request, and as files rather than as JSON)"
    )


async def _discard(receive: Receive) -> None:
    taken = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while taken < DISCARD_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
