"""A local double of Slack: its Web API as far as we use it, its signatures, its Socket Mode.

It keeps to Slack's limits and refuses what Slack refuses. It can rate-limit, lose replies, hold a
call, refuse a method, and be down. ``messages`` is what people would see.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from tests.server.slack import limits
from tests.server.slack.messages import BOT, BOT_USER, Messages, no

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BOT_TOKEN = "xoxb-112233-double-secretpart"
APP_TOKEN = "xapp-1-A012-double-secretpart"
TEAM = "T0OWN"
SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it came in; ``at`` is the double's own clock, seconds."""

    method: str
    body: dict[str, Any]
    at: float


class SlackDouble(Messages):
    """Started by ``async with``; ``api_url`` is what the client is given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.views: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self.hosted: dict[str, tuple[bytes, str]] = {}
        self.downloads: list[dict[str, str]] = []
        self.users: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.acked: list[dict[str, Any]] = []
        self.down = False
        self.sockets_refused = 0
        self.url = ""
        self._limited: dict[str, deque[int]] = defaultdict(deque)
        self._lost: dict[str, int] = defaultdict(int)
        self._refused: dict[str, str] = {}
        self._held: dict[str, tuple[asyncio.Event, str]] = {}
        self._changed = asyncio.Event()
        self._sockets: list[web.WebSocketResponse] = []
        self._spent: set[str] = set()

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    async def __aenter__(self) -> SlackDouble:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_get("/files-pri/{name}", self._download)
        app.router.add_get("/socket", self._socket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        listening: Any = self._runner.addresses[0]
        self.url = f"http://{listening[0]}:{listening[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for gate, _saying in self._held.values():
            gate.set()
        for socket in self._sockets:
            await socket.close()
        await self._runner.cleanup()

    def rate_limit(self, method: str, *, times: int = 1, retry_after: int = 1) -> None:
        """The next calls of a method are told to wait."""
        self._limited[method].extend([retry_after] * times)

    def lose_replies(self, method: str, *, times: int = 1) -> None:
        """The next calls of a method are done and their connection is cut."""
        self._lost[method] += times

    def refuse(self, method: str, code: str = "unknown_method") -> None:
        """Every call of a method is refused from now on."""
        self._refused[method] = code

    def allow(self, method: str) -> None:
        """No more."""
        self._refused.pop(method, None)

    @contextmanager
    def held(self, method: str, *, saying: str = "") -> Iterator[asyncio.Event]:
        """Calls of a method (that say something) wait for their reply until this is left, or the
        event is set."""
        gate = asyncio.Event()
        self._held[method] = (gate, saying)
        try:
            yield gate
        finally:
            gate.set()
            self._held.pop(method, None)

    async def until(self, holds: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
        """Wait until something holds, looked at after every call; gives what it gave."""
        async with asyncio.timeout(seconds):
            while True:
                self._changed.clear()
                if found := holds():
                    return found
                # What does not go through the double shows within this.
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.1)
                except TimeoutError:
                    continue

    def of(self, method: str) -> list[dict[str, Any]]:
        """The bodies of a method's calls."""
        return [call.body for call in self.calls if call.method == method]

    def signed(self, body: str, *, secret: str = SECRET, at: int | None = None) -> dict[str, str]:
        """Slack's headers for a body."""
        stamp = str(int(time.time()) if at is None else at)
        signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
        assert signature is not None
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}

    async def push(self, envelope: dict[str, Any]) -> None:
        """Send an envelope by Socket Mode, once somebody is connected."""
        await self.until(lambda: [one for one in self._sockets if not one.closed])
        socket = next(one for one in self._sockets if not one.closed)
        await socket.send_str(json.dumps(envelope))

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        body = await _body(request)
        if self.down:
            return web.Response(status=503, text="upstream connect error")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        expected = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        self.calls.append(Call(method=method, body=body, at=time.monotonic()))
        self._changed.set()
        if token != expected:
            return no("invalid_auth")
        if self._limited[method]:
            seconds = self._limited[method].popleft()
            return web.json_response(
                {"ok": False, "error": "ratelimited"},
                status=429,
                headers={"Retry-After": str(seconds)},
            )
        if method in self._refused:
            return no(self._refused[method])
        handler = getattr(self, "_" + method.replace(".", "_"), None)
        if handler is None:
            return no("unknown_method")
        code = limits.wrong(method, body)
        reply = no(code) if code else handler(body)
        self._changed.set()
        gate, saying = self._held.get(method, (None, ""))
        if gate is not None and saying in json.dumps(body):
            await gate.wait()
        if self._lost[method]:
            self._lost[method] -= 1
            assert request.transport is not None
            request.transport.abort()
        return (
            reply if isinstance(reply, web.Response) else web.json_response({"ok": True, **reply})
        )

    def _auth_test(self, _: dict[str, Any]) -> Any:
        return {"team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT, "user": "counterpoint"}

    def _users_info(self, body: dict[str, Any]) -> Any:
        found = self.users.get(body["user"])
        return {"user": found} if found else no("user_not_found")

    def _files_info(self, body: dict[str, Any]) -> Any:
        found = self.shared.get(body["file"])
        return {"file": found} if found else no("file_not_found")

    def _assistant_threads_setStatus(self, body: dict[str, Any]) -> Any:
        self.statuses.append(body)
        return {}

    def _assistant_threads_setTitle(self, _: dict[str, Any]) -> Any:
        return {}

    def _assistant_threads_setSuggestedPrompts(self, _: dict[str, Any]) -> Any:
        return {}

    def _views_open(self, body: dict[str, Any]) -> Any:
        return self._view(body)

    def _views_update(self, body: dict[str, Any]) -> Any:
        return self._view(body)

    def _views_publish(self, body: dict[str, Any]) -> Any:
        return self._view(body)

    def _view(self, body: dict[str, Any]) -> Any:
        view = body["view"]
        view = json.loads(view) if isinstance(view, str) else view
        self.views.append({**body, "view": view})
        return {"view": {"id": f"V{len(self.views)}", "hash": "1.1", **view}}

    def _files_getUploadURLExternal(self, body: dict[str, Any]) -> Any:
        name = f"F{next(self._count)}"
        self.files[name] = {"filename": body["filename"], "length": int(body["length"])}
        return {"file_id": name, "upload_url": f"{self.url}/upload/{name}"}

    def _files_completeUploadExternal(self, body: dict[str, Any]) -> Any:
        done = limits.listed(body["files"])
        for one in done:
            if one["id"] not in self.uploads:
                return no("file_not_found")
            self.files[one["id"]] |= {
                "title": one.get("title"),
                "channel": body.get("channel_id"),
                "thread_ts": body.get("thread_ts"),
                "content": self.uploads[one["id"]],
            }
        return {"files": [{"id": one["id"]} for one in done]}

    def _apps_connections_open(self, _: dict[str, Any]) -> Any:
        ticket = next(self._count)
        return {"url": f"{self.url.replace('http:', 'ws:')}/socket?ticket={ticket}"}

    async def _upload(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503)
        name, content = request.match_info["file"], await request.read()
        if request.content_type == "multipart/form-data" or name not in self.files:
            return web.Response(status=400)
        self.uploads[name] = content
        return web.Response(text=f"OK - {len(content)}")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self.downloads.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        content, kind = self.hosted[request.match_info["name"]]
        return web.Response(body=content, content_type=kind)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query["ticket"]
        if ticket in self._spent or self.sockets_refused:
            self._spent.add(ticket)
            self.sockets_refused = max(0, self.sockets_refused - 1)
            return web.Response(status=403)
        self._spent.add(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        await socket.send_str(json.dumps({"type": "hello", "num_connections": 1}))
        self._changed.set()
        async for told in socket:
            if told.type is WSMsgType.TEXT:
                self.acked.append(json.loads(told.data))
                self._changed.set()
        return socket


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    return {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}


@asynccontextmanager
async def slack_double() -> AsyncIterator[SlackDouble]:
    """One, started and closed."""
    async with SlackDouble() as double:
        yield double
