"""Files and pages into a server, some at a time, with what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from server import client as clients
from server import fetched, following, patience
from server.exits import CommandFailed, Exit
from server.fetched import Unreadable
from server.files import File
from server.source_names import file_name
from tools.web import addresses

if TYPE_CHECKING:
    from tools.web.fetching import Fetcher

FAILED = "failed"
MOVED = "moved"
DELETED = "deleted"
GONE = "its file is gone or empty"
AT_ONCE = 4
LIST_PAGE = 10_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file or page: ``added``, ``unchanged``, ``updated``,
    ``moved``, ``deleted`` or ``failed``.
    """

    name: str
    status: str
    document_id: str | None = None
    chunks: int = 0
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()
    error: str = ""
    error_kind: str = ""
    moved_from: str | None = None


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
        sent = [one for one in self.outcomes if one.status not in (MOVED, DELETED)]
        return Exit.FAILED if len(self.failed) == len(sent) else Exit.PARTLY

    def line(self) -> str:
        parts = [f"{word} {self.count(word)}" for word in ("added", "unchanged", "updated")]
        parts += [f"{word} {self.count(word)}" for word in (MOVED, DELETED) if self.count(word)]
        return ", ".join([*parts, f"skipped {len(self.failed)}"])


@dataclass(frozen=True, kw_only=True)
class Address:
    """A page of the web, whose URL is its name among documents."""

    url: str

    @property
    def name(self) -> str:
        return self.url


Source = File | Address


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
    follow: bool = False,
) -> AsyncIterator[Outcome]:
    """Send the files and pages, some at a time, and tell what became of each as it is known; a bad
    one does not stop the others. With ``follow`` the folder of a file is recorded with it.

    Raises CommandFailed where the server cannot take any.
    """
    under_way: set[asyncio.Task[list[Outcome]]] = set()
    waiting = iter(sources)
    try:
        while True:
            for source in islice(waiting, AT_ONCE - len(under_way)):
                sending = _sent(client, source, collection, fetcher, follow=follow)
                under_way.add(asyncio.create_task(sending))
            if not under_way:
                return
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                for outcome in task.result():
                    yield outcome
    finally:
        await patience.over(*under_way)


async def _sent(
    client: httpx.AsyncClient,
    source: Source,
    collection: str | None,
    fetcher: Fetcher | None,
    *,
    follow: bool,
) -> list[Outcome]:
    form = {"collection": collection} if collection else {}
    if follow and isinstance(source, File) and source.folder is not None:
        folder = following.label(source.folder)
        form |= {"folder": folder} if folder is not None else {}
    try:
        data = await _data(source, fetcher)
        reply = await clients.call(
            client,
            "POST",
            "/documents",
            data=form,
            files={"files": (file_name(source.name) or source.name, data)},
            timeout=httpx.Timeout(30.0, read=None),
        )
    except Unreadable as error:
        return [_failed(source, str(error), kind=type(error).__name__)]
    except CommandFailed as error:
        if error.code is Exit.UNAVAILABLE:
            raise
        # The server refuses this one, such as for its size.
        return [_failed(source, str(error), kind="Refused")]
    return [
        Outcome(
            name=source.name,
            status=result["status"],
            document_id=result.get("document_id"),
            chunks=result.get("chunks") or 0,
            pages=result.get("pages"),
            pages_without_text=tuple(result.get("pages_without_text") or ()),
            error=result.get("error", ""),
            error_kind=result.get("error_kind", ""),
        )
        for result in reply["results"]
    ]


async def moved(
    client: httpx.AsyncClient, files: Sequence[File], *, collection: str
) -> AsyncIterator[Outcome]:
    """Follow the files of folders that were ingested before: rename the documents of those that
    were renamed, delete those whose files are gone or hold nothing any more. Raises CommandFailed.
    """
    by_folder: dict[Path, list[File]] = {}
    for file in files:
        if file.folder is not None:
            by_folder.setdefault(file.folder, []).append(file)
    for folder, held in by_folder.items():
        name = following.label(folder)
        if name is None:
            continue
        known = await _known(client, collection, folder=name)
        plan = await asyncio.to_thread(_plan, folder, held, known)
        for old, file in plan.renamed:
            asked = {"source": file_name(file.name), "folder": name}
            reply = await _asked(client, "PATCH", old, collection, json=asked)
            if reply is not None:
                yield Outcome(
                    name=file.name,
                    status=MOVED,
                    document_id=reply["document_id"],
                    chunks=reply["chunks"],
                    pages=reply["pages"],
                    moved_from=old.name,
                )
            else:
                # It has to be read again, under its new name.
                await _asked(client, "DELETE", old, collection)
        for old in plan.deleted:
            if await _asked(client, "DELETE", old, collection) is not None:
                yield Outcome(name=old.name, status=DELETED, document_id=old.document_id)


def _plan(folder: Path, held: Sequence[File], known: Sequence[following.Known]) -> following.Plan:
    # What is not read, as it is empty, would leave its earlier text to be found.
    empty = {file_name(file.name) for file in held if following.is_empty(file)}
    return following.plan(
        [file for file in held if file_name(file.name) not in empty],
        known,
        gone=lambda name: name in empty or following.is_gone(folder, name),
        content=following.content_of,
    )


async def _known(
    client: httpx.AsyncClient, collection: str, *, folder: str
) -> list[following.Known]:
    found: list[following.Known] = []
    offset = 0
    while True:
        params: dict[str, str | int] = {
            "collection": collection,
            "folder": folder,
            "limit": LIST_PAGE,
            "offset": offset,
        }
        page = await clients.call(client, "GET", "/documents", params=params)
        found += [
            following.Known(
                document_id=one["document_id"], name=one["source"], content=one["content"]
            )
            for one in page["items"]
            # An older server lists them all.
            if one.get("folder") == folder
        ]
        offset += LIST_PAGE
        if offset >= page["total"]:
            return found


async def _asked(
    client: httpx.AsyncClient,
    method: str,
    document: following.Known,
    collection: str,
    **options: Any,
) -> Any:
    """The answer; None where the server cannot do that with this one. Raises CommandFailed."""
    path = f"/documents/{quote(document.document_id, safe='')}"
    try:
        return await clients.call(
            client, method, path, params={"collection": collection}, **options
        )
    except CommandFailed as error:
        if error.code is Exit.UNAVAILABLE:
            raise
        return None


async def _data(source: Source, fetcher: Fetcher | None) -> bytes:
    """What is to be sent. Raises Unreadable."""
    if isinstance(source, File):
        try:
            return await asyncio.to_thread(source.path.read_bytes)
        except OSError as error:
            raise Unreadable(f"cannot be read ({error.strerror}); mend its permissions") from None
    if fetcher is None:
        raise Unreadable("no page is fetched here; save it, and ingest the file")
    return await fetched.data(source.url, fetcher=fetcher)


def _failed(file: Source, error: str, *, kind: str) -> Outcome:
    said = error if error.startswith(file.name) else f"{file.name}: {error}"
    return Outcome(name=file.name, status=FAILED, error=said, error_kind=kind)
