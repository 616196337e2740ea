"""What a site sends has an end: bytes, packed and unpacked, heads, redirects, time."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.web.site import Site, fetching, moved, page, serving
from tools.web.errors import (
    PageLargeError,
    PageSlowError,
    PageUnreachableError,
    PageUnreadableError,
)
from tools.web.fetching import FetchLimits, unpack

SHORT = FetchLimits(seconds=0.3, idle_seconds=10)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as found:
        yield found


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def silent_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nHi")
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not writer.is_closing():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0)


async def endless(writer: asyncio.StreamWriter, head: bytes, piece: bytes) -> None:
    writer.write(head)
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()


async def endless_body(writer: asyncio.StreamWriter) -> None:
    await endless(writer, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"x" * 4096)


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    await endless(writer, head, b"400\r\n" + b"x" * 1024 + b"\r\n")


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    await endless(writer, b"HTTP/1.1 200 OK\r\n", b"X-Flood: y\r\n" * 50)


async def endless_header(writer: asyncio.StreamWriter) -> None:
    await endless(writer, b"HTTP/1.1 200 OK\r\nX-Flood: ", b"y" * 4096)


async def endless_hints(writer: asyncio.StreamWriter) -> None:
    await endless(writer, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


async def endless_chunk_extension(writer: asyncio.StreamWriter) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    await endless(writer, head, b"x" * 4096)


@pytest.mark.parametrize("reply", [silent, silent_body], ids=["no_answer", "no_body"])
async def test_a_silent_site_is_left(site: Site, reply: object) -> None:
    site.replies["/"] = reply  # type: ignore[assignment]
    limits = FetchLimits(idle_seconds=0.05)
    async with fetching(site, limits=limits) as fetcher:
        with pytest.raises(PageSlowError):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


async def test_a_site_that_drips_is_left_in_time(site: Site) -> None:
    site.replies["/"] = dripping
    async with fetching(site, limits=SHORT) as fetcher:
        with pytest.raises(PageSlowError, match=r"within 0\.3 seconds"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


async def test_the_time_counts_for_all_redirects_together(site: Site) -> None:
    site.replies |= {"/": moved("/b"), "/b": silent}
    async with fetching(site, limits=SHORT) as fetcher:
        with pytest.raises(PageSlowError):
            await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert site.called == 2


@pytest.mark.parametrize("reply", [endless_body, endless_chunks], ids=["body", "chunks"])
async def test_a_body_without_end_is_cut(site: Site, reply: object) -> None:
    site.replies["/"] = reply  # type: ignore[assignment]
    async with fetching(site, limits=FetchLimits(max_bytes=200_000)) as fetcher:
        with pytest.raises(PageLargeError, match=r"larger than 0\.2 MB"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


async def test_a_body_that_is_announced_as_huge_is_not_read(site: Site) -> None:
    site.replies["/"] = page("x").replace(b"Content-Length: 1", b"Content-Length: 99999999999")
    async with fetching(site) as fetcher:
        with pytest.raises(PageLargeError, match="larger than 10 MB"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


@pytest.mark.parametrize(
    "reply",
    [endless_headers, endless_header, endless_hints, endless_chunk_extension],
    ids=["headers", "one_header", "early_hints", "chunk_extension"],
)
async def test_a_head_without_end_is_left(site: Site, reply: object) -> None:
    site.replies["/"] = reply  # type: ignore[assignment]
    async with fetching(site, limits=SHORT) as fetcher:
        with pytest.raises((PageUnreachableError, PageSlowError)):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


async def test_a_packed_page_is_unpacked(site: Site) -> None:
    site.replies["/"] = page(gzip.compress(b"Hello.", mtime=0), Content_Encoding="gzip")
    async with fetching(site) as fetcher:
        found = await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert found.body == b"Hello."


async def test_a_gzip_bomb_does_not_go_off(site: Site) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    site.replies["/"] = page(bomb, Content_Encoding="gzip")
    limits = FetchLimits(max_bytes=100_000, max_unpacked=1_000_000)
    async with fetching(site, limits=limits) as fetcher:
        with pytest.raises(PageLargeError, match="larger than 1 MB"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


@pytest.mark.parametrize("packing", ["br", "zstd", "deflate", "gzip, gzip", "compress"])
async def test_a_packing_that_was_not_asked_for_is_refused(site: Site, packing: str) -> None:
    site.replies["/"] = page(gzip.compress(b"x", mtime=0), Content_Encoding=packing)
    async with fetching(site) as fetcher:
        with pytest.raises(PageUnreadableError, match="not asked for"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"Hello.", "is not"),
        (gzip.compress(b"Hello." * 99, mtime=0)[:-9], "cut short"),
        (gzip.compress(b"", mtime=0) * 65, "more than 64 pieces"),
    ],
)
def test_what_is_packed_badly_is_told(data: bytes, told: str) -> None:
    with pytest.raises(PageUnreadableError, match=told):
        unpack(data, most=1_000)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(0, 1_000))
def test_unpacking_gives_all_or_says_that_it_is_too_much(parts: list[bytes], most: int) -> None:
    packed = b"".join(map(gzip.compress, parts)) + b"padding"
    whole = b"".join(parts)
    if len(whole) > most:
        with pytest.raises(PageLargeError):
            unpack(packed, most=most)
    else:
        assert unpack(packed, most=most) == whole


def test_a_bomb_within_bombs_is_bounded_over_all_its_pieces() -> None:
    one = zlib.compressobj(wbits=31)
    piece = one.compress(bytes(600_000)) + one.flush()
    with pytest.raises(PageLargeError):
        unpack(piece * 2, most=1_000_000)


async def test_a_caller_who_gives_up_is_not_told_that_the_page_was_slow(site: Site) -> None:
    site.replies["/"] = silent
    async with fetching(site) as fetcher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetcher.fetch(f"http://pages.example:{site.port}/")
