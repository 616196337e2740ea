"""The one way out of a sandbox: a proxy outside of it that asks named hosts, and nobody else.

The guest has no network but its own loopback. Its kernel makes a socket that listens there and
hands it out before the first cell; what connects to it inside is served here: ``CONNECT`` and
plain HTTP, to hosts that are named, at addresses that were judged and that the connection is pinned
to. Bytes, connections and time are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from aiohttp.abc import ResolveResult

from tools.sandbox import hosts
from tools.sandbox.egress import Egress
from tools.web.addresses import AddressError, Target
from tools.web.resolver import ApartResolver, JudgedResolver

HEAD_BYTES = 16 * 1024
_CHUNK = 64 * 1024
_REQUEST = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]{1,4096}) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([^\r\n\0]*)")
# Ours to say, or for this connection alone.
_DROPPED = frozenset(
    b"connection host keep-alive proxy-authenticate proxy-authorization proxy-connection".split()
) | {b"te", b"upgrade"}

_log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """What the guest is told instead of being served."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status


class Door:
    """The proxy of one kernel, on the socket that it handed out."""

    def __init__(self, listener: socket.socket, egress: Egress) -> None:
        self._listener = listener
        self._egress = egress
        lookups = egress.resolver() if egress.resolver is not None else ApartResolver()
        self._resolver = JudgedResolver(egress.opened, inner=lookups)
        self._left = egress.limits.bytes
        # Whoever comes while all are taken waits at the guest's end.
        self._free = asyncio.Semaphore(egress.limits.at_once)
        self._serving: set[asyncio.Task[None]] = set()
        listener.setblocking(False)  # noqa: FBT003 - its name
        self._accepting = asyncio.create_task(self._accept(), name="the sandbox's proxy")

    async def close(self) -> None:
        """End every connection."""
        tasks = (self._accepting, *self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()
        await self._resolver.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._egress.limits.connections):
            await self._free.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:
                self._free.release()
                continue
            task = asyncio.create_task(self._serve(connection))
            self._serving.add(task)
            task.add_done_callback(self._over)
        _log.warning("code in the sandbox opened too many connections; it gets no more")
        self._listener.close()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._free.release()

    async def _serve(self, connection: socket.socket) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._egress.limits.seconds):
                reader, writer = await asyncio.open_connection(sock=connection, limit=HEAD_BYTES)
                await self._answered(reader, writer)
        except (OSError, EOFError):
            pass  # either end hung up, or took too long: the guest sees the connection end
        except Exception:  # noqa: BLE001 - one connection must not end the others
            _log.exception("the sandbox's proxy failed")
        finally:
            if writer is not None:
                writer.transport.abort()
            connection.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, head = await _request(reader, self._egress)
            if self._left <= 0:
                raise _RefusedError("429 Too Many Requests", "the session's bytes are used up")
            async with self._connected(target) as (theirs, to_them):
                if method == b"CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    to_them.write(head)
                await self._joined((reader, to_them), (theirs, writer))
        except _RefusedError as refused:
            _log.info("code in the sandbox is refused a connection: %s", refused)
            body = f"{refused}\n".encode()
            writer.write(
                f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def _connected(
        self, target: Target
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to one of the host's addresses, all of which were judged."""
        try:
            async with asyncio.timeout(self._egress.limits.connect_seconds):
                found = await self._resolver.resolve(target.host, target.port)
                theirs, to_them = await _first(found, target.port)
        except AddressError as error:
            raise _RefusedError("403 Forbidden", str(error)) from None
        except TimeoutError:
            raise _RefusedError("504 Gateway Timeout", f"{target.host} does not answer") from None
        except OSError:
            raise _RefusedError("502 Bad Gateway", f"{target.host} cannot be reached") from None
        try:
            yield theirs, to_them
        finally:
            to_them.transport.abort()

    async def _joined(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Carry bytes both ways until both ends have said all, or the session's are used up."""
        async with asyncio.TaskGroup() as group:
            for reader, writer in ways:
                group.create_task(self._carried(reader, writer))

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (data := await reader.read(_CHUNK)) and self._left > 0:
                self._left -= len(data)
                writer.write(data)
                await writer.drain()
            if self._left <= 0:
                writer.transport.abort()
            elif writer.can_write_eof():
                writer.write_eof()


async def _first(
    found: list[ResolveResult], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The first address that answers."""
    for one in found[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(one["host"], port, limit=_CHUNK)
    if not found:
        raise OSError("no address")
    return await asyncio.open_connection(found[-1]["host"], port, limit=_CHUNK)


async def _request(reader: asyncio.StreamReader, egress: Egress) -> tuple[bytes, Target, bytes]:
    """Method, where to, and the head to hand on. Raises _RefusedError."""
    bad = _RefusedError("400 Bad Request", "no request that a proxy can serve")
    try:
        async with asyncio.timeout(egress.limits.connect_seconds):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise bad from None
    if len(head) > HEAD_BYTES:
        raise bad
    first, *lines = head[:-4].split(b"\r\n")
    asked = _REQUEST.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if asked is None or not all(fields):
        raise bad
    method, where = asked[1], asked[2].decode("ascii")
    url = f"https://{where}/" if method == b"CONNECT" else where
    if method == b"CONNECT" and not re.fullmatch(r"[^/?#@]+:\d{1,5}", where):
        raise bad
    if method != b"CONNECT" and not where.startswith("http://"):
        raise bad
    try:
        target = hosts.checked(
            url, patterns=egress.patterns, ports=egress.ports, opened=egress.opened
        )
    except AddressError as error:
        raise _RefusedError("403 Forbidden", str(error)) from None
    kept = [match for match in fields if match and match[1].lower() not in _DROPPED]
    named = [b"Host: " + urlsplit(target.url).netloc.encode(), b"Connection: close"]
    ours = b" ".join((method, target.path.encode(), b"HTTP/1.1"))
    return method, target, b"\r\n".join((ours, *named, *(one[0] for one in kept), b"", b""))
