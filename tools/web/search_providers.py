"""Who searches the web for us: SearXNG by its URL, Tavily or Brave by a key."""

from __future__ import annotations

import asyncio
import html
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import certifi
import orjson
from pydantic import SecretStr

from tools.web import addresses
from tools.web.addresses import AddressError
from tools.web.errors import SearchError

SECONDS = 10.0
MAX_BYTES = 2_000_000
TAVILY = "https://api.tavily.com"
BRAVE = "https://api.search.brave.com"
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_LONGEST = 2_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One result: a page, and what the provider quotes of it, as plain text."""

    url: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One HTTP request to a provider. ``headers`` may hold its key, and are never shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None


class Provider(Protocol):
    """How a provider is asked, and how its answer is read. Without IO."""

    @property
    def name(self) -> str:
        """Its name, for people."""
        ...

    def asking(self, query: str, *, limit: int) -> Asking:
        """The request for a query."""
        ...

    def found(self, answer: Any) -> Iterable[Found]:
        """The results in an answer. Raises SearchError, KeyError, TypeError, AttributeError."""
        ...

    def remedy(self, status: int) -> str:
        """What a refusal with this status asks for, in words; "" where nothing is known."""
        ...


@dataclass(frozen=True, kw_only=True)
class SearXNG:
    """An instance of one's own; ``formats`` in its settings has to list ``json``."""

    url: str
    name: str = "SearXNG"

    def asking(self, query: str, *, limit: int) -> Asking:
        del limit
        return Asking(
            method="GET",
            url=self.url.rstrip("/") + "/search",
            params={"q": query, "format": "json"},
        )

    def found(self, answer: Any) -> Iterable[Found]:
        for one in answer["results"]:
            yield _found(one["url"], one.get("title"), one.get("content"))

    def remedy(self, status: int) -> str:
        return "list json under search.formats in its settings" if status == 403 else ""


@dataclass(frozen=True, kw_only=True)
class Tavily:
    """Tavily's search, with a key."""

    key: SecretStr
    url: str = TAVILY
    name: str = "Tavily"

    def asking(self, query: str, *, limit: int) -> Asking:
        return Asking(
            method="POST",
            url=self.url.rstrip("/") + "/search",
            headers={"Authorization": f"Bearer {self.key.get_secret_value()}"},
            json={"query": query, "max_results": limit, "search_depth": "basic"},
        )

    def found(self, answer: Any) -> Iterable[Found]:
        for one in answer["results"]:
            yield _found(one["url"], one.get("title"), one.get("content"))

    def remedy(self, status: int) -> str:
        return "check tavily_key" if status in (401, 403) else ""


@dataclass(frozen=True, kw_only=True)
class Brave:
    """Brave's web search, with a key."""

    key: SecretStr
    url: str = BRAVE
    name: str = "Brave"

    def asking(self, query: str, *, limit: int) -> Asking:
        return Asking(
            method="GET",
            url=self.url.rstrip("/") + "/res/v1/web/search",
            headers={"X-Subscription-Token": self.key.get_secret_value()},
            params={"q": query, "count": str(limit), "extra_snippets": "true"},
        )

    def found(self, answer: Any) -> Iterable[Found]:
        # Without any result there is no `web` at all.
        for one in (answer.get("web") or {}).get("results") or ():
            texts = [one.get("description"), *(one.get("extra_snippets") or ())]
            yield _found(one["url"], one.get("title"), "\n".join(filter(None, texts)))

    def remedy(self, status: int) -> str:
        return "check brave_key" if status in (401, 403, 422) else ""


class WebSearch:
    """Searches with one provider. Its address is the operator's choice, and is not judged."""

    def __init__(
        self, provider: Provider, *, session: aiohttp.ClientSession, seconds: float
    ) -> None:
        self.provider = provider
        self._session = session
        self._seconds = seconds

    async def search(self, query: str, *, limit: int) -> list[Found]:
        """At most ``limit`` results that can be fetched, each URL once. Raises SearchError."""
        answer = await self._answer(self.provider.asking(query, limit=limit))
        found: dict[str, Found] = {}
        try:
            for one in self.provider.found(answer):
                if one.url and one.text:
                    found.setdefault(one.url, one)
        except (KeyError, TypeError, AttributeError):
            raise SearchError(f"{self.provider.name} answered in a form not known here") from None
        return list(found.values())[:limit]

    async def _answer(self, asking: Asking) -> Any:
        name = self.provider.name
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._session.request(
                    asking.method,
                    asking.url,
                    headers=asking.headers,
                    params=asking.params,
                    json=asking.json,
                    # A key goes nowhere else.
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    answer.close()
                    raise SearchError(self._refusal(answer.status))
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > MAX_BYTES:
                        answer.close()
                        raise SearchError(f"{name} answered with too much")
        except TimeoutError:
            raise SearchError(f"{name} did not answer within {self._seconds:g} seconds") from None
        except aiohttp.ClientError as error:
            # The text of such an error may hold the request.
            _log.warning("web search: %s cannot be reached (%s)", name, type(error).__name__)
            raise SearchError(f"{name} cannot be reached") from None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise SearchError(f"{name} answered in a form not known here") from None

    def _refusal(self, status: int) -> str:
        name = self.provider.name
        if status == 429:
            return f"{name} takes no more searches for now"
        remedy = self.provider.remedy(status)
        if remedy:
            _log.warning("web search: %s answered %d; %s", name, status, remedy)
        return f"{name} answered with status {status}"


@asynccontextmanager
async def searching(
    provider: Provider, *, agent: str, seconds: float = SECONDS
) -> AsyncIterator[WebSearch]:
    """A search over HTTP, without cookies, proxies and credentials but the provider's key."""
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": agent, "Accept": "application/json"},
    ) as session:
        yield WebSearch(provider, session=session, seconds=seconds)


def _found(url: Any, title: Any, text: Any) -> Found:
    """A result in our words; its URL is "" where it leads to no page that can be fetched."""
    try:
        target = addresses.parse(url).url
    except AddressError:
        target = ""
    plain = _plain(text)[:_LONGEST]
    return Found(url=target, title=_plain(title)[:200] or target, text=plain)


def _plain(text: Any) -> str:
    """Text without the marks that providers put around the words they found."""
    said = html.unescape(_TAG.sub("", text)) if isinstance(text, str) else ""
    lines = (" ".join(line.split()) for line in said.splitlines())
    return "\n".join(line for line in lines if line)
