"""A proxy that cuts connections in the middle, at random bytes of what the server sends."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65_536


class CuttingProxy:
    """Lets so many bytes of each connection through, then cuts it; ``cuts`` counts."""

    def __init__(self, url: str, *, allowances: Iterator[int]) -> None:
        self._port = urlsplit(url).port
        self._allowances = allowances
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, theirs}
        upwards = asyncio.create_task(_copy(reader, theirs))
        left = next(self._allowances)
        try:
            while data := await ours.read(CHUNK):
                writer.write(data[:left])
                left -= len(data)
                if left < 0:
                    self.cuts += 1
                    await writer.drain()
                    return
        except OSError:
            pass
        finally:
            upwards.cancel()
            for one in (writer, theirs):
                one.close()
                self._writers.discard(one)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


def allowances(*, seed: int, cuts: int, first: int) -> Iterator[int]:
    """Bytes of each connection in turn: ``first`` of the first one, and no end at last.

    Some are cut before their first event, but not so many in turn that a client gives up.
    """
    chosen = random.Random(seed)
    yield first
    for _ in range(cuts - 1):
        yield chosen.randint(1, 800) if chosen.random() < 0.1 else chosen.randint(800, 1500)
    while True:
        yield 1 << 40


@asynccontextmanager
async def cutting(
    url: str, *, allowances: Iterator[int]
) -> AsyncIterator[tuple[str, CuttingProxy]]:
    """The URL of a proxy in front of a server, and the proxy."""
    proxy = CuttingProxy(url, allowances=allowances)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy
        proxy.close()
