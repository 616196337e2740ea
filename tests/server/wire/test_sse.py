"""Responses that take their time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message

from server.wire import sse

SECONDS = 30.0
SCOPE: dict[str, Any] = {"type": "http"}


class Client:
    """One who reads a response and may leave."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self.came = asyncio.Condition()
        self._leaves_after = leaves_after

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) == self._leaves_after:
            self.left.set()
        async with self.came:
            self.came.notify_all()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def has(self, count: int, piece: bytes) -> None:
        async with self.came, asyncio.timeout(SECONDS):
            await self.came.wait_for(lambda: self.body.count(piece) >= count)


async def test_the_heart_beats_on_while_there_is_much_to_send() -> None:
    closed = asyncio.Event()

    async def busy() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield b"x"
        finally:
            closed.set()

    client = Client()
    answering = asyncio.create_task(
        sse.EventStream(busy(), heartbeat=0.01)(SCOPE, client.receive, client.send)
    )
    await client.has(3, sse.HEARTBEAT)
    client.left.set()
    async with asyncio.timeout(SECONDS):
        await answering
    assert closed.is_set()


async def test_who_leaves_is_noticed_and_who_stays_to_the_end_is_not() -> None:
    gone = []

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"first"
        yield b"second"
        await asyncio.sleep(0 if stays else SECONDS * 2)

    async def left() -> None:
        gone.append(True)

    for stays in (True, False):
        client = Client(leaves_after=None if stays else 2)
        stream = sse.EventStream(frames(), heartbeat=SECONDS, gone=left)
        async with asyncio.timeout(SECONDS):
            await stream(SCOPE, client.receive, client.send)
        assert client.body == b"firstsecond"
        assert len(gone) == (0 if stays else 1)


async def test_what_is_there_at_once_is_sent_at_once_and_in_order() -> None:
    sent: list[bytes] = []

    async def frames() -> AsyncGenerator[bytes, None]:
        for number in range(20):
            yield b"%d," % number

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    client = Client()
    async with asyncio.timeout(SECONDS):
        await sse.EventStream(frames(), heartbeat=SECONDS)(SCOPE, client.receive, send)
    together = b"".join(b"%d," % number for number in range(20))
    assert [body for body in sent if body and body != sse.HEARTBEAT] == [together]


async def test_beats_do_not_pile_up_for_a_client_that_does_not_read() -> None:
    reads, sent = asyncio.Event(), Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await asyncio.sleep(SECONDS * 2)

    async def send(message: Message) -> None:
        await sent.send(message)
        if message.get("body") == b"first":
            # Many beats long nothing goes out.
            await asyncio.sleep(0.1)
            reads.set()

    stream = sse.EventStream(frames(), heartbeat=0.001)
    answering = asyncio.create_task(stream(SCOPE, sent.receive, send))
    async with asyncio.timeout(SECONDS):
        await reads.wait()
    await sent.has(1, sse.HEARTBEAT)
    bodies = [message["body"] for message in sent.sent[2:]]
    assert bodies[0] == sse.HEARTBEAT
    sent.left.set()
    async with asyncio.timeout(SECONDS):
        await answering


async def test_a_send_that_fails_ends_the_stream() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x" * sse.RUSH

    async def send(message: Any) -> None:
        if message.get("body"):
            raise ConnectionResetError

    client = Client()
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ConnectionResetError):
            await sse.EventStream(frames(), heartbeat=SECONDS)(SCOPE, client.receive, send)


async def test_a_slow_document_is_kept_alive_until_it_is_there() -> None:
    there = asyncio.Event()

    async def find() -> Any:
        await there.wait()
        return {"n": 1}

    client = Client()
    answering = asyncio.create_task(
        sse.SlowJSON(find, heartbeat=0.01)(SCOPE, client.receive, client.send)
    )
    await client.has(2, b"\n")
    there.set()
    async with asyncio.timeout(SECONDS):
        await answering
    assert json.loads(client.body) == {"n": 1}
    assert client.sent[0]["status"] == 200
    assert (b"content-type", b"application/json") in client.sent[0]["headers"]
