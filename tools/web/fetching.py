"""One page over HTTP, by rules for URLs that a stranger chose: bounded in every direction."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urljoin

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver
from yarl import URL

from tools.web import addresses
from tools.web.addresses import AddressError, Opened, RefusedError, Target
from tools.web.errors import (
    PageLargeError,
    PageMovedError,
    PageRefusedError,
    PageSlowError,
    PageUnreachableError,
    PageUnreadableError,
)
from tools.web.resolver import ApartResolver, JudgedResolver

OPEN_PORTS = frozenset(addresses.PORTS.values())
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GZIP = frozenset({"gzip", "x-gzip"})
_MAGIC = b"\x1f\x8b"
_MEMBERS = 64
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_NO_TEXT = ("audio/", "font/", "image/", "model/", "multipart/", "video/", "text/event-stream")

_log = logging.getLogger(__name__)

MayFollow = Callable[[str], bool]
"""Whether a redirect to this URL may be followed without asking anew."""


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """What one page may take: bytes as they come and unpacked, seconds, redirects.

    ``seconds`` bounds all of it, redirects too; ``idle_seconds`` the wait for the next bytes.
    """

    max_bytes: int = 10_000_000
    max_unpacked: int = 20_000_000
    seconds: float = 20.0
    connect_seconds: float = 5.0
    idle_seconds: float = 10.0
    redirects: int = 5
    at_once: int = 8


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came: ``url`` is where it was in the end, ``media_type`` and ``charset`` as declared."""

    url: str
    media_type: str
    charset: str
    body: bytes


class Fetcher:
    """Fetches pages of the public internet, and of what ``opened`` names beside it.

    ``ports`` are those that may be asked; a host or an address that is opened may on any. No
    cookies, no credentials, no proxies: each request is the first one that anybody made.
    """

    def __init__(
        self,
        *,
        agent: str,
        opened: Opened | None = None,
        ports: frozenset[int] = OPEN_PORTS,
        limits: FetchLimits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._agent = agent
        self._opened = opened or Opened()
        self._ports = ports
        self._limits = limits or FetchLimits()
        self._resolver = resolver
        self._free = asyncio.Semaphore(self._limits.at_once)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._judge = JudgedResolver(self._opened, inner=self._resolver or ApartResolver())
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(certifi.where())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._judge,
                use_dns_cache=False,
                force_close=True,
                ssl=trusted,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Unpacked here, where it can be stopped.
            auto_decompress=False,
            trust_env=False,
            headers={
                "User-Agent": self._agent,
                "Accept": "text/html, application/xhtml+xml, application/pdf, text/*;q=0.9,"
                " */*;q=0.5",
                "Accept-Encoding": "gzip",
            },
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._limits.connect_seconds,
                sock_read=self._limits.idle_seconds,
            ),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            # A connector closes only a resolver of its own.
            await self._judge.close()

    async def fetch(self, url: str, *, may_follow: MayFollow | None = None) -> Fetched:
        """The page at ``url``, or where it leads.

        A redirect to other than the same with TLS is followed where ``may_follow`` agrees; without
        it all are, as far as their addresses allow. Raises PageError.
        """
        try:
            async with asyncio.timeout(self._limits.seconds), self._free:
                return await self._followed(url, may_follow)
        except TimeoutError:
            raise PageSlowError(
                f"the page did not come within {self._limits.seconds:g} seconds"
            ) from None
        except RefusedError as error:
            # What inner names lead to is the operator's business, and not the asker's.
            _log.info("page refused: %s", error)
            raise PageRefusedError(
                "the URL leads to an address that is not of the public internet"
            ) from None
        except AddressError as error:
            raise PageRefusedError(f"the URL {error}") from None
        except aiohttp.ClientConnectionError as error:
            _log.info("page not reached: %s", error)
            raise PageUnreachableError("there is no connection to that host") from None
        except aiohttp.ClientError as error:
            _log.info("page not read: %s", error)
            raise PageUnreachableError("the answer from there is not valid HTTP") from None

    def check(self, url: str) -> Target:
        """The URL, understood, as far as it can be judged without a lookup. Raises AddressError."""
        target = addresses.check(url, self._opened)
        if target.port not in self._ports and not self._is_opened(target):
            ports = " and ".join(map(str, sorted(self._ports)))
            raise AddressError(f"has port {target.port}; only {ports} may be asked")
        return target

    def _is_opened(self, target: Target) -> bool:
        address = target.address
        if address is None:
            return target.host in self._opened.hosts
        return target.host in self._opened.hosts or any(
            one in network for one in addresses.inner(address) for network in self._opened.networks
        )

    async def _followed(self, url: str, may_follow: MayFollow | None) -> Fetched:
        target = self.check(url)
        for _ in range(self._limits.redirects + 1):
            found = await self._asked(target)
            if isinstance(found, Fetched):
                return found
            if not (may_follow is None or _is_same(target, found) or may_follow(found.url)):
                raise PageMovedError(f"the page has moved to {found.url}", url=found.url)
            target = found
        raise PageUnreachableError(f"the page leads on more than {self._limits.redirects} times")

    async def _asked(self, target: Target) -> Fetched | Target:
        """The page, or where it leads."""
        assert self._session is not None
        async with self._session.get(
            URL(target.url, encoded=True), allow_redirects=False
        ) as answer:
            try:
                return await self._read(answer, target)
            finally:
                # Nothing more of it is wanted, however much there is.
                answer.close()

    async def _read(self, answer: aiohttp.ClientResponse, target: Target) -> Fetched | Target:
        if answer.status in _REDIRECTS and (location := answer.headers.get("Location")):
            return self.check(_joined(target.url, location))
        if answer.status != 200:
            raise PageUnreadableError(f"the page answers with status {answer.status}")
        media_type, charset = _type_of(answer.headers.get("Content-Type", ""))
        if media_type.startswith(_NO_TEXT):
            raise PageUnreadableError(f"it is {media_type}, which holds no text to read")
        packing = answer.headers.get("Content-Encoding", "").strip().lower()
        if packing not in _GZIP | {"", "identity"}:
            raise PageUnreadableError("it is packed in a way that was not asked for")
        body = await self._body(answer)
        if packing in _GZIP:
            body = await asyncio.to_thread(unpack, body, most=self._limits.max_unpacked)
        return Fetched(url=target.url, media_type=media_type, charset=charset, body=body)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        most = self._limits.max_bytes
        with suppress(ValueError):
            if int(answer.headers.get("Content-Length", "0")) > most:
                raise _large(most)
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > most:
                raise _large(most)
        return bytes(body)


def unpack(data: bytes, *, most: int) -> bytes:
    """What gzip packed. Raises PageLargeError beyond ``most`` bytes, PageUnreadableError."""
    parts: list[bytes] = []
    size = 0
    rest = data
    for _ in range(_MEMBERS):
        one = zlib.decompressobj(wbits=31)
        try:
            part = one.decompress(rest, most - size + 1)
        except zlib.error:
            raise PageUnreadableError("it is said to be packed with gzip, and is not") from None
        size += len(part)
        if size > most:
            raise _large(most)
        parts.append(part)
        if not one.eof:
            raise PageUnreadableError("it was cut short")
        rest = one.unused_data
        if not rest.startswith(_MAGIC):
            return b"".join(parts)
    raise PageUnreadableError(f"it is packed in more than {_MEMBERS} pieces")


def _is_same(before: Target, after: Target) -> bool:
    """Whether nothing changed, or only that it is secured now."""
    default = after.port == addresses.PORTS[after.scheme]
    secured = (before.scheme, after.scheme) == ("http", "https") and default
    moved = (before.scheme, before.port) != (after.scheme, after.port)
    return before.host == after.host and before.path == after.path and (secured or not moved)


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location.strip(" \t"))
    except ValueError:
        raise AddressError("leads on to what is no URL") from None


def _type_of(header: str) -> tuple[str, str]:
    """Media type and charset, each "" where it is not declared."""
    charset = _CHARSET.search(header)
    return header.partition(";")[0].strip().lower()[:100], charset[1].lower() if charset else ""


def _large(most: int) -> PageLargeError:
    return PageLargeError(f"it is larger than {most / 1e6:g} MB")
