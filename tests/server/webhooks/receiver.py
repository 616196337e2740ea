"""A receiver of webhooks over real HTTP, which checks signatures and answers by script."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[], Awaitable[web.Response]]


@dataclass(frozen=True, kw_only=True)
class Got:
    """One request. ``body`` is what was signed."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """As the specification says to check it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = b"%s.%s.%s" % (
            self.headers["Webhook-Id"].encode(),
            self.headers["Webhook-Timestamp"].encode(),
            self.body,
        )
        made = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{made}" in self.headers["Webhook-Signature"].split()


def answers(status: int, **headers: str) -> Answer:
    async def answer() -> web.Response:
        return web.Response(status=status, headers=headers)

    return answer


async def silence() -> web.Response:
    """Never answers; the caller has to hang up."""
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Receiver:
    """``script`` answers the next requests, 204 all that follow."""

    port: int = 0
    script: list[Answer] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(
            Got(path=request.path_qs, headers=dict(request.headers), body=await request.read())
        )
        self.heard.set()
        return await (self.script.pop(0) if self.script else answers(204))()


@asynccontextmanager
async def receiving(*script: Answer) -> AsyncIterator[Receiver]:
    """A receiver on a free loopback port."""
    receiver = Receiver(script=list(script))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
