"""An endpoint scripted byte by byte, whose connections stay open, for what only bytes can show."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from models.lean import LeanChat, connect
from models.registry import ModelSpec, ToolMode
from tests.models.chatting import KEY

DONE = b"data: [DONE]\n\n"


class End(StrEnum):
    """What happens to the connection behind a reply."""

    KEPT = "kept"
    CLOSED = "closed"
    RESET = "reset"
    ENDLESS = "endless"  # comments follow until the client goes away


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """A reply's body in the writes it is sent in; none at all where ``head`` is False."""

    writes: Sequence[bytes] = ()
    content_type: str = "text/event-stream"
    end: End = End.KEPT
    head: bool = True


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, and the number of the connection that it came over."""

    connection: int
    target: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(kw_only=True)
class ByteServer:
    script: list[Bytes]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _connections: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._connections += 1
        number = self._connections
        try:
            while True:
                self.asked.append(await _request(reader, number))
                if not await _send(writer, self.script.pop(0)):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def drop(self) -> None:
        for writer in self._open:
            writer.close()


async def _request(reader: asyncio.StreamReader, number: int) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    target = head[0].split()[1]
    return Asked(connection=number, target=target, headers=headers, body=json.loads(body))


async def _send(writer: asyncio.StreamWriter, reply: Bytes) -> bool:
    """Whether the connection stays open."""
    if reply.head:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {reply.content_type}\r\n"
        writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    for part in reply.writes:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()
    if reply.end is End.KEPT:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
    while reply.end is End.ENDLESS:
        writer.write(b"3\r\n:\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # a turn for the client, which shares the loop
    if reply.end is End.RESET:
        writer.transport.abort()
    return False


@asynccontextmanager
async def byte_server(*script: Bytes) -> AsyncIterator[ByteServer]:
    """Every reply has to be used, and nothing more be asked for."""
    double = ByteServer(script=list(script))
    server = await asyncio.start_server(double.accept, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield double
    finally:
        server.close()
        double.drop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                await server.wait_closed()
    assert double.script == []


def spec(url: str, **changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "double",
        "model": "some-model",
        "url": url,
        "key": SecretStr(KEY),
        "tools": ToolMode.NATIVE,
        "timeout": 5.0,
        "input_price": 0.0,
        "output_price": 0.0,
    }
    return ModelSpec(**(fields | changes))


@asynccontextmanager
async def lean_client(url: str, **changes: Any) -> AsyncIterator[LeanChat]:
    client = connect(spec(url, **changes))
    try:
        yield client
    finally:
        await client.aclose()


def frame(delta: Any, *, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream; ``more`` stands beside its choices."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    fields = {"id": "c-1", "object": "chat.completion.chunk", "model": "served"}
    return event({**fields, "choices": [choice], **more})


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def says(*texts: str) -> list[bytes]:
    """A whole and ordinary reply, one write a piece."""
    return [*(frame({"content": text}) for text in texts), frame({}, finish="stop"), DONE]
