"""Server-sent events: frames, a steady heartbeat, and responses that notice their reader leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server import patience

HEARTBEAT_SECONDS = 5.0
HEARTBEAT = b": heartbeat\n\n"
KEEP_ALIVE = b"\n"
RUSH = 8_192
DONE = b"data: [DONE]\n\n"

Frames = AsyncGenerator[bytes, None]
Gone = Callable[[], Awaitable[object]]
T = TypeVar("T")


def frame(data: Any, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002
    """One event; JSON has no line ends, so its data is one line."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    if id is not None:
        head += b"id: " + id.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS) + b"\n\n"


class _Beating(Response):
    """A body that comes in pieces, with a sign of life between them every so many seconds.

    The signs are regular whatever else is sent: clients learn the cadence and give a stream up
    that misses it. ``gone`` is awaited if the client leaves before the end.
    """

    beat = HEARTBEAT

    def __init__(
        self,
        *,
        heartbeat: float,
        headers: Mapping[str, str] | None = None,
        gone: Gone | None = None,
    ) -> None:
        super().__init__(
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})}
        )
        # The length of what is to come is not known.
        del self.headers["content-length"]
        self._heartbeat = heartbeat
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send), name="event stream")
        finished: bool | None = None
        try:
            finished = await unless_gone(receive, pump)
        finally:
            if finished is None and self._gone is not None:
                await asyncio.shield(asyncio.ensure_future(self._gone()))

    async def _pump(self, send: Send) -> bool:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        outbox = _Outbox(send, beat=self.beat, seconds=self._heartbeat)
        try:
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    outbox.put(piece)
                    if outbox.size > RUSH:
                        # What is there already comes without a pause: let the others have a turn.
                        await outbox.sent()
            await outbox.sent()
        finally:
            await outbox.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    def _pieces(self) -> Frames:
        raise NotImplementedError


class _Outbox:
    """Sends what is put in one turn of the loop as one piece: each costs a system call.

    Every so many ``seconds`` it says ``beat``, whatever else it says; one that is not gone yet
    when the next is due says as much.
    """

    def __init__(self, send: Send, *, beat: bytes, seconds: float) -> None:
        self.size = 0
        self._send = send
        self._beat = beat
        self._seconds = seconds
        self._waiting: list[bytes] = []
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, self._tick)
        self._task = asyncio.create_task(self._run(), name="event stream outbox")
        self._task.add_done_callback(lambda _: self._empty.set())

    def put(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self.size += len(piece)
        self._empty.clear()
        self._more.set()

    async def sent(self) -> None:
        """Wait until all is sent. Raises what sending raises."""
        await self._empty.wait()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Say nothing more."""
        self._timer.cancel()
        await patience.over(self._task)

    def _tick(self) -> None:
        if self._beat not in self._waiting:
            self.put(self._beat)
        self._due = max(self._due + self._seconds, self._loop.time())
        self._timer = self._loop.call_at(self._due, self._tick)

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            pieces, self._waiting, self.size = self._waiting, [], 0
            body = b"".join(pieces)
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            if not self._waiting:
                self._empty.set()


class EventStream(_Beating):
    """Sends frames until they end or the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: Frames,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        headers: Mapping[str, str] | None = None,
        gone: Gone | None = None,
    ) -> None:
        super().__init__(heartbeat=heartbeat, headers=headers, gone=gone)
        self._frames = frames

    def _pieces(self) -> Frames:
        return self._frames


class SlowJSON(_Beating):
    """A JSON document that takes its time: line ends, which JSON allows, come until it is there."""

    media_type = "application/json"
    beat = KEEP_ALIVE

    def __init__(
        self,
        find: Callable[[], Awaitable[Any]],
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        headers: Mapping[str, str] | None = None,
        gone: Gone | None = None,
    ) -> None:
        super().__init__(heartbeat=heartbeat, headers=headers, gone=gone)
        self._find = find

    async def _pieces(self) -> Frames:
        yield orjson.dumps(await self._find(), option=orjson.OPT_NON_STR_KEYS)


async def unless_gone(receive: Receive, work: asyncio.Task[T]) -> T | None:
    """What the work gives; None, with the work cancelled, once the client has left."""
    leaving = asyncio.create_task(_left(receive), name="client leaving")
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        await patience.over(work, leaving)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
