"""How fast the documents are searched: ``python -m bench.retrieval --sizes 1000,10000``.

End to end: the question is embedded by MiniLM in every search, and no question comes twice.
Beside ours, in one run: the same passages in qdrant-client's local mode, and in LangChain's
``QdrantVectorStore`` in hybrid mode on it. Passages have real words and drawn vectors: what a
search costs does not depend on what they mean.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from models import catalogue
from models.embedder import Vectors
from models.minilm import MiniLM
from server import settings
from tools.retrieval.documents import Chunk, DocumentVersion, Passage
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.feature_reranker import FeatureReranker
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.sparse import Bm25Encoder

TENANT, COLLECTION = "bench", "bench"
WORDS = 20_000
PASSAGE_WORDS = 130
DOCUMENT_PASSAGES = 50
LIMIT = 8

Search = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Milliseconds of searches, and MB that the process grew by since before it was filled."""

    name: str
    p50: float
    p99: float
    memory: float


class Words:
    """Texts of words that are as unevenly frequent as a language's."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._words = ["".join(self._chance.choices("abcdeilmnorstu", k=7)) for _ in range(WORDS)]
        self._weights = [1 / (rank + 3) for rank in range(WORDS)]

    def text(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, self._weights, k=words))


def passages(words: Words, *, count: int, dimension: int) -> list[Passage]:
    """Passages of one document."""
    encoder, chance = Bm25Encoder(), np.random.default_rng(count)
    made = []
    for index in range(count):
        text = words.text(PASSAGE_WORDS)
        vector = chance.standard_normal(dimension)
        vector /= np.linalg.norm(vector)
        chunk = Chunk(
            document_id="",
            chunk_id=f"#{index}",
            index=index,
            text=text,
            heading=(),
            page=None,
            span=(0, len(text)),
        )
        dense = tuple(float(value) for value in vector)
        made.append(Passage(chunk=chunk, dense=dense, sparse=encoder.document(text)))
    return made


def document(number: int, chunks: int) -> DocumentVersion:
    """What a document is known by."""
    return DocumentVersion(
        tenant=TENANT,
        collection=COLLECTION,
        document_id=f"d{number}",
        sha256=str(number),
        title=f"d{number}",
        source=f"d{number}",
        media_type="text/plain",
        pages=None,
        chunks=chunks,
        ingested_at=float(number),
    )


async def timed(name: str, search: Search, questions: Sequence[str], *, before: float) -> Figures:
    """Each question once, after three that warm it up."""
    for question in questions[:3]:
        await search(question)
    taken = []
    for question in questions[3:]:
        since = time.perf_counter()
        await search(question)
        taken.append((time.perf_counter() - since) * 1_000)
    p50, p99 = (float(value) for value in np.percentile(taken, (50, 99)))
    return Figures(name=name, p50=p50, p99=p99, memory=resident() - before)


def resident() -> float:
    """MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


@asynccontextmanager
async def ingesting(knowledge: LocalKnowledge, words: Words) -> AsyncIterator[None]:
    """Documents go in, one after the other, as long as this is open."""

    async def ingest() -> None:
        number = 0
        while True:
            number += 1
            await knowledge.ingest_text(
                "\n\n".join(words.text(60) for _ in range(40)),
                name=f"new {number}",
                tenant=TENANT,
                collection=COLLECTION,
            )

    task = asyncio.create_task(ingest())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ours(minilm: MiniLM, *, size: int, questions: Sequence[str]) -> list[Figures]:
    """Alone, and while documents are ingested."""
    words, before = Words(), resident()
    with tempfile.TemporaryDirectory() as folder:
        store = await EdgeStore.open(Path(folder), embedder=minilm.name, dimension=minilm.dimension)
        try:
            for number in range(size // DOCUMENT_PASSAGES):
                made = passages(words, count=DOCUMENT_PASSAGES, dimension=minilm.dimension)
                await store.upsert_document(document(number, len(made)), made)
            knowledge = LocalKnowledge(
                store, embedder=minilm, parser=InlineParser(), reranker=FeatureReranker.load()
            )

            async def search(question: str) -> object:
                return await knowledge.search(
                    question, tenant=TENANT, collection=COLLECTION, limit=LIMIT
                )

            half = len(questions) // 2
            found = [await timed("Counterpoint", search, questions[:half], before=before)]
            async with ingesting(knowledge, words):
                name = "Counterpoint, ingesting"
                found.append(await timed(name, search, questions[half:], before=before))
            return found
        finally:
            await store.close()


async def theirs(minilm: MiniLM, *, size: int, questions: Sequence[str]) -> list[Figures]:
    """qdrant-client's local mode, by itself and through LangChain."""
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings
    from langchain_qdrant import SparseVector as LangChainSparse
    from qdrant_client import QdrantClient, models

    words, encoder, before = Words(), Bm25Encoder(), resident()
    loop = asyncio.get_running_loop()

    def embedded(question: str) -> Vectors:
        return asyncio.run_coroutine_threadsafe(minilm.embed_query(question), loop).result()

    class Dense(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [float(value) for value in embedded(text)]

    class Sparse(SparseEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[Any]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> Any:
            vector = encoder.query(text)
            return LangChainSparse(indices=list(vector.indices), values=list(vector.values))

    client = QdrantClient(location=":memory:")
    client.create_collection(
        COLLECTION,
        vectors_config={
            "dense": models.VectorParams(size=minilm.dimension, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    for number in range(size // DOCUMENT_PASSAGES):
        made = passages(words, count=DOCUMENT_PASSAGES, dimension=minilm.dimension)
        points = [
            models.PointStruct(
                id=number * DOCUMENT_PASSAGES + passage.chunk.index,
                vector={
                    "dense": list(passage.dense),
                    "bm25": models.SparseVector(
                        indices=list(passage.sparse.indices), values=list(passage.sparse.values)
                    ),
                },
                payload={"page_content": passage.chunk.text, "metadata": {"tenant": TENANT}},
            )
            for passage in made
        ]
        client.upsert(COLLECTION, points)
    mine = models.Filter(
        must=[models.FieldCondition(key="metadata.tenant", match=models.MatchValue(value=TENANT))]
    )

    def plain(question: str) -> object:
        vector = encoder.query(question)
        sparse = models.SparseVector(indices=list(vector.indices), values=list(vector.values))
        return client.query_points(
            COLLECTION,
            prefetch=[
                models.Prefetch(
                    query=[float(value) for value in embedded(question)],
                    using="dense",
                    limit=100,
                    filter=mine,
                ),
                models.Prefetch(query=sparse, using="bm25", limit=100, filter=mine),
            ],
            query=models.FusionQuery(fusion=models.Fusion.RRF),
            limit=LIMIT,
        )

    chain = QdrantVectorStore(
        client,
        COLLECTION,
        embedding=Dense(),
        retrieval_mode=RetrievalMode.HYBRID,
        vector_name="dense",
        sparse_embedding=Sparse(),
        sparse_vector_name="bm25",
        validate_collection_config=False,
    )

    def langchain(question: str) -> object:
        return chain.similarity_search_with_score(question, k=LIMIT, filter=mine)

    half = len(questions) // 2
    found = []
    for name, search, asked in (
        ("qdrant-client, local mode", plain, questions[:half]),
        ("LangChain QdrantVectorStore, hybrid", langchain, questions[half:]),
    ):

        async def in_thread(question: str, search: Callable[[str], object] = search) -> object:
            return await asyncio.to_thread(search, question)

        found.append(await timed(name, in_thread, asked, before=before))
    client.close()
    return found


async def measured(sizes: Sequence[int], *, searches: int, local_most: int) -> list[str]:
    """The figures as lines of Markdown."""
    folder = settings.load().models_dir
    minilm = await MiniLM.open(
        folder / catalogue.EMBEDDER_MODEL.filename,
        tokenizer=folder / catalogue.EMBEDDER_TOKENIZER.filename,
    )
    lines = [
        "| passages | what | p50, ms | p99, ms | p50 against ours | memory, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    try:
        for size in sizes:
            words = Words(seed=size)
            questions = [words.text(9) for _ in range(2 * searches + 6)]
            found = await ours(minilm, size=size, questions=questions)
            base = found[0].p50
            if size <= local_most:
                few = questions[: 2 * min(searches, 30) + 6]
                found += await theirs(minilm, size=size, questions=few)
            lines += [
                f"| {size:,} | {one.name} | {one.p50:.1f} | {one.p99:.1f} | "
                f"{one.p50 / base:.1f} | {one.memory:.0f} |"
                for one in found
            ]
            click.echo("\n".join(lines[-len(found) :]), err=True)
    finally:
        await minilm.close()
    return lines


@click.command()
@click.option("--sizes", default="1000,10000,100000", show_default=True, help="Passages.")
@click.option("--searches", default=200, show_default=True, type=click.IntRange(10, 10_000))
@click.option(
    "--local-most",
    default=10_000,
    show_default=True,
    help="The most passages that the local mode is asked to hold: it takes seconds a search.",
)
def main(*, sizes: str, searches: int, local_most: int) -> None:
    """Measure searches, ours beside qdrant-client's local mode and LangChain's store."""
    wanted = [int(size) for size in sizes.split(",")]
    lines = asyncio.run(measured(wanted, searches=searches, local_most=local_most))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
