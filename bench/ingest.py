"""What an ingest costs besides its embedding: `python -m bench.ingest [FOLDER]`.

The whole way in (parser in its process, passages, embedder, engine) over the files of a folder,
some at a time as `POST /documents` takes them, against the embedder alone, given the same texts in
the same order, in batches. Both in turns in one run, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models import catalogue
from models.embedder import Embedder, HashedEmbedder
from models.minilm import MiniLM
from server import settings
from server.adding import AT_ONCE
from tools.retrieval import chunks as chunking
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.errors import ParseError
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.sandboxed_parse import SandboxedParser

ROUNDS = 2
BARE_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds by the clock, and of this process's CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class File:
    name: str
    data: bytes
    texts: tuple[str, ...]


async def _readable(paths: Sequence[Path], parser: SandboxedParser) -> list[File]:
    found = []
    for path in paths:
        data = path.read_bytes()
        try:
            parsed = await parser.parse(data, name=path.name)
        except ParseError:
            continue
        chunks = chunking.chunk(parsed, document_id="bench")
        texts = tuple(chunking.embedded_text(one, title=parsed.title) for one in chunks)
        found.append(File(name=path.name, data=data, texts=texts))
    return found


async def _bare(embedder: Embedder, files: Sequence[File]) -> Took:
    texts = [text for file in files for text in file.texts]
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), BARE_BATCH):
        await embedder.embed_documents(texts[start : start + BARE_BATCH])
    return Took(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


async def _whole(embedder: Embedder, files: Sequence[File], *, label: str, folder: Path) -> Took:
    store = await EdgeStore.open(
        folder / label, embedder=embedder.name, dimension=embedder.dimension
    )
    parser = SandboxedParser()
    knowledge = LocalKnowledge(store, embedder=embedder, parser=parser)
    free = asyncio.Semaphore(AT_ONCE)

    async def one(file: File) -> None:
        async with free:
            await knowledge.ingest(file.data, name=file.name, tenant="bench", collection="bench")

    # The worker that parses starts once in a server's life.
    await parser.parse(b"Words.", name="warm.txt")
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        await asyncio.gather(*(one(file) for file in files))
        return Took(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    finally:
        await parser.close()
        await store.close()


async def _embedder() -> Embedder:
    models = settings.load().models_dir
    path = models / catalogue.EMBEDDER_MODEL.filename
    if not path.is_file():
        print("no weights of the embedder here: hashed words stand in for it")
        return HashedEmbedder()
    tokenizer = models / catalogue.EMBEDDER_TOKENIZER.filename
    return await MiniLM.open(path, tokenizer=tokenizer)


async def main() -> None:
    """Print the table."""
    takes = argparse.ArgumentParser(description=__doc__)
    takes.add_argument("folder", nargs="?", type=Path, default=Path("examples"))
    takes.add_argument("--passages", type=int, default=400, help="as many files as make these")
    asked = takes.parse_args()
    parser = SandboxedParser()
    paths = sorted(one for one in asked.folder.rglob("*") if one.is_file())
    files: list[File] = []
    for file in await _readable(paths, parser):
        if sum(len(one.texts) for one in files) + len(file.texts) <= asked.passages:
            files.append(file)
    await parser.close()
    if not files:
        print(f"{asked.folder} holds nothing that can be read within {asked.passages} passages")
        return
    embedder = await _embedder()
    passages = sum(len(one.texts) for one in files)
    await embedder.embed_documents([file.texts[0] for file in files][:BARE_BATCH])
    print(
        f"{len(files)} documents, {passages} passages, {embedder.name}; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    print("round | bare embedder: s, CPU s | ingest: s, CPU s, documents/s, passages/s | ratio")
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(ROUNDS):
            bare = await _bare(embedder, files)
            whole = await _whole(embedder, files, label=str(round_), folder=Path(folder))
            print(
                f"{round_ + 1:5} | {bare.wall:16.2f}, {bare.cpu:5.2f} | {whole.wall:9.2f}, "
                f"{whole.cpu:5.2f}, {len(files) / whole.wall:11.1f}, "
                f"{passages / whole.wall:10.1f} | {bare.wall / whole.wall:.2f}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"ratio: over 1 is faster than the bare embedder; peak memory of this process {peak:.0f} MB"
    )


if __name__ == "__main__":
    asyncio.run(main())
