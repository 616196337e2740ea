"""What an ingest costs besides its embedding: `python -m bench.ingest [FOLDER]`.

The whole way in (parser in its process, passages, embedder, engine) over the files of a folder,
some at a time as `POST /documents` takes them, against two embedders that are given the same texts
in the same order and do nothing else: ours, and the same model on onnxruntime in batches of 32 that
are padded to their longest text, as one would write it, on as many threads. All in turns in one
run, so that what else the machine does meets them all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bench.retrieval import peak
from models import catalogue
from models.embedder import Embedder
from models.minilm import MAX_TOKENS, MiniLM, batches_at_once, runtime
from server import settings
from server.adding import AT_ONCE
from server.building import PARSERS
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


async def _chosen(paths: Sequence[Path], *, passages: int) -> list[File]:
    """Files in their order, as many as hold so many passages; those too long are left out."""
    parser, found, room = SandboxedParser(), list[File](), passages
    try:
        for path in paths:
            data = path.read_bytes()
            try:
                parsed = await parser.parse(data, name=path.name)
            except ParseError:
                continue
            chunks = chunking.chunk(parsed, document_id="bench")
            texts = tuple(chunking.embedded_text(one, title=parsed.title) for one in chunks)
            if texts and len(texts) <= room:
                found.append(File(name=path.name, data=data, texts=texts))
                room -= len(texts)
            if room < passages / 20:
                break
    finally:
        await parser.close()
    return found


async def _bare(embedder: Embedder, files: Sequence[File]) -> Took:
    texts = [text for file in files for text in file.texts]
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), BARE_BATCH):
        await embedder.embed_documents(texts[start : start + BARE_BATCH])
    return Took(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def _plain(model: Path, tokenizer: Path, *, threads: int) -> Callable[[Sequence[File]], Took]:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(model), sess_options=options, providers=["CPUExecutionProvider"]
    )
    words = Tokenizer.from_file(str(tokenizer))
    words.enable_truncation(max_length=MAX_TOKENS)
    words.enable_padding()
    inputs = {one.name for one in session.get_inputs()}

    def embed(files: Sequence[File]) -> Took:
        texts = [text for file in files for text in file.texts]
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(texts), BARE_BATCH):
            encodings = words.encode_batch(texts[start : start + BARE_BATCH])
            ids = np.array([one.ids for one in encodings], dtype=np.int64)
            mask = np.array([one.attention_mask for one in encodings], dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            (hidden, *_) = session.run(None, {k: v for k, v in feed.items() if k in inputs})
            pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return Took(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)

    return embed


async def _whole(embedder: Embedder, files: Sequence[File], *, label: str, folder: Path) -> Took:
    store = await EdgeStore.open(
        folder / label, embedder=embedder.name, dimension=embedder.dimension
    )
    parser = SandboxedParser(workers=PARSERS)
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


async def main() -> None:
    """Print the table."""
    takes = argparse.ArgumentParser(description=__doc__)
    takes.add_argument("folder", nargs="?", type=Path, default=Path("examples"))
    takes.add_argument("--passages", type=int, default=400, help="as many files as make these")
    takes.add_argument("--rounds", type=int, default=2)
    takes.add_argument(
        "--batches", type=int, default=batches_at_once(), help="texts are embedded on these threads"
    )
    asked = takes.parse_args()
    folder = settings.load().models_dir
    model = folder / catalogue.EMBEDDER_MODEL.filename
    tokenizer = folder / catalogue.EMBEDDER_TOKENIZER.filename
    if not model.is_file():
        print(f"no embedder in {folder}: run `counterpoint models pull embedder`")
        return
    paths = sorted(one for one in asked.folder.rglob("*") if one.is_file())
    files = await _chosen(paths, passages=asked.passages)
    if not files:
        print(f"{asked.folder} holds nothing that can be read within {asked.passages} passages")
        return
    embedder = await MiniLM.open(model, tokenizer=tokenizer, batches=asked.batches)
    plain = _plain(model, tokenizer, threads=asked.batches)
    passages = sum(len(one.texts) for one in files)
    await embedder.embed_documents([file.texts[0] for file in files][:BARE_BATCH])
    print(
        f"{len(files)} documents, {passages} passages, {embedder.name} on {asked.batches} threads; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    print(
        "round | plain batches: s, CPU s | our embedder: s, CPU s | "
        "ingest: s, CPU s, documents/s, passages/s | against plain | against ours"
    )
    most = 0.0
    with tempfile.TemporaryDirectory() as stores:
        for round_ in range(asked.rounds):
            whole = await _whole(embedder, files, label=str(round_), folder=Path(stores))
            # Before the padded batches, which take the most memory of all.
            most = most or peak()
            bare = await _bare(embedder, files)
            padded = await asyncio.to_thread(plain, files)
            print(
                f"{round_ + 1:5} | {padded.wall:16.2f}, {padded.cpu:5.2f} | {bare.wall:15.2f}, "
                f"{bare.cpu:5.2f} | {whole.wall:9.2f}, {whole.cpu:5.2f}, "
                f"{len(files) / whole.wall:11.1f}, {passages / whole.wall:10.1f} | "
                f"{padded.wall / whole.wall:13.2f} | {bare.wall / whole.wall:12.2f}",
                flush=True,
            )
    await embedder.close()
    print(
        "over 1 is faster than the embedder that does nothing else; CPU s are those of this "
        f"process, without the parser's; peak memory of this process: {most:.0f} MB when it had "
        f"ingested, {peak():.0f} MB when it had padded"
    )


if __name__ == "__main__":
    asyncio.run(main())
