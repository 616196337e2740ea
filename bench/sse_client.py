"""A client that costs little: raw HTTP/1.1 on kept connections, events by their bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson


class UnexpectedError(Exception):
    """The server said something that the bench did not ask for."""


@dataclass
class Followed:
    """One stream as it came: when what was read first, in seconds since the request, and bytes."""

    status: int = 0
    first_event: float = 0.0
    first_token: float | None = None
    ended: float = 0.0
    body: bytearray = field(default_factory=bytearray)

    def events(self) -> list[tuple[str, bytes]]:
        """Name and data of each event."""
        found = []
        for block in bytes(self.body).replace(b"\r\n", b"\n").split(b"\n\n"):
            name, data = "", b""
            for line in block.split(b"\n"):
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: "):
                    data = line[6:]
            if name:
                found.append((name, data))
        return found


class Connection:
    """One kept connection; requests one after another."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        assert where.hostname
        assert where.port
        self._host, self._port = where.hostname, where.port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that came back. Raises UnexpectedError on any other status than 2xx."""
        followed = await self.follow(method, path, body)
        if not 200 <= followed.status < 300:
            said = bytes(followed.body[:300]).decode(errors="replace")
            raise UnexpectedError(f"{method} {path}: {followed.status} {said}")
        return orjson.loads(bytes(followed.body)) if followed.body else None

    async def follow(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        on_piece: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Followed:
        """The whole answer; ``on_piece`` hears each piece as it comes."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=2**22
            )
        assert self._reader is not None
        raw = b"" if body is None else orjson.dumps(body)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: {self._host}",
            "content-type: application/json",
            f"content-length: {len(raw)}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        started = time.perf_counter()
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        found = Followed(status=int(head.split()[1]))
        async for piece in self._pieces(head):
            now = time.perf_counter() - started
            if not found.first_event and b"event: " in piece:
                found.first_event = now
            if found.first_token is None and b"event: messages" in piece:
                found.first_token = now
            found.body += piece
            if on_piece is not None:
                on_piece(piece)
        found.ended = time.perf_counter() - started
        return found

    async def _pieces(self, head: bytes) -> Any:
        assert self._reader is not None
        if b"transfer-encoding: chunked" not in head:
            for line in head.split(b"\r\n"):
                if line.startswith(b"content-length:") and (length := int(line.split(b":")[1])):
                    yield await self._reader.readexactly(length)
            return
        while length := int(await self._reader.readline(), 16):
            piece = await self._reader.readexactly(length + 2)
            yield piece[:-2]
        await self._reader.readexactly(2)


def percentile(values: Sequence[float], share: float) -> float:
    """Of at least one value, nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
