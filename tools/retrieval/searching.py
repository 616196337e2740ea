"""The way out of the store: a question embedded, looked up twice and fused into one list."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from models.embedder import Embedder
from tools.retrieval import filters as filtering
from tools.retrieval import fusion
from tools.retrieval.documents import Hit, Scores
from tools.retrieval.fusion import Fusion
from tools.retrieval.sparse import Bm25Encoder
from tools.retrieval.store import Candidate, PassageStore, Scope

CANDIDATES = 100


class Mode(StrEnum):
    """Which searches are asked."""

    HYBRID = "hybrid"
    DENSE = "dense"
    BM25 = "bm25"


class Searcher:
    """Searches a store with the embedder that filled it."""

    def __init__(self, store: PassageStore, *, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._bm25 = Bm25Encoder()

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
        query = query.encode("utf-8", errors="replace").decode("utf-8")
        if not query.strip() or limit < 1:
            return []
        conditions = filtering.conditions(filters)
        dense = None
        if mode is not Mode.BM25:
            dense = (await self._embedder.embed_query(query)).tolist()
        found = await self._store.candidates(
            Scope(tenant=tenant, collection=collection),
            dense=dense,
            sparse=None if mode is Mode.DENSE else self._bm25.query(query),
            limit=max(CANDIDATES, limit),
            conditions=conditions,
        )
        by_id = {one.point_id: one for one in found}
        pairs = [fusion.Pair(id=one.point_id, bm25=one.bm25, dense=one.dense) for one in found]
        order = fusion.fuse(pairs, method=method, k=k)
        return [_hit(by_id[one.id], fused=one.score) for one in order[:limit]]


def _hit(found: Candidate, *, fused: float) -> Hit:
    return Hit(
        document_id=found.chunk.document_id,
        chunk_id=found.chunk.chunk_id,
        title=found.version.title,
        source=found.version.source,
        text=found.chunk.text,
        page=found.chunk.page,
        heading=found.chunk.heading,
        span=found.chunk.span,
        scores=Scores(bm25=found.bm25, dense=found.dense, fused=fused),
        metadata=found.version.metadata,
    )
