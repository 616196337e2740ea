"""httpx over aiohttp: the same answers and the same errors, whatever the server does."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.quick_http import QuickTransport

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMITS = httpx.Timeout(5.0)


@asynccontextmanager
async def served(talk: Talk) -> AsyncIterator[str]:
    """The URL of a server that does with each connection as told."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def quick(
    url: str, *, may_repeat: bool = True, limits: httpx.Timeout = LIMITS
) -> AsyncIterator[httpx.AsyncClient]:
    transport = QuickTransport(may_repeat=lambda _: may_repeat)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=limits) as client:
        yield client


async def heard(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request's head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head, await reader.readexactly(int(line.split(b":")[1]))
    return head, b""


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *headers, b"", body])


@pytest.mark.parametrize("may_repeat", [True, False])
async def test_what_is_sent_and_answered_is_the_same_either_way(may_repeat: bool) -> None:
    requests: list[tuple[bytes, bytes]] = []
    packed = gzip.compress(b'{"detail": "caf\xc3\xa9"}')

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await heard(reader))
            writer.write(
                answer(packed, b"content-encoding: gzip", b"x-more: a", status=b"409 Conflict")
            )

    async with served(talk) as url:
        named = url.replace("//", "//user:hush@")
        async with quick(named, may_repeat=may_repeat) as client:
            for _ in range(2):
                reply = await client.post(
                    "/a%2Fb/search", params={"q": "é &"}, json={"n": 1}, headers={"x-tenant": "t"}
                )
                assert reply.status_code == httpx.codes.CONFLICT
                assert reply.json() == {"detail": "café"}
                assert reply.headers["x-more"] == "a"
                assert str(reply.url).endswith("/a%2Fb/search?q=%C3%A9+%26")
    basic = b"\r\nauthorization: basic " + base64.b64encode(b"user:hush").lower()
    assert len(requests) == 2
    for head, body in requests:
        assert head.lower().count(basic) == 1
        assert head.startswith(b"POST /a%2Fb/search?q=%C3%A9+%26 HTTP/1.1\r\n")
        assert head.lower().count(b"\r\ncontent-length:") == 1
        assert head.lower().count(b"\r\nhost:") == 1
        assert b"\r\nx-tenant: t\r\n" in head.lower()
        assert body == b'{"n":1}'


@pytest.mark.parametrize("may_repeat", [True, False])
async def test_where_nobody_listens_nothing_was_sent(may_repeat: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with served(talk) as url:
        pass
    async with quick(url, may_repeat=may_repeat) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/info")


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"no\r\n"]
)
async def test_an_answer_that_is_cut_or_none_is_a_transport_error(part: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(part)

    async with served(talk) as url, quick(url) as client:
        with pytest.raises(httpx.ReadError):
            await client.post("/search", json={})


async def test_an_answer_that_does_not_come_in_time_is_a_read_timeout() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        await reader.read()

    async with (
        served(talk) as url,
        quick(url, limits=httpx.Timeout(5.0, read=0.05)) as client,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/info")


async def test_a_redirect_is_told_and_not_followed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(answer(b"", b"location: http://169.254.169.254/", status=b"302 Found"))

    async with served(talk) as url, quick(url) as client:
        assert (await client.get("/info")).status_code == httpx.codes.FOUND


async def test_a_request_that_is_cancelled_leaves_no_connection_behind() -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        begun.set()
        assert await reader.read() == b""
        ended.set()

    async with served(talk) as url, quick(url) as client:
        asking = asyncio.create_task(client.get("/info"))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(ended.wait(), timeout=5)


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 50))
def test_bodies_arrive_whole_in_whatever_pieces(body: bytes, size: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, heard_body = await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(heard_body), size):
            piece = heard_body[start : start + size]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    async def play() -> bytes:
        async with served(talk) as url, quick(url) as client:
            return (await client.post("/echo", content=body)).content

    assert asyncio.run(play()) == body
