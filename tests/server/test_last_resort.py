"""What is cut off because the server ends is told so, and is no fault of the server's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from server.app import LastResort


async def cut_off(scope: Scope, *, begins: bool) -> list[Any]:
    """What a request that is cancelled is sent."""
    sent: list[Any] = []
    waits = asyncio.Event()

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.Event().wait()

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    task = asyncio.create_task(LastResort(hangs)(scope, receive, send))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sent


async def test_a_request_that_the_end_cuts_off_is_to_be_sent_again() -> None:
    start, body = await cut_off({"type": "http", "path": "/documents"}, begins=False)
    assert start["status"] == 503
    assert json.loads(body["body"])["detail"].startswith("the server is stopping; send it again")


async def test_an_answer_that_has_begun_is_left_as_it_is() -> None:
    sent = await cut_off({"type": "http", "path": "/documents"}, begins=True)
    assert [one["status"] for one in sent] == [200]
    assert await cut_off({"type": "websocket", "path": "/"}, begins=False) == []
