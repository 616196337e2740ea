"""A TCP proxy that misbehaves on request: cuts, goes silent, delays, throttles."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_CHUNK = 65_536
_SHORTEST_PAUSE = 0.001

Dial = Callable[[], "asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]"]


@dataclass(eq=False)
class _Pair:
    """One client's connection and ours to the target."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    stranded: bool = False

    def abort(self) -> None:
        for end in (self.client, self.target):
            # A reset, not a polite end.
            if (sock := end.get_extra_info("socket")) is not None and sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()


class ChaosProxy:
    """Stands on a loopback port before ``host:port``, or before a unix socket at ``path``.

    All changes are felt by connections that are open as well as by new ones.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, path: str | None = None) -> None:
        self._host, self._port, self._path = host, port, path
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._delay = 0.0
        self._rate = 0.0
        self._cuts: list[int] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def aim(self, *, port: int, host: str = "127.0.0.1") -> None:
        """Where new connections go from now on."""
        self._host, self._port = host, port

    def cut(self) -> None:
        """Reset every open connection."""
        for pair in list(self._pairs):
            pair.abort()

    def cut_after(self, *lengths: int) -> None:
        """Reset the next connections after so many bytes towards the client, one length each."""
        self._cuts += lengths

    def black_hole(self) -> None:
        """Keep every connection open and let nothing through: a half-open line."""
        self._open.clear()

    def strand(self) -> None:
        """What is open never hears anything again; new connections are well: a lost NAT entry."""
        for pair in self._pairs:
            pair.stranded = True

    def refuse(self) -> None:
        """Reset what is open and what comes."""
        self._refusing = True
        self.cut()

    def heal(self) -> None:
        """As a plain proxy again; what was held back goes on."""
        self._refusing = False
        self._delay = self._rate = 0.0
        self._cuts.clear()
        self._open.set()

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long, in both directions."""
        self._delay = seconds

    def throttle(self, bytes_a_second: float) -> None:
        """Towards the client no faster than this."""
        self._rate = bytes_a_second

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self._refusing:
                writer.transport.abort()
                return
            await self._open.wait()
            await self._bridge(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._path is not None:
            back, forth = await asyncio.open_unix_connection(self._path)
        else:
            back, forth = await asyncio.open_connection(self._host, self._port)
        pair = _Pair(client=writer, target=forth)
        self._pairs.add(pair)
        left = self._cuts.pop(0) if self._cuts else None
        pumps = (
            asyncio.create_task(self._pump(reader, forth, left=None, pair=pair)),
            asyncio.create_task(self._pump(back, writer, left=left, pair=pair)),
        )
        try:
            done, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() is not None for task in done):
                pair.abort()
            elif pending:
                # One side has said all; the other may still have something to say.
                await asyncio.wait(pending, timeout=5)
        finally:
            self._pairs.discard(pair)
            for task in pumps:
                task.cancel()
            # Both before anything is awaited: a cancelled wait would leave the second one open.
            for end in (writer, forth):
                end.close()
            await asyncio.gather(
                *pumps, *(end.wait_closed() for end in (writer, forth)), return_exceptions=True
            )

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        left: int | None,
        pair: _Pair,
    ) -> None:
        towards_client = sink is pair.client
        while piece := await source.read(_CHUNK):
            await self._open.wait()
            if pair.stranded:
                continue
            if self._delay:
                await asyncio.sleep(self._delay)
            if left is not None:
                piece, left = piece[:left], left - len(piece)
            sink.write(piece)
            await sink.drain()
            if left is not None and left <= 0:
                raise ConnectionResetError("cut as asked")
            if self._rate and towards_client:
                await asyncio.sleep(max(_SHORTEST_PAUSE, len(piece) / self._rate))
        with contextlib.suppress(OSError):
            sink.write_eof()
