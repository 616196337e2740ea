"""Documents as the rest of the house sees them: put in, listed, found, taken out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tools.retrieval.documents import Chunk, DocumentVersion, Hit
from tools.retrieval.options import Found, SearchOptions


class Status(StrEnum):
    """What an ingest did."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    UPDATED = "updated"
    MOVED = "moved"


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of a document. ``pages_without_text`` may need OCR."""

    status: Status
    document_id: str
    title: str
    chunks: int
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a document: one passage, all that touch characters ``span[0]`` to ``span[1]`` of
    its text, or a page; the whole of it where none is given.
    """

    chunk_id: str | None = None
    span: tuple[int, int] | None = None
    page: int | None = None


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Passages of a document in its order. ``items`` are some of the ``total`` there are around
    the place; ``matched`` are the ids of those that lie in it.
    """

    document: DocumentVersion
    total: int
    items: tuple[Chunk, ...]
    matched: frozenset[str]


class Knowledge(Protocol):
    """All documents of all tenants, here or in another process. Every method may raise StoreError.

    Nothing outside the tenant and collection named is seen, counted or weighed.
    """

    async def ingest(
        self,
        data: bytes,
        *,
        name: str,
        tenant: str,
        collection: str,
        document_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        folder: str | None = None,
    ) -> Ingested:
        """Make a file searchable, or find that it already is.

        ``name`` is shown as the source; the same name replaces itself. ``folder`` is recorded
        with it: the folder whose files somebody follows. Raises ParseError for a document that
        cannot be read.
        """
        ...

    async def move(
        self,
        document_id: str,
        *,
        name: str,
        tenant: str,
        collection: str,
        folder: str | None = None,
    ) -> Ingested | None:
        """Give a file that was ingested another name, without reading it again.

        Its id follows from its name. None where there is no such document, or where the new
        name needs it to be read again: ingest it then, and delete the old one.
        """
        ...

    async def ingest_text(
        self,
        text: str,
        *,
        name: str,
        tenant: str,
        collection: str,
        document_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Ingested:
        """Make a text (Markdown or plain) searchable. Raises EmptyDocument."""
        ...

    async def search(
        self,
        query: str,
        *,
        tenant: str,
        collection: str,
        limit: int = 8,
        filters: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> Sequence[Hit]:
        """The best passages for ``query``, best first. Raises BadFilter.

        Without ``options`` those of the configuration hold.
        """
        ...

    async def find(
        self,
        query: str,
        *,
        tenant: str,
        collection: str,
        limit: int = 8,
        filters: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> Found:
        """Like ``search``, with how the hits came about. Raises BadFilter."""
        ...

    async def delete(self, document_id: str, *, tenant: str, collection: str) -> bool:
        """Remove a document; False if it was not there."""
        ...

    def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]:
        """Every searchable document, in a stable order."""
        ...

    async def document(
        self, document_id: str, *, tenant: str, collection: str
    ) -> DocumentVersion | None:
        """One searchable document; None if it is not there."""
        ...

    async def passages(
        self,
        document_id: str,
        *,
        tenant: str,
        collection: str,
        place: Place | None = None,
        before: int = 0,
        after: int = 0,
        limit: int = 50,
        offset: int = 0,
    ) -> Passages | None:
        """The passages at a place of a document with ``before`` and ``after`` neighbours; of
        these, ``limit`` from ``offset`` on. None if the document is not there.
        """
        ...

    async def is_empty(self, *, tenant: str, collection: str) -> bool:
        """Whether nothing can be found there."""
        ...
