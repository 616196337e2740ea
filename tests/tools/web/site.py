"""A web site over real HTTP on loopback, as badly behaved as a test wants, and names that lead to
it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

from tools.web.addresses import Opened
from tools.web.fetching import Fetcher, FetchLimits

LOOPBACK = Opened.of(["127.0.0.1"])

Speaks = Callable[[asyncio.StreamWriter], Awaitable[None]]
Reply = bytes | Speaks


@dataclass
class Site:
    """``replies`` by path; ``got`` are the requests' heads as they came, ``called`` connections."""

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)
    called: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.got.append(head)
            path = head.split(" ", 2)[1].partition("?")[0]
            reply = self.replies.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
            else:
                await reply(writer)
        writer.close()

    def header(self, name: str, *, of: int = -1) -> str | None:
        """A header of a request, the last one if no other is asked for."""
        for line in self.got[of].split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


@asynccontextmanager
async def serving(replies: Mapping[str, Reply] | None = None) -> AsyncIterator[Site]:
    """A site on a free port of 127.0.0.1."""
    site = Site(replies=dict(replies or {}))
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await site.take(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def page(
    body: bytes | str, *, media_type: str = "text/html; charset=utf-8", **headers: str
) -> bytes:
    """A whole answer with a body."""
    body = body.encode() if isinstance(body, str) else body
    lines = [
        "HTTP/1.1 200 OK",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(location: str, *, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


class Names(AbstractResolver):
    """Resolves by a list; a name's answers follow each other, and the last one stays."""

    def __init__(self, known: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._known = {name: list(answers) for name, answers in (known or {}).items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._known.get(host)
        if answers is None:
            raise OSError("no such name")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in found
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def fetching(
    site: Site,
    *,
    opened: Opened = LOOPBACK,
    names: Names | None = None,
    limits: FetchLimits | None = None,
    ports: frozenset[int] | None = None,
) -> AsyncIterator[Fetcher]:
    """A fetcher for which the site's port is one of those that may be asked."""
    async with Fetcher(
        agent="Counterpoint/test",
        opened=opened,
        ports=frozenset({80, 443, site.port}) if ports is None else ports,
        limits=limits,
        resolver=names or Names({"pages.example": [["127.0.0.1"]]}),
    ) as fetcher:
        yield fetcher
