"""Documents as they are, with their searches and ingests counted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from server.telemetry import metric_names as names
from server.telemetry.metrics import Metrics
from tools.retrieval.documents import DocumentVersion, Hit
from tools.retrieval.knowledge import Ingested, Knowledge, Passages, Status
from tools.retrieval.options import Found

FAILED = "failed"
STAGES = frozenset(
    {"embedding", "lookup", "fusion", "rerank", "parts", "diversity", "per_document"}
)


class MeasuredKnowledge:
    """``knowledge``, measured where its searches are made. Arguments are those of ``Knowledge``."""

    def __init__(self, knowledge: Knowledge, metrics: Metrics) -> None:
        self._knowledge = knowledge
        self._metrics = metrics

    async def ingest(self, data: bytes, **about: Any) -> Ingested:
        return await self._ingested(self._knowledge.ingest(data, **about))

    async def ingest_text(self, text: str, **about: Any) -> Ingested:
        return await self._ingested(self._knowledge.ingest_text(text, **about))

    async def move(self, document_id: str, **about: Any) -> Ingested | None:
        moved = await self._knowledge.move(document_id, **about)
        if moved is not None:
            self._metrics.add(names.INGESTS, 1.0, Status.MOVED.value)
        return moved

    async def search(self, query: str, **how: Any) -> Sequence[Hit]:
        return (await self.find(query, **how)).hits

    async def find(self, query: str, **how: Any) -> Found:
        metrics, since = self._metrics, time.perf_counter()
        found = await self._knowledge.find(query, **how)
        metrics.observe(names.SEARCH_SECONDS, time.perf_counter() - since)
        for stage in found.stages:
            if stage.skipped is None and stage.name in STAGES:
                metrics.observe(names.STAGE_SECONDS, stage.ms / 1_000, stage.name)
        if not found.hits:
            metrics.add(names.SEARCHES_EMPTY)
        return found

    async def delete(self, document_id: str, **where: Any) -> bool:
        return await self._knowledge.delete(document_id, **where)

    def documents(self, **where: Any) -> AsyncIterator[DocumentVersion]:
        return self._knowledge.documents(**where)

    async def document(self, document_id: str, **where: Any) -> DocumentVersion | None:
        return await self._knowledge.document(document_id, **where)

    async def passages(self, document_id: str, **where: Any) -> Passages | None:
        return await self._knowledge.passages(document_id, **where)

    async def is_empty(self, **where: Any) -> bool:
        return await self._knowledge.is_empty(**where)

    async def _ingested(self, work: Awaitable[Ingested]) -> Ingested:
        metrics, since = self._metrics, time.perf_counter()
        try:
            done = await work
        except Exception:
            metrics.add(names.INGESTS, 1.0, FAILED)
            raise
        metrics.add(names.INGESTS, 1.0, done.status.value)
        if done.status is not Status.UNCHANGED:
            metrics.observe(names.INGEST_SECONDS, time.perf_counter() - since)
            metrics.add(names.PASSAGES, done.chunks)
        return done
