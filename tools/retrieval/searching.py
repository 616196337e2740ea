"""The way out of the store: a question embedded, looked up twice, fused and looked at again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from models.embedder import Embedder
from models.errors import ModelError
from models.reranker import RerankError
from tools.retrieval import compound, diversity, fusion
from tools.retrieval import filters as filtering
from tools.retrieval.assembly import clean
from tools.retrieval.documents import Hit, Scores
from tools.retrieval.errors import StoreError
from tools.retrieval.filters import Condition
from tools.retrieval.options import Found, Mode, SearchOptions, Stage
from tools.retrieval.reranking import NoReranker, Reranker
from tools.retrieval.sparse import Bm25Encoder
from tools.retrieval.store import Candidate, PassageStore, Scope

T = TypeVar("T")


class _Watch:
    """Takes down the stages of one search."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._begun = self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the search has taken so far."""
        return time.perf_counter() - self._begun

    def note(self, name: str, *, candidates: int = 0, skipped: str | None = None) -> None:
        now = time.perf_counter()
        ms = (now - self._since) * 1_000
        self.stages.append(Stage(name=name, candidates=candidates, ms=ms, skipped=skipped))
        self._since = now


class Searcher:
    """Searches a store with the embedder that filled it.

    ``reranker`` and ``options`` are those of every search that says nothing else.
    """

    def __init__(
        self,
        store: PassageStore,
        *,
        embedder: Embedder,
        reranker: Reranker | None = None,
        options: SearchOptions | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._reranker: Reranker = reranker or NoReranker()
        self._options = options or SearchOptions()
        self._bm25 = Bm25Encoder()

    @property
    def options(self) -> SearchOptions:
        """What holds for a search that says nothing else."""
        return self._options

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
        """The best passages for ``query``, best first, and how they were found.

        A question that cannot be embedded in time is searched by its words alone; a reranker
        that fails or is late leaves the fused order. Raises BadFilter, StoreError.
        """
        query = clean(query.encode("utf-8", errors="replace").decode("utf-8"))
        if not query.strip() or limit < 1:
            return Found(hits=[])
        options = options or self._options
        conditions = filtering.conditions(filters)
        watch = _Watch()
        scope = Scope(tenant=tenant, collection=collection)

        async def one(question: str, watch: _Watch) -> list[Hit]:
            return await self._one(
                question,
                scope=scope,
                limit=limit,
                conditions=conditions,
                options=options,
                watch=watch,
            )

        hits = await one(query, watch)
        parts = compound.parts(query) if options.parts else ()
        if parts and watch.seconds < options.embed_seconds:
            # Their stages are told as one, that of the parts.
            found = [await one(part, _Watch()) for part in parts]
            hits = compound.merged(hits, found)
            watch.note("parts", candidates=len(hits))
        elif parts:
            watch.note("parts", skipped="the search is late already")
        if options.diversity > 0:
            hits = self._diverse(hits, options, limit=limit)
            watch.note("diversity", candidates=len(hits))
        if options.per_document is not None:
            hits = _thinned(hits, most=options.per_document)
            watch.note("per_document", candidates=len(hits))
        return Found(hits=hits[:limit], stages=watch.stages)

    async def _one(
        self,
        query: str,
        *,
        scope: Scope,
        limit: int,
        conditions: Sequence[Condition],
        options: SearchOptions,
        watch: _Watch,
    ) -> list[Hit]:
        """All that is found for one question, best first."""
        dense = await self._embedded(query, options, watch)
        choice = _Choice(options, most=self._most(options, limit=limit))
        found = await self._store.candidates(
            scope,
            dense=dense,
            sparse=None if options.mode is Mode.DENSE else self._bm25.query(query),
            limit=max(options.candidates, limit),
            conditions=conditions,
            complete=options.complete,
            choose=choice,
        )
        watch.note("lookup", candidates=len(choice.order))
        hits = choice.hits(found)
        watch.note("fusion", candidates=len(hits))
        return await self._reranked(query, hits, options, watch)

    def _most(self, options: SearchOptions, *, limit: int) -> int | None:
        """How many of the fused are looked at again or shown; None where nobody can say."""
        if options.per_document is not None:
            return None
        pool = _pool(limit) if options.diversity > 0 else 0
        return max(limit, pool, self._reranker.depth if options.rerank else 0)

    async def _embedded(
        self, query: str, options: SearchOptions, watch: _Watch
    ) -> list[float] | None:
        if options.mode is Mode.BM25:
            watch.note("embedding", skipped="the mode is bm25")
            return None
        try:
            vector = await _within(self._embedder.embed_query(query), seconds=options.embed_seconds)
        except (TimeoutError, ModelError) as error:
            told = _reason(error, seconds=options.embed_seconds)
            watch.note("embedding", skipped=told)
            if options.mode is Mode.DENSE:
                raise StoreError(f"the question cannot be embedded: {told}") from error
            return None
        watch.note("embedding")
        return [float(value) for value in vector]

    async def _reranked(
        self, query: str, hits: list[Hit], options: SearchOptions, watch: _Watch
    ) -> list[Hit]:
        depth = min(self._reranker.depth, len(hits))
        if depth == 0 or not options.rerank:
            why = "nothing to rerank" if self._reranker.depth else "no reranker is set"
            watch.note("rerank", skipped=why if options.rerank else "not asked for")
            return hits
        top, rest = hits[:depth], hits[depth:]
        try:
            scores = await _within(self._reranker.score(query, top), seconds=options.rerank_seconds)
        except (TimeoutError, RerankError) as error:
            told = _reason(error, seconds=options.rerank_seconds)
            watch.note("rerank", candidates=len(hits), skipped=told)
            return hits
        scored = [
            replace(hit, scores=replace(hit.scores, rerank=float(score)))
            for hit, score in zip(top, scores, strict=True)
        ]
        # Stable: equal scores keep the fused order.
        scored.sort(key=lambda hit: -(hit.scores.rerank or 0.0))
        watch.note("rerank", candidates=depth)
        return scored + rest

    def _diverse(self, hits: list[Hit], options: SearchOptions, *, limit: int) -> list[Hit]:
        # As deep as what is shown can come from; pairs of all candidates would cost too much.
        pool = hits[: _pool(limit)]
        scores = [compound.final(hit) for hit in pool]
        if any(hit.scores.rerank is None for hit in pool):
            # Two scales do not mix: places stand for scores.
            scores = [float(len(pool) - place) for place in range(len(pool))]
        terms = [self._bm25.document(hit.text) for hit in pool]
        order = diversity.order(scores, terms, diversity=options.diversity, limit=limit)
        chosen = set(order)
        left = [hit for place, hit in enumerate(pool) if place not in chosen]
        return [pool[place] for place in order] + left + hits[len(pool) :]


async def _within(work: Awaitable[T], *, seconds: float) -> T:
    return await asyncio.wait_for(work, timeout=seconds)


def _reason(error: Exception, *, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"took longer than {seconds:g} s"
    return " ".join(str(error).split())[:200]


def _pool(limit: int) -> int:
    return max(50, 2 * limit)


class _Choice:
    """What of the found is worth reading: the first of the fused. Called by the store, once."""

    def __init__(self, options: SearchOptions, *, most: int | None) -> None:
        self.order: list[fusion.Fused] = []
        self._options = options
        self._most = most

    def __call__(self, pairs: Sequence[fusion.Pair]) -> list[str]:
        options = self._options
        self.order = fusion.fuse(
            pairs, method=options.fusion, weight=options.weight, k=options.rrf_k
        )
        return [one.id for one in self.order[: self._most]]

    def hits(self, found: Sequence[Candidate]) -> list[Hit]:
        """What was read, in the order of the fusion."""
        by_id = {one.point_id: one for one in found}
        return [_hit(by_id[one.id], fused=one.score) for one in self.order if one.id in by_id]


def _thinned(hits: Sequence[Hit], *, most: int) -> list[Hit]:
    seen: dict[str, int] = {}
    kept = []
    for hit in hits:
        seen[hit.document_id] = seen.get(hit.document_id, 0) + 1
        if seen[hit.document_id] <= most:
            kept.append(hit)
    return kept


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
