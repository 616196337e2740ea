"""The way into the store: a document parsed, cut, embedded where it is new, written and shown."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath, PurePosixPath
from typing import Any

from models.embedder import Embedder
from tools.retrieval import chunks as chunking
from tools.retrieval.documents import (
    Chunk,
    DocumentVersion,
    Parsed,
    Passage,
    StoredDocument,
    StoredPassage,
)
from tools.retrieval.embedding import SharedEmbedding
from tools.retrieval.errors import EmptyDocument
from tools.retrieval.knowledge import Ingested, Status
from tools.retrieval.parse import Parser
from tools.retrieval.situating import NotSituated, Situating
from tools.retrieval.sniff import Format
from tools.retrieval.sparse import Bm25Encoder
from tools.retrieval.store import WRITE_BATCH, PassageStore, Scope

# Raised whenever parsing or chunking gives other passages for the same bytes.
PASSAGES_VERSION = 4
SITUATED_AT_ONCE = 4
MADE_AT_ONCE = 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document as it is given, and what decides its passages beside its bytes."""

    name: str
    content: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format: Format | None = None

    def version_hash(self, *, situating: str | None) -> str:
        """SHA-256 of all that decides the document's passages."""
        about = [
            *(PASSAGES_VERSION, self.name, self.title, dict(self.metadata), self.format),
            *(situating, self.content),
        ]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the store has already: vectors by what was embedded, contexts by passage."""

    vectors: Mapping[str, tuple[float, ...]]
    contexts: Mapping[tuple[tuple[str, ...], str], str]

    @classmethod
    def of(cls, passages: Sequence[StoredPassage]) -> _Known:
        return cls(
            vectors={
                chunking.embedded_text(one.chunk, title=one.title): one.dense for one in passages
            },
            contexts={
                (one.chunk.heading, one.chunk.text): one.chunk.context
                for one in passages
                if one.chunk.context
            },
        )


class Ingestion:
    """Writes documents into a store. Whoever calls sees to it that one document has one writer."""

    def __init__(
        self,
        store: PassageStore,
        *,
        embedder: Embedder,
        parser: Parser,
        situating: Situating | None = None,
    ) -> None:
        self._store = store
        self._embedding = SharedEmbedding(embedder)
        self._parser = parser
        self._situating = situating
        self._bm25 = Bm25Encoder()

    async def ingest(
        self,
        data: bytes,
        source: Source,
        *,
        scope: Scope,
        document_id: str,
        folder: str | None = None,
        progress: Progress | None = None,
    ) -> Ingested:
        """Make the document searchable, or find that it is. Raises ParseError, StoreError.

        Only passages that the store does not have yet are embedded, be it from an older version
        or from a write that was cut off.
        """
        situating = self._situating.name if self._situating else None
        wanted = source.version_hash(situating=situating)
        stored = await self._store.find_document(scope, document_id=document_id)
        if stored is not None and _is_there(stored, wanted):
            version = stored.version
            if folder is not None and folder != version.folder:
                await self._store.show_document(replace(version, folder=folder))
            return _ingested(version, status=Status.UNCHANGED)
        parsed = await self._parser.parse(data, name=source.name, format=source.format)
        chunks = await asyncio.to_thread(chunking.chunk, parsed, document_id=document_id)
        if not chunks:
            raise EmptyDocument(f"{source.name}: holds no text; nothing to ingest")
        if stored is not None and stored.complete and stored.version.sha256 == wanted:
            # What is visible stays so until the passages that it lacks are there.
            wanted = _again(wanted)
        version = DocumentVersion(
            tenant=scope.tenant,
            collection=scope.collection,
            document_id=document_id,
            sha256=wanted,
            title=source.title or parsed.title,
            source=source.name,
            media_type=parsed.media_type,
            pages=parsed.pages,
            chunks=len(chunks),
            ingested_at=_later_than(stored),
            metadata=dict(source.metadata),
            content=source.content,
            folder=folder if folder is not None or stored is None else stored.version.folder,
        )
        known = _Known.of(
            await self._store.stored_passages(scope, document_id=document_id) if stored else ()
        )
        lacking = await self._write(version, chunks, parsed, known=known, progress=progress)
        await self._store.show_document(replace(version, lacking=lacking))
        return replace(
            _ingested(version, status=Status.UPDATED if stored else Status.ADDED),
            pages_without_text=parsed.pages_without_text,
        )

    async def move(
        self, document_id: str, *, name: str, new_id: str, scope: Scope, folder: str | None
    ) -> Ingested | None:
        """The same content under another name, with the vectors that it has.

        None where it has to be read again: because it is not there whole, was no file, or its
        new name says that it is of another kind.
        """
        stored = await self._store.find_document(scope, document_id=document_id)
        if stored is None or not stored.complete:
            return None
        old = stored.version
        situating = self._situating.name if self._situating else None
        source = Source(name=old.source, content=old.content, metadata=old.metadata)
        kinds = {PurePosixPath(one).suffix.casefold() for one in (name, old.source)}
        if (
            not old.content
            or len(kinds) > 1
            or not _is_there(stored, source.version_hash(situating=situating))
            or await self._store.find_document(scope, document_id=new_id) is not None
        ):
            return None
        version = replace(
            old,
            document_id=new_id,
            sha256=replace(source, name=name).version_hash(situating=situating),
            title=_retitled(old.title, old=old.source, new=name),
            source=name,
            folder=folder if folder is not None else old.folder,
            ingested_at=time.time(),
        )
        passages = await self._store.stored_passages(scope, document_id=document_id)
        for start in range(0, len(passages), WRITE_BATCH):
            moved = [
                (
                    replace(
                        one.chunk,
                        document_id=new_id,
                        chunk_id=new_id + one.chunk.chunk_id[len(document_id) :],
                    ),
                    one.dense,
                )
                for one in passages[start : start + WRITE_BATCH]
            ]
            await self._store.write_passages(version, await self._passages(moved, version))
        await self._store.show_document(version)
        await self._store.delete_document(scope, document_id=document_id)
        return _ingested(version, status=Status.MOVED)

    async def _write(
        self,
        version: DocumentVersion,
        chunks: Sequence[Chunk],
        parsed: Parsed,
        *,
        known: _Known,
        progress: Progress | None,
    ) -> int:
        """Write all passages, a batch at a time; how many lack their context."""
        lacking = done = 0
        for start in range(0, len(chunks), WRITE_BATCH):
            batch = list(chunks[start : start + WRITE_BATCH])
            if self._situating is not None:
                batch = await self._situated(batch, parsed, known=known, tenant=version.tenant)
                lacking += sum(not one.context for one in batch)
            texts = [chunking.embedded_text(one, title=version.title) for one in batch]
            new = [text for text in dict.fromkeys(texts) if text not in known.vectors]
            fresh = dict(zip(new, await self._embedding.embed(new), strict=True))
            vectors = [fresh[text] if text in fresh else known.vectors[text] for text in texts]
            made = await self._passages(list(zip(batch, vectors, strict=True)), version)
            await self._store.write_passages(version, made)
            done += len(batch)
            if progress is not None:
                progress(done, len(chunks))
        return lacking

    async def _situated(
        self, chunks: Sequence[Chunk], parsed: Parsed, *, known: _Known, tenant: str
    ) -> list[Chunk]:
        situating = self._situating
        assert situating is not None
        free = asyncio.Semaphore(SITUATED_AT_ONCE)

        async def situated(chunk: Chunk) -> Chunk:
            context = known.contexts.get((chunk.heading, chunk.text), "")
            if not context:
                async with free:
                    try:
                        context = await situating.situate(chunk, document=parsed, tenant=tenant)
                    except NotSituated:
                        return chunk
            return replace(chunk, context=context)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(situated(one)) for one in chunks]
        return [task.result() for task in tasks]

    async def _passages(
        self, chunks: Sequence[tuple[Chunk, tuple[float, ...]]], version: DocumentVersion
    ) -> list[Passage]:
        """A few at a time, so that a search gets its turn at the interpreter in between."""

        def made(some: Sequence[tuple[Chunk, tuple[float, ...]]]) -> list[Passage]:
            texts = [chunking.embedded_text(chunk, title=version.title) for chunk, _ in some]
            return [
                Passage(chunk=chunk, dense=dense, sparse=self._bm25.document(text))
                for (chunk, dense), text in zip(some, texts, strict=True)
            ]

        found: list[Passage] = []
        for start in range(0, len(chunks), MADE_AT_ONCE):
            found += await asyncio.to_thread(made, chunks[start : start + MADE_AT_ONCE])
        return found


def _is_there(stored: StoredDocument, wanted: str) -> bool:
    version = stored.version
    return stored.complete and version.sha256 in (wanted, _again(wanted)) and version.lacking == 0


def _again(sha256: str) -> str:
    return hashlib.sha256(f"{sha256} again".encode("ascii")).hexdigest()


def _later_than(stored: StoredDocument | None) -> float:
    # Even where the clock was set back.
    return max(time.time(), stored.version.ingested_at + 1e-3 if stored else 0.0)


def _retitled(title: str, *, old: str, new: str) -> str:
    """The title of a file that was renamed, which may have been its name."""
    for called in (str, lambda name: PurePath(name).name):
        if title == " ".join(called(old).split())[:300]:
            return " ".join(called(new).split())[:300]
    return title


def _ingested(version: DocumentVersion, *, status: Status) -> Ingested:
    return Ingested(
        status=status,
        document_id=version.document_id,
        title=version.title,
        chunks=version.chunks,
        pages=version.pages,
    )
