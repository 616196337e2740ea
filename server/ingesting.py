"""Files and pages into a server, one at a time, with what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from server import client as clients
from server.exits import CommandFailed, Exit
from server.files import File
from tools.web import addresses, page_text
from tools.web.errors import PageError, PageRefusedError
from tools.web.fetching import Fetcher

FAILED = "failed"
FULL_DISK = 507


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file or page: ``added``, ``unchanged``, ``updated`` or ``failed``."""

    name: str
    status: str
    document_id: str | None = None
    chunks: int = 0
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()
    error: str = ""


@dataclass(kw_only=True)
class Summary:
    """All outcomes of an ingest."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    @property
    def exit(self) -> Exit:
        if not self.failed:
            return Exit.OK
        return Exit.FAILED if len(self.failed) == len(self.outcomes) else Exit.PARTLY

    def line(self) -> str:
        parts = [f"{word} {self.count(word)}" for word in ("added", "unchanged", "updated")]
        return ", ".join([*parts, f"skipped {len(self.failed)}"])


@dataclass(frozen=True, kw_only=True)
class Address:
    """A page of the web, whose URL is its name among documents."""

    url: str

    @property
    def name(self) -> str:
        return self.url


Source = File | Address


class Unreadable(Exception):  # noqa: N818 - it says what is wrong
    """A source that gives no bytes; the message says why, with the remedy."""


def address(text: str) -> Address | None:
    """The page that a command's argument names; None where it is a path. Raises AddressError."""
    if not text.lower().startswith(("http://", "https://")):
        return None
    return Address(url=addresses.parse(text).url)


async def ingest(
    client: httpx.AsyncClient,
    sources: Sequence[Source],
    *,
    collection: str | None,
    fetcher: Fetcher | None = None,
) -> AsyncIterator[Outcome]:
    """Send each file and page and tell what became of it; a bad one does not stop the others.

    Raises CommandFailed where the server cannot take any.
    """
    for file in sources:
        try:
            data = await _data(file, fetcher)
        except Unreadable as error:
            yield _failed(file, str(error))
            continue
        try:
            reply = await clients.call(
                client,
                "POST",
                "/documents",
                data={"collection": collection} if collection else {},
                files={"files": (file.name, data)},
                timeout=httpx.Timeout(30.0, read=None),
            )
        except CommandFailed as error:
            if error.code is Exit.UNAVAILABLE:
                raise
            # The server refuses this one, such as for its size.
            yield _failed(file, str(error))
            continue
        for result in reply["results"]:
            yield Outcome(
                name=file.name,
                status=result["status"],
                document_id=result.get("document_id"),
                chunks=result.get("chunks") or 0,
                pages=result.get("pages"),
                pages_without_text=tuple(result.get("pages_without_text") or ()),
                error=result.get("error", ""),
            )


async def _data(source: Source, fetcher: Fetcher | None) -> bytes:
    """What is to be sent. Raises Unreadable."""
    if isinstance(source, File):
        try:
            return await asyncio.to_thread(source.path.read_bytes)
        except OSError as error:
            raise Unreadable(f"cannot be read ({error.strerror}); mend its permissions") from None
    if fetcher is None:
        raise Unreadable("no page is fetched here; save it, and ingest the file")
    try:
        fetched = await fetcher.fetch(source.url)
    except PageRefusedError as error:
        raise Unreadable(f"{error}; web_allow and web_ports open what is yours") from None
    except PageError as error:
        raise Unreadable(str(error)) from None
    return await asyncio.to_thread(page_text.in_utf8, fetched)


def _failed(file: Source, error: str) -> Outcome:
    said = error if error.startswith(file.name) else f"{file.name}: {error}"
    return Outcome(name=file.name, status=FAILED, error=said)
