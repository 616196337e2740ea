"""Documents in, evidence out: parse, chunk, embed and store; embed, look up and fuse."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from models.embedder import Embedder
from tools.retrieval.documents import DocumentVersion, Hit
from tools.retrieval.filters import AnyOf, Condition, Within
from tools.retrieval.ingestion import Ingestion, Progress, Source
from tools.retrieval.knowledge import Ingested, Passages, Place
from tools.retrieval.options import Found, SearchOptions
from tools.retrieval.parse import Parser
from tools.retrieval.reranking import Reranker
from tools.retrieval.searching import Searcher
from tools.retrieval.situating import Situating
from tools.retrieval.sniff import Format
from tools.retrieval.store import PassageStore, Scope

LIST_PAGE = 1_000


class LocalKnowledge:
    """Over a store of this process. Store and parser are closed by whoever opened them."""

    def __init__(
        self,
        store: PassageStore,
        *,
        embedder: Embedder,
        parser: Parser,
        situating: Situating | None = None,
        reranker: Reranker | None = None,
        options: SearchOptions | None = None,
    ) -> None:
        self._store = store
        self._ingestion = Ingestion(store, embedder=embedder, parser=parser, situating=situating)
        self._searcher = Searcher(store, embedder=embedder, reranker=reranker, options=options)
        self._locks: weakref.WeakValueDictionary[tuple[str, ...], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

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
        format: Format | None = None,  # noqa: A002
        folder: str | None = None,
        progress: Progress | None = None,
    ) -> Ingested:
        """Make a document searchable, or find that it already is.

        ``name`` is shown as the source; ``document_id`` is by default a hash of collection and
        name, so that the same file replaces itself. ``progress`` is told the passages embedded
        and their total. Raises ParseError for a document that cannot be read, StoreError.
        """
        name, title = _storable(name), None if title is None else _storable(title)
        document_id = document_id or default_document_id(collection=collection, name=name)
        source = Source(
            name=name,
            content=hashlib.sha256(data).hexdigest(),
            title=title,
            metadata=_with_whole_numbers(dict(metadata or {})),
            format=format,
        )
        async with self._lock(tenant, collection, document_id):
            return await self._ingestion.ingest(
                data,
                source,
                scope=Scope(tenant=tenant, collection=collection),
                document_id=document_id,
                folder=None if folder is None else _storable(folder),
                progress=progress,
            )

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
        """Make a text (Markdown or plain) searchable. Raises EmptyDocument, StoreError."""
        return await self.ingest(
            text.encode("utf-8", errors="replace"),
            name=name,
            tenant=tenant,
            collection=collection,
            document_id=document_id,
            title=title,
            metadata=metadata,
            format=Format.MARKDOWN,
        )

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
        """The best passages for ``query``, best first. Raises BadFilter, StoreError."""
        found = await self.find(
            query,
            tenant=tenant,
            collection=collection,
            limit=limit,
            filters=filters,
            options=options,
        )
        return found.hits

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
        """Like ``search``, with how the hits came about. Raises BadFilter, StoreError."""
        return await self._searcher.find(
            query,
            tenant=tenant,
            collection=collection,
            limit=limit,
            filters=filters,
            options=options,
        )

    async def delete(self, document_id: str, *, tenant: str, collection: str) -> bool:
        """Remove a document; False if it was not there. Raises StoreError."""
        async with self._lock(tenant, collection, document_id):
            return await self._store.delete_document(
                Scope(tenant=tenant, collection=collection), document_id=document_id
            )

    async def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]:
        """Every searchable document. Raises StoreError."""
        scope = Scope(tenant=tenant, collection=collection)
        after: str | None = None
        while True:
            page, after = await self._store.list_documents(scope, limit=LIST_PAGE, after=after)
            for version in page:
                yield version
            if after is None:
                return

    async def move(
        self,
        document_id: str,
        *,
        name: str,
        tenant: str,
        collection: str,
        folder: str | None = None,
    ) -> Ingested | None:
        """Give a file another name, without reading it again. Raises StoreError."""
        name = _storable(name)
        new_id = default_document_id(collection=collection, name=name)
        if new_id == document_id:
            return None
        # Always in one order, so that two moves never wait for each other.
        first, second = sorted((document_id, new_id))
        async with (
            self._lock(tenant, collection, first),
            self._lock(tenant, collection, second),
        ):
            return await self._ingestion.move(
                document_id,
                name=name,
                new_id=new_id,
                scope=Scope(tenant=tenant, collection=collection),
                folder=folder,
            )

    async def document(
        self, document_id: str, *, tenant: str, collection: str
    ) -> DocumentVersion | None:
        """One searchable document. Raises StoreError."""
        return await self._store.visible_document(
            Scope(tenant=tenant, collection=collection), document_id=document_id
        )

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
        """The passages at a place of a document, with their neighbours. Raises StoreError."""
        scope = Scope(tenant=tenant, collection=collection)
        version = await self._store.visible_document(scope, document_id=document_id)
        if version is None:
            return None
        first, last = 0, version.chunks - 1
        matched: frozenset[str] = frozenset()
        if place is not None and (where := _conditions(place)):
            found = await self._store.chunks(scope, document_id=document_id, conditions=where)
            if not found:
                return Passages(document=version, total=0, items=(), matched=matched)
            matched = frozenset(one.chunk_id for one in found)
            first = max(0, found[0].index - before)
            last = min(last, found[-1].index + after)
        end = min(first + offset + limit, last + 1)
        some = Within(field="index", gte=first + offset, lt=end)
        items = (
            await self._store.chunks(scope, document_id=document_id, conditions=(some,))
            if first + offset < end
            else ()
        )
        return Passages(
            document=version,
            total=last + 1 - first,
            items=tuple(items),
            matched=matched & {one.chunk_id for one in items},
        )

    async def is_empty(self, *, tenant: str, collection: str) -> bool:
        """Whether nothing can be found there. Raises StoreError."""
        scope = Scope(tenant=tenant, collection=collection)
        page, _ = await self._store.list_documents(scope, limit=1)
        return not page

    def _lock(self, *key: str) -> asyncio.Lock:
        # Kept only as long as somebody holds or awaits it.
        return self._locks.setdefault(key, asyncio.Lock())


def _conditions(place: Place) -> tuple[Condition, ...]:
    found: list[Condition] = []
    if place.chunk_id is not None:
        found.append(AnyOf(field="chunk_id", values=(place.chunk_id,)))
    if place.span is not None:
        found.append(Within(field="start", lt=place.span[1]))
        found.append(Within(field="end", gt=place.span[0]))
    if place.page is not None:
        found.append(AnyOf(field="page", values=(place.page,)))
    return tuple(found)


def _with_whole_numbers(value: Any) -> Any:
    """The value with 2026.0 as 2026, which the engine tells apart and JSON does not."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list() | tuple():
            return [_with_whole_numbers(one) for one in value]
        case dict():
            return {name: _with_whole_numbers(one) for name, one in value.items()}
    return value


def _storable(text: str) -> str:
    # A file name that is not UTF-8 reaches Python with surrogates, which no store takes.
    return text.encode("utf-8", errors="replace").decode("utf-8")


def default_document_id(*, collection: str, name: str) -> str:
    """The id of a document that was given none."""
    digest = hashlib.sha256(f"{collection}\0{name}".encode("utf-8", errors="replace"))
    return f"doc_{digest.hexdigest()[:20]}"
