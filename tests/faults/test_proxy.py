"""The proxy that the faults are made with does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.polling import NotInTimeError, eventually
from tests.faults.proxy import ChaosProxy

SECONDS = 30.0

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that says again what it hears; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


@asynccontextmanager
async def line_to(proxy: ChaosProxy) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def said(line: Line, word: bytes, *, within: float = SECONDS) -> bytes:
    """What comes back; raises TimeoutError where nothing does."""
    reader, writer = line
    writer.write(word)
    async with asyncio.timeout(within):
        return await reader.readexactly(len(word))


async def test_it_passes_on_what_is_said(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy, line_to(proxy) as line:
        assert await said(line, b"hello") == b"hello"
        assert await said(line, b"x" * 300_000) == b"x" * 300_000


async def test_it_cuts_a_connection_at_the_byte_that_was_asked_for(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy:
        proxy.cut_after(7)
        async with line_to(proxy) as (reader, writer):
            writer.write(b"0123456789")
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(reader.readexactly(8), SECONDS)
        async with line_to(proxy) as line:
            assert await said(line, b"0123456789") == b"0123456789"


async def test_in_a_black_hole_nothing_is_heard_until_it_is_healed(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy, line_to(proxy) as line:
        assert await said(line, b"before") == b"before"
        proxy.black_hole()
        with pytest.raises(TimeoutError):
            await said(line, b"inside", within=0.1)
        proxy.heal()
        async with asyncio.timeout(SECONDS):
            assert await line[0].readexactly(6) == b"inside"


async def test_a_stranded_connection_stays_silent_while_new_ones_are_well(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy, line_to(proxy) as old:
        assert await said(old, b"before") == b"before"
        proxy.strand()
        with pytest.raises(TimeoutError):
            await said(old, b"lost", within=0.1)
        async with line_to(proxy) as new:
            assert await said(new, b"new") == b"new"


async def test_it_holds_back_each_piece_for_as_long_as_it_is_told(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy, line_to(proxy) as line:
        await said(line, b"warm")
        proxy.delay(0.1)
        started = time.monotonic()
        await said(line, b"late")
        assert time.monotonic() - started >= 0.2


async def test_it_refuses_whoever_comes_while_it_is_told_to(echo: int) -> None:
    async with ChaosProxy(port=echo) as proxy:
        proxy.refuse()
        async with line_to(proxy) as refused:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await said(refused, b"x")
        proxy.heal()
        async with line_to(proxy) as line:
            assert await said(line, b"x") == b"x"


async def test_a_wait_that_is_in_vain_ends_and_says_for_what() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(NotInTimeError, match="the moon"):
        await eventually(never, within=0.05, what="the moon")
