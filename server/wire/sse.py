"""Server-sent events: frames, a steady heartbeat, and a response that notices its reader leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEARTBEAT_SECONDS = 5.0
HEARTBEAT = b": heartbeat\n\n"
DONE = b"data: [DONE]\n\n"

Frames = AsyncGenerator[bytes, None]
T = TypeVar("T")


def frame(data: Any, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002
    """One event; JSON has no line ends, so its data is one line."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    if id is not None:
        head += b"id: " + id.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


async def beating(frames: Frames, *, every: float) -> Frames:
    """The frames with a comment between them every so many seconds, whatever else is sent.

    Clients learn the cadence and give a stream up that misses it.
    """
    clock = asyncio.get_running_loop().time
    due = clock() + every
    following: asyncio.Task[bytes] | None = None
    try:
        while True:
            if following is None:
                following = asyncio.ensure_future(anext(frames))
            await asyncio.wait({following}, timeout=max(0.0, due - clock()))
            if clock() >= due:
                due = max(due + every, clock())
                yield HEARTBEAT
            if following.done():
                try:
                    one = following.result()
                except StopAsyncIteration:
                    return
                following = None
                yield one
    finally:
        if following is not None:
            await _end(following)
        await frames.aclose()


class EventStream(Response):
    """Sends frames until they end or the client leaves; then ``gone`` is awaited."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: Frames,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        headers: Mapping[str, str] | None = None,
        gone: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})}
        )
        # The length of a stream is not known.
        del self.headers["content-length"]
        self._frames = beating(frames, every=heartbeat)
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
        async with aclosing(self._frames) as frames:
            async for one in frames:
                await send({"type": "http.response.body", "body": one, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


async def unless_gone(receive: Receive, work: asyncio.Task[T]) -> T | None:
    """What the work gives; None, with the work cancelled, once the client has left."""
    leaving = asyncio.create_task(_left(receive), name="client leaving")
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        await _end(work, leaving)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait. Before Python 3.12 `wait_for`, which the Redis client uses, may lose one."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)
    # Said once, so that nobody complains that it was never said.
    await asyncio.gather(*tasks, return_exceptions=True)
