"""qdrant-client's local mode with drawn passages, by itself and through LangChain's store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings
from langchain_qdrant import SparseVector as LangChainSparse
from qdrant_client import QdrantClient, models

from bench.drawn_passages import COLLECTION, TENANT, Words, documents
from models.minilm import MiniLM
from tools.retrieval.sparse import Bm25Encoder


class LocalMode(AbstractContextManager["LocalMode"]):
    """Filled in the thread that makes it; questions are embedded by ``minilm`` on ``loop``."""

    def __init__(
        self, minilm: MiniLM, *, loop: asyncio.AbstractEventLoop, limit: int, candidates: int
    ) -> None:
        self._minilm = minilm
        self._loop = loop
        self._limit = limit
        self._candidates = candidates
        self._encoder = Bm25Encoder()
        self._client = QdrantClient(location=":memory:")
        self._client.create_collection(
            COLLECTION,
            vectors_config={
                "dense": models.VectorParams(size=minilm.dimension, distance=models.Distance.COSINE)
            },
            sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        mine = models.MatchValue(value=TENANT)
        self._mine = models.Filter(must=[models.FieldCondition(key="metadata.tenant", match=mine)])

    def fill(self, words: Words, *, count: int, told: Callable[[int], None]) -> None:
        done = 0
        for _, passages in documents(words, count=count, dimension=self._minilm.dimension):
            points = [
                models.PointStruct(
                    id=done + place,
                    vector={
                        "dense": list(passage.dense),
                        "bm25": models.SparseVector(
                            indices=list(passage.sparse.indices), values=list(passage.sparse.values)
                        ),
                    },
                    payload={"page_content": passage.chunk.text, "metadata": {"tenant": TENANT}},
                )
                for place, passage in enumerate(passages)
            ]
            self._client.upsert(COLLECTION, points)
            done += len(points)
            told(done)

    def search(self, question: str) -> object:
        """Both searches with the tenant's filter, and RRF over them."""
        return self._client.query_points(
            COLLECTION,
            prefetch=[
                models.Prefetch(
                    query=self._embedded(question),
                    using="dense",
                    limit=self._candidates,
                    filter=self._mine,
                ),
                models.Prefetch(
                    query=models.SparseVector(**self._sparse(question)),
                    using="bm25",
                    limit=self._candidates,
                    filter=self._mine,
                ),
            ],
            query=models.FusionQuery(fusion=models.Fusion.RRF),
            limit=self._limit,
        )

    def langchain(self) -> Callable[[str], object]:
        """The same through LangChain, as its documentation has it."""
        embedded, sparse = self._embedded, self._sparse

        class Dense(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [embedded(text) for text in texts]

            def embed_query(self, text: str) -> list[float]:
                return embedded(text)

        class Sparse(SparseEmbeddings):  # type: ignore[misc,unused-ignore]
            def embed_documents(self, texts: list[str]) -> list[Any]:
                return [self.embed_query(text) for text in texts]

            def embed_query(self, text: str) -> Any:
                return LangChainSparse(**sparse(text))

        chain = QdrantVectorStore(
            self._client,
            COLLECTION,
            embedding=Dense(),
            retrieval_mode=RetrievalMode.HYBRID,
            vector_name="dense",
            sparse_embedding=Sparse(),
            sparse_vector_name="bm25",
            validate_collection_config=False,
        )
        return lambda question: chain.similarity_search_with_score(
            question, k=self._limit, filter=self._mine
        )

    def _embedded(self, question: str) -> list[float]:
        asked = asyncio.run_coroutine_threadsafe(self._minilm.embed_query(question), self._loop)
        return [float(value) for value in asked.result()]

    def _sparse(self, question: str) -> dict[str, Any]:
        vector = self._encoder.query(question)
        return {"indices": list(vector.indices), "values": list(vector.values)}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
