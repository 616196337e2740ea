"""Documents in, evidence out: parse, chunk, embed and store; embed, look up and fuse."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from models.embedder import Embedder
from tools.retrieval import chunks as chunking
from tools.retrieval.documents import Chunk, DocumentVersion, Hit, Parsed, Passage
from tools.retrieval.errors import EmptyDocument
from tools.retrieval.fusion import Fusion
from tools.retrieval.knowledge import Ingested, Status
from tools.retrieval.parse import Parser
from tools.retrieval.searching import Mode, Searcher
from tools.retrieval.sniff import Format
from tools.retrieval.sparse import Bm25Encoder
from tools.retrieval.store import PassageStore, Scope

# Raised whenever parsing or chunking gives other passages for the same bytes.
PASSAGES_VERSION = 2
EMBED_BATCH = 32
LIST_PAGE = 1_000


class LocalKnowledge:
    """Over a store of this process. Store and parser are closed by whoever opened them."""

    def __init__(self, store: PassageStore, *, embedder: Embedder, parser: Parser) -> None:
        self._store = store
        self._embedder = embedder
        self._parser = parser
        self._bm25 = Bm25Encoder()
        self._searcher = Searcher(store, embedder=embedder)
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
        progress: Callable[[int, int], None] | None = None,
    ) -> Ingested:
        """Make a document searchable, or find that it already is.

        ``name`` is shown as the source; ``document_id`` is by default a hash of collection and
        name, so that the same file replaces itself. ``progress`` is told the passages embedded
        and their total. Raises ParseError for a document that cannot be read, StoreError.
        """
        name, title = _storable(name), None if title is None else _storable(title)
        scope = Scope(tenant=tenant, collection=collection)
        document_id = document_id or default_document_id(collection=collection, name=name)
        sha256 = _version_hash(data, name=name, title=title, metadata=metadata, format=format)
        async with self._lock(tenant, collection, document_id):
            stored = await self._store.find_document(scope, document_id=document_id)
            if stored is not None and stored.complete and stored.version.sha256 == sha256:
                return Ingested(
                    status=Status.UNCHANGED,
                    document_id=document_id,
                    title=stored.version.title,
                    chunks=stored.version.chunks,
                    pages=stored.version.pages,
                )
            parsed = await self._parser.parse(data, name=name, format=format)
            chunks = await asyncio.to_thread(chunking.chunk, parsed, document_id=document_id)
            if not chunks:
                raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
            version = DocumentVersion(
                tenant=tenant,
                collection=collection,
                document_id=document_id,
                sha256=sha256,
                title=title or parsed.title,
                source=name,
                media_type=parsed.media_type,
                pages=parsed.pages,
                chunks=len(chunks),
                # Later than what is there, even where the clock was set back.
                ingested_at=max(time.time(), stored.version.ingested_at + 1e-3 if stored else 0.0),
                metadata=dict(metadata or {}),
            )
            passages = await self._embed(chunks, title=version.title, progress=progress)
            await self._store.upsert_document(version, passages)
        return _ingested(version, parsed, known=stored is not None)

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
        mode: Mode = Mode.HYBRID,
        method: Fusion = Fusion.SCORES,
        k: int = 60,
    ) -> list[Hit]:
        """The best passages for ``query``, best first. Raises BadFilter, StoreError.

        ``method`` and ``k`` say how the two searches become one list (`fusion.fuse`).
        """
        return await self._searcher.search(
            query,
            tenant=tenant,
            collection=collection,
            limit=limit,
            filters=filters,
            mode=mode,
            method=method,
            k=k,
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

    async def is_empty(self, *, tenant: str, collection: str) -> bool:
        """Whether nothing can be found there. Raises StoreError."""
        scope = Scope(tenant=tenant, collection=collection)
        page, _ = await self._store.list_documents(scope, limit=1)
        return not page

    async def _embed(
        self,
        chunks: Sequence[Chunk],
        *,
        title: str,
        progress: Callable[[int, int], None] | None,
    ) -> list[Passage]:
        passages: list[Passage] = []
        for start in range(0, len(chunks), EMBED_BATCH):
            batch = chunks[start : start + EMBED_BATCH]
            texts = [chunking.embedded_text(chunk, title=title) for chunk in batch]
            vectors = await self._embedder.embed_documents(texts)
            passages.extend(
                Passage(chunk=chunk, dense=tuple(vector.tolist()), sparse=self._bm25.document(text))
                for chunk, text, vector in zip(batch, texts, vectors, strict=True)
            )
            if progress is not None:
                progress(len(passages), len(chunks))
        return passages

    def _lock(self, *key: str) -> asyncio.Lock:
        # Kept only as long as somebody holds or awaits it.
        return self._locks.setdefault(key, asyncio.Lock())


def _storable(text: str) -> str:
    # A file name that is not UTF-8 reaches Python with surrogates, which no store takes.
    return text.encode("utf-8", errors="replace").decode("utf-8")


def default_document_id(*, collection: str, name: str) -> str:
    """The id of a document that was given none."""
    digest = hashlib.sha256(f"{collection}\0{name}".encode("utf-8", errors="replace"))
    return f"doc_{digest.hexdigest()[:20]}"


def _version_hash(
    data: bytes,
    *,
    name: str,
    title: str | None,
    metadata: Mapping[str, Any] | None,
    format: Format | None,  # noqa: A002
) -> str:
    about = [PASSAGES_VERSION, name, title, dict(metadata or {}), format]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, ensure_ascii=True).encode("ascii"))
    digest.update(b"\0")
    digest.update(data)
    return digest.hexdigest()


def _ingested(version: DocumentVersion, parsed: Parsed, *, known: bool) -> Ingested:
    return Ingested(
        status=Status.UPDATED if known else Status.ADDED,
        document_id=version.document_id,
        title=version.title,
        chunks=version.chunks,
        pages=parsed.pages,
        pages_without_text=parsed.pages_without_text,
    )
