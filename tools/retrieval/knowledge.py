"""Documents as the rest of the house sees them: put in, listed, found, taken out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tools.retrieval.documents import DocumentVersion, Hit


class Status(StrEnum):
    """What an ingest did."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    UPDATED = "updated"


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of a document. ``pages_without_text`` may need OCR."""

    status: Status
    document_id: str
    title: str
    chunks: int
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()


class Knowledge(Protocol):
    """All documents of all tenants, here or in another process. Every method may raise StoreError.

    Nothing outside the tenant and collection named is seen, counted or weighed.
    """

    async def ingest(self, data: bytes, *, name: str, tenant: str, collection: str) -> Ingested:
        """Make a file searchable, or find that it already is.

        ``name`` is shown as the source; the same name replaces itself. Raises ParseError for a
        document that cannot be read.
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
    ) -> Sequence[Hit]:
        """The best passages for ``query``, best first. Raises BadFilter."""
        ...

    async def delete(self, document_id: str, *, tenant: str, collection: str) -> bool:
        """Remove a document; False if it was not there."""
        ...

    def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]:
        """Every searchable document, in a stable order."""
        ...

    async def is_empty(self, *, tenant: str, collection: str) -> bool:
        """Whether nothing can be found there."""
        ...
