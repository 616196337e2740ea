"""A reader of streams who leaves when nothing is told any more."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BEATS = 2
EVENTS = b"text/event-stream"


class Impatient:
    """Ends each stream after so many heartbeats, and lets the app believe that its reader left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = asyncio.Event()
        streaming, beats = False, 0

        async def sent(message: Message) -> None:
            nonlocal streaming, beats
            if left.is_set():
                return
            if message["type"] == "http.response.start":
                streaming = EVENTS in dict(message["headers"]).get(b"content-type", b"")
            beats += streaming and message.get("body", b"").startswith(b":")
            if beats > BEATS:
                left.set()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        async def received() -> Message:
            arriving = asyncio.ensure_future(receive())
            leaving = asyncio.create_task(left.wait())
            try:
                await asyncio.wait({arriving, leaving}, return_when=asyncio.FIRST_COMPLETED)
                return arriving.result() if arriving.done() else {"type": "http.disconnect"}
            finally:
                arriving.cancel()
                leaving.cancel()

        await self._app(scope, received, sent)
