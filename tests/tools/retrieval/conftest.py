"""Stores, parsers and documents that the retrieval tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from models.embedder import HashedEmbedder
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore
from tools.retrieval.store import PassageStore

EMBEDDER = HashedEmbedder(dimension=64)


async def open_edge(path: Path) -> PassageStore:
    return await EdgeStore.open(path, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)


async def open_server(path: Path) -> PassageStore:
    return await ServerStore.open(MEMORY, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)


OPENERS: dict[str, Callable[[Path], Awaitable[PassageStore]]] = {
    "edge": open_edge,
    "server": open_server,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, in memory where there is one: the engine waits for the disk a lot."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2_000_000_000
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as path:
        yield Path(path)


@pytest.fixture(params=sorted(OPENERS))
async def store(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[PassageStore]:
    opened = await OPENERS[request.param](folder)
    yield opened
    await opened.close()


@pytest.fixture
def knowledge(store: PassageStore) -> LocalKnowledge:
    return LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())


@pytest.fixture(scope="session")
def awkward() -> Path:
    """The folder of awkward documents, which is no part of the repository."""
    folder = Path(__file__).parents[4] / "shared" / "data" / "docs"
    if not folder.is_dir():
        pytest.skip("the awkward documents are not on this machine (../shared/data/docs)")
    return folder
