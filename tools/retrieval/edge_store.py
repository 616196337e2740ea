"""Passages in Qdrant's engine inside this process: one folder, one owner, one shard for all."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as qdrant

from tools.retrieval import edge_folder, store
from tools.retrieval.documents import (
    Chunk,
    DocumentVersion,
    Passage,
    SparseVector,
    StoredDocument,
    StoredPassage,
)
from tools.retrieval.edge_lookup import EdgeLookup, condition, equal, visible, within
from tools.retrieval.errors import StoreError
from tools.retrieval.filters import Condition
from tools.retrieval.store import DENSE, SPARSE, Candidate, Choose, Scope

T = TypeVar("T")
# The engine's own flush stops the whole process for a third of a second, while its log alone goes
# to the disk without stopping anything. After a kill what was not flushed is read from the log.
_FLUSH_SECONDS = 300.0
_FLUSH_PASSAGES = 20_000
_SYNC_SECONDS = 30.0
# The engine maps its files: a write to a full disk kills the process instead of failing.
SPARE_BYTES = 128_000_000
# Searches wait for the engine while it writes: it is given a few passages at a time.
WRITTEN_AT_ONCE = 16


class EdgeStore:
    """A PassageStore on qdrant-edge. Its calls run on two threads of its own.

    Searches have one, all else the other: a search never waits for a batch of an ingest.
    """

    def __init__(
        self,
        shard: qdrant.EdgeShard,
        *,
        lookup: EdgeLookup,
        thread: ThreadPoolExecutor,
        lock: int,
        path: Path,
        spare_bytes: int,
    ) -> None:
        self._shard = shard
        self._lookup = lookup
        self._thread = thread
        self._reads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passage-search")
        self._lock = lock
        self._path = path
        self._spare_bytes = spare_bytes
        self._closed = False
        self._flushed = self._synced = time.monotonic()
        self._unflushed = 0

    @classmethod
    async def open(
        cls, path: Path, *, embedder: str, dimension: int, spare_bytes: int = SPARE_BYTES
    ) -> EdgeStore:
        """Open or create the store in the folder ``path``.

        Writing is refused where less than ``spare_bytes`` are free on the disk, and opening
        where less than half of that is.

        Raises StoreBusy if another process has it, StoreMismatch if it was made with another
        embedder, StoreDamaged if its files cannot be read.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passage-store")

        def opened() -> tuple[qdrant.EdgeShard, EdgeLookup, int]:
            shard, lock = edge_folder.open_shard(
                path, embedder=embedder, dimension=dimension, spare_bytes=spare_bytes // 2
            )
            try:
                return shard, EdgeLookup(shard), lock
            except Exception as error:
                os.close(lock)
                raise edge_folder.store_error(error, path=path) from error

        try:
            shard, lookup, lock = await asyncio.get_running_loop().run_in_executor(thread, opened)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(
            shard, lookup=lookup, thread=thread, lock=lock, path=path, spare_bytes=spare_bytes
        )

    async def upsert_document(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write a version, show it, remove the older ones."""
        await self.write_passages(version, passages)
        await self.show_document(version)

    async def write_passages(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write some of a version's passages, which nobody sees yet."""
        for start in range(0, len(passages), WRITTEN_AT_ONCE):
            some = passages[start : start + WRITTEN_AT_ONCE]
            await self._run(functools.partial(self._write, version, some))

    async def show_document(self, version: DocumentVersion) -> None:
        """Make a version visible and remove the older ones."""
        await self._run(functools.partial(self._show, version))

    def _write(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        edge_folder.check_disk(self._path, spare_bytes=self._spare_bytes)
        self._lookup.written(Scope(tenant=version.tenant, collection=version.collection))
        self._shard.update(_ops.upsert_points([_point(version, one) for one in passages]))
        self._unflushed += len(passages)

    def _show(self, version: DocumentVersion) -> None:
        scope = Scope(tenant=version.tenant, collection=version.collection)
        mine = equal("sha256", version.sha256)
        document = [*within(scope), equal("document_id", version.document_id)]
        self._shard.update(
            _ops.set_payload_by_filter(qdrant.Filter(must=[*document, mine]), store.shown(version))
        )
        older = qdrant.FieldCondition(
            key="ingested_at", range=qdrant.RangeFloat(lte=version.ingested_at)
        )
        self._shard.update(
            _ops.delete_points_by_filter(qdrant.Filter(must=[*document, older], must_not=[mine]))
        )
        self._flush_if_due()

    async def find_document(self, scope: Scope, *, document_id: str) -> StoredDocument | None:
        """The newest version written, wholly or in part."""
        return await self._run(functools.partial(self._find, scope, document_id))

    def _find(self, scope: Scope, document_id: str) -> StoredDocument | None:
        document = [*within(scope), equal("document_id", document_id)]
        facet = self._shard.facet(
            qdrant.FacetRequest(
                key="sha256", limit=100, exact=True, filter=qdrant.Filter(must=document)
            )
        )
        versions: list[tuple[DocumentVersion, int]] = []
        for hit in facet.hits:
            one = [*document, equal("sha256", str(hit.value))]
            records, _ = self._shard.scroll(
                qdrant.ScrollRequest(limit=1, filter=qdrant.Filter(must=one), with_payload=True)
            )
            live = self._shard.count(
                qdrant.CountRequest(filter=qdrant.Filter(must=[*one, equal("live", 1)]))
            )
            versions.extend((store.version_of(record.payload or {}), live) for record in records)
        return store.newest(versions)

    async def delete_document(self, scope: Scope, *, document_id: str) -> bool:
        """Remove all versions; False if there were none."""
        where = qdrant.Filter(must=[*within(scope), equal("document_id", document_id)])

        def delete() -> bool:
            if not self._shard.count(qdrant.CountRequest(filter=where)):
                return False
            self._shard.update(_ops.delete_points_by_filter(where))
            self._flush_if_due()
            return True

        return await self._run(delete)

    async def list_documents(
        self, scope: Scope, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[DocumentVersion], str | None]:
        """Visible documents by the id of their first passage."""
        request = qdrant.ScrollRequest(
            offset=after,
            limit=limit,
            filter=qdrant.Filter(must=[*visible(scope), equal("index", 0)]),
            with_payload=True,
        )
        records, following = await self._run(lambda: self._shard.scroll(request))
        versions = [store.version_of(record.payload or {}) for record in records]
        return versions, None if following is None else str(following)

    async def visible_document(self, scope: Scope, *, document_id: str) -> DocumentVersion | None:
        """The newest visible version."""
        first = [*visible(scope), equal("document_id", document_id), equal("index", 0)]
        records = await self._scrolled(first)
        return store.newest_version([one.payload or {} for one in records])

    async def stored_passages(self, scope: Scope, *, document_id: str) -> Sequence[StoredPassage]:
        """All passages of all versions of a document with their vectors."""
        where = [*within(scope), equal("document_id", document_id)]
        records = await self._scrolled(where, with_vector=True)
        return [store.stored_passage(one.payload or {}, one.vector) for one in records]

    async def chunks(
        self, scope: Scope, *, document_id: str, conditions: Sequence[Condition] = ()
    ) -> Sequence[Chunk]:
        """The visible passages of the newest version, in the document's order."""
        document = [*visible(scope), equal("document_id", document_id)]
        records = await self._scrolled([*document, *map(condition, conditions)])
        return store.of_newest([one.payload or {} for one in records])

    async def _scrolled(self, where: list[Any], *, with_vector: bool = False) -> list[Any]:
        found: list[Any] = []
        after: Any = None
        while True:
            request = qdrant.ScrollRequest(
                offset=after,
                limit=store.READ_BATCH,
                filter=qdrant.Filter(must=where),
                with_payload=True,
                with_vector=with_vector,
            )
            records, after = await self._run(functools.partial(self._shard.scroll, request))
            found += records
            if after is None:
                return found

    async def candidates(
        self,
        scope: Scope,
        *,
        dense: Sequence[float] | None,
        sparse: SparseVector | None,
        limit: int,
        conditions: Sequence[Condition] = (),
        complete: bool = False,
        choose: Choose | None = None,
    ) -> Sequence[Candidate]:
        """The ``limit`` nearest passages to each vector given."""
        looked_up = functools.partial(
            self._lookup.candidates,
            scope,
            dense=dense,
            sparse=sparse,
            limit=limit,
            conditions=conditions,
            complete=complete,
            choose=choose,
        )
        return await self._run(looked_up, thread=self._reads)

    async def close(self) -> None:
        """Flush, unload the engine, release the lock."""
        if self._closed:
            return
        self._closed = True
        try:
            # The search in hand ends before the engine goes.
            await asyncio.to_thread(self._reads.shutdown)
            await self._call(self._unload, thread=self._thread)
        finally:
            os.close(self._lock)
            self._thread.shutdown(wait=False)

    def _unload(self) -> None:
        self._shard.flush()
        self._shard.close()

    def _flush_if_due(self) -> None:
        # Writes survive a killed process in the engine's log, and once that is on the disk, a loss
        # of power too.
        now = time.monotonic()
        if now - self._flushed > _FLUSH_SECONDS or self._unflushed > _FLUSH_PASSAGES:
            self._shard.flush()
            self._flushed = self._synced = now
            self._unflushed = 0
        elif now - self._synced > _SYNC_SECONDS:
            edge_folder.sync_log(self._path)
            self._synced = now

    async def _run(self, call: Callable[[], T], *, thread: ThreadPoolExecutor | None = None) -> T:
        if self._closed:
            raise StoreError("the document store is closed")
        return await self._call(call, thread=thread or self._thread)

    async def _call(self, call: Callable[[], T], *, thread: ThreadPoolExecutor) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, call)
        except StoreError:
            raise
        except Exception as error:
            # The engine raises nothing narrower than Exception.
            raise edge_folder.store_error(error, path=self._path) from error


_ops = qdrant.UpdateOperation


def _point(version: DocumentVersion, passage: Passage) -> qdrant.Point:
    sparse = passage.sparse
    return qdrant.Point(
        id=store.point_id(version, index=passage.chunk.index),
        vector={
            DENSE: list(passage.dense),
            SPARSE: qdrant.SparseVector(indices=list(sparse.indices), values=list(sparse.values)),
        },
        payload=store.to_payload(version, passage.chunk),
    )
