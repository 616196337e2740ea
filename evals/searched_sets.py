"""The product's own knowledge, filled with a set: engine in process, MiniLM, default settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from evals.retrieval_sets import Judged
from evals.vectors import KeptVectors
from models import catalogue
from models.minilm import MiniLM
from server.settings import Settings
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.feature_reranker import FeatureReranker
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.store import PassageStore

TENANT = "evals"
_ROOM = 2_000_000_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Knowledge over an empty store of its own, and what it stands on."""

    knowledge: LocalKnowledge
    store: PassageStore
    embedder: KeptVectors


@asynccontextmanager
async def opened(settings: Settings, *, vectors: Path) -> AsyncIterator[Opened]:
    """``vectors`` is the folder of vectors from earlier times. Raises WeightsError."""
    async with AsyncExitStack() as stack:
        folder = settings.models_dir
        minilm = await MiniLM.open(
            folder / catalogue.EMBEDDER_MODEL.filename,
            tokenizer=folder / catalogue.EMBEDDER_TOKENIZER.filename,
        )
        stack.push_async_callback(minilm.close)
        embedder = KeptVectors(minilm, vectors)
        await embedder.load()
        stack.push_async_callback(embedder.save)
        memory = Path("/dev/shm")
        roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
        home = stack.enter_context(tempfile.TemporaryDirectory(dir=memory if roomy else None))
        store = await EdgeStore.open(
            Path(home), embedder=embedder.name, dimension=embedder.dimension
        )
        stack.push_async_callback(store.close)
        knowledge = LocalKnowledge(
            store,
            embedder=embedder,
            parser=InlineParser(),
            reranker=FeatureReranker.load(),
            options=settings.search_options(),
        )
        yield Opened(knowledge=knowledge, store=store, embedder=embedder)


async def fill(
    knowledge: LocalKnowledge, judged: Judged, *, told: Callable[[int], None] | None = None
) -> None:
    """Put a set's documents into the collection of its name."""
    for number, document in enumerate(judged.documents, 1):
        await knowledge.ingest_text(
            document.text,
            name=document.id,
            tenant=TENANT,
            collection=judged.name,
            document_id=document.id,
            title=document.title or None,
        )
        if told is not None:
            told(number)
