"""How fast the documents are searched: ``python -m bench.retrieval``.

End to end: the question is embedded by MiniLM in every search, and no question comes twice. Ours
is measured alone and while files are ingested: read by the parser in its process, embedded,
written. Beside it, in one run: the same passages in qdrant-client's local mode, and in LangChain's
``QdrantVectorStore`` in hybrid mode on it. Passages have drawn words and vectors: what a search
costs does not depend on what they mean.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from bench.drawn_passages import COLLECTION, TENANT, Words, documents
from models import catalogue
from models.minilm import MiniLM, batches_at_once
from server import settings
from server.adding import AT_ONCE
from server.building import PARSERS, SWITCH_SECONDS
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.feature_reranker import FeatureReranker
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import Found, SearchOptions
from tools.retrieval.sandboxed_parse import SandboxedParser

LIMIT = 8
FILE_PARAGRAPHS = 40
WARM_UP = 5
LOCAL_WARM_UP = 2

Search = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Milliseconds of searches by the clock and of CPU, and the most MB the process grew by.

    ``cpu`` is None where others used the process's CPU meanwhile.
    """

    name: str
    searches: int
    p50: float
    p99: float
    cpu: float | None
    memory: float
    load: float


@dataclass(kw_only=True)
class Ingested:
    """What was ingested while it was searched."""

    documents: int = 0
    passages: int = 0
    seconds: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self) -> str:
        return (
            f"meanwhile {self.documents} files, {self.passages} passages were ingested: "
            f"{self.documents / self.seconds:.1f} documents/s, "
            f"{self.passages / self.seconds:.1f} passages/s"
        )


@dataclass(kw_only=True)
class Stages:
    """Milliseconds of each stage of each search."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def note(self, found: Found) -> None:
        for stage in found.stages:
            self.taken.setdefault(stage.name, []).append(stage.ms)

    def line(self) -> str:
        told = []
        for name, taken in self.taken.items():
            p50, p99 = np.percentile(taken, (50, 99))
            told.append(f"{name} {p50:.1f} / {p99:.1f}")
        return "stages, p50 / p99 in ms: " + ", ".join(told)


async def timed(
    name: str,
    search: Search,
    questions: Sequence[str],
    *,
    before: float,
    warm_up: int = WARM_UP,
    alone: bool = True,
) -> Figures:
    """Each question once, one after the other, after some that warm it up."""
    for question in questions[:warm_up]:
        await search(question)
    taken = []
    cpu = time.process_time()
    for question in questions[warm_up:]:
        since = time.perf_counter()
        await search(question)
        taken.append((time.perf_counter() - since) * 1_000)
    cpu = (time.process_time() - cpu) * 1_000
    p50, p99 = (float(value) for value in np.percentile(taken, (50, 99)))
    return Figures(
        name=name,
        searches=len(taken),
        p50=p50,
        p99=p99,
        cpu=cpu / len(taken) if alone else None,
        memory=peak() - before,
        load=os.getloadavg()[0],
    )


def peak() -> float:
    """The most MB of this process in memory since ``forget_peak``."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak() -> float:
    """Count the peak anew; MB in memory now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return peak()


def tell(line: str) -> None:
    click.echo(line, err=True)


@asynccontextmanager
async def ingesting(knowledge: LocalKnowledge, words: Words) -> AsyncIterator[Ingested]:
    """Files go in, some at a time as in the server, as long as this is open."""
    done, begun = Ingested(), time.perf_counter()
    numbers = iter(range(sys.maxsize))

    async def ingest() -> None:
        try:
            for number in numbers:
                paragraphs = (words.text(60) for _ in range(FILE_PARAGRAPHS))
                ingested = await knowledge.ingest(
                    "\n\n".join(paragraphs).encode(),
                    name=f"new {number}.md",
                    tenant=TENANT,
                    collection=COLLECTION,
                )
                done.documents += 1
                done.passages += ingested.chunks
                done.begun.set()
        finally:
            done.begun.set()

    tasks = [asyncio.create_task(ingest()) for _ in range(AT_ONCE)]
    try:
        yield done
    finally:
        done.seconds = time.perf_counter() - begun
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


async def ours(
    minilm: MiniLM, *, tokenizer: Path, size: int, questions: Sequence[str]
) -> list[Figures]:
    """Alone, and while files are ingested."""
    before, since = forget_peak(), time.perf_counter()
    parser = SandboxedParser(workers=PARSERS)
    with tempfile.TemporaryDirectory() as folder:
        store = await EdgeStore.open(Path(folder), embedder=minilm.name, dimension=minilm.dimension)
        try:
            for version, passages in documents(
                Words(tokenizer), count=size, dimension=minilm.dimension
            ):
                await store.upsert_document(version, passages)
            tell(f"  Counterpoint filled in {time.perf_counter() - since:.0f} s")
            knowledge = LocalKnowledge(
                store, embedder=minilm, parser=parser, reranker=FeatureReranker.load()
            )
            stages = Stages()

            async def search(question: str) -> None:
                stages.note(
                    await knowledge.find(
                        question, tenant=TENANT, collection=COLLECTION, limit=LIMIT
                    )
                )

            half = len(questions) // 2
            found = [await timed("Counterpoint", search, questions[:half], before=before)]
            tell(f"  alone: {stages.line()}")
            stages.taken.clear()
            async with ingesting(knowledge, Words(tokenizer, seed=2)) as ingested:
                # The parser's start is over.
                await ingested.begun.wait()
                found.append(
                    await timed(
                        "Counterpoint, ingesting",
                        search,
                        questions[half:],
                        before=before,
                        alone=False,
                    )
                )
            tell(f"  ingesting: {stages.line()}")
            tell(f"  {ingested.line()}")
            return found
        finally:
            await parser.close()
            await store.close()


async def theirs(
    minilm: MiniLM, *, tokenizer: Path, size: int, questions: Sequence[str]
) -> list[Figures]:
    """qdrant-client's local mode, by itself and through LangChain."""
    # Late: what only this needs takes long to import.
    from bench.local_mode import LocalMode

    before, since = forget_peak(), time.perf_counter()
    told = since

    def progress(done: int) -> None:
        nonlocal told
        if time.perf_counter() - told > 20:
            told = time.perf_counter()
            tell(f"  local mode: {done:,} passages after {told - since:.0f} s")

    loop = asyncio.get_running_loop()
    candidates = SearchOptions().candidates
    with LocalMode(minilm, loop=loop, limit=LIMIT, candidates=candidates) as local:
        await asyncio.to_thread(local.fill, Words(tokenizer), count=size, told=progress)
        tell(f"  local mode filled in {time.perf_counter() - since:.0f} s")
        half = len(questions) // 2
        found = []
        for name, search, asked in (
            ("qdrant-client, local mode", local.search, questions[:half]),
            ("LangChain QdrantVectorStore, hybrid", local.langchain(), questions[half:]),
        ):

            async def in_thread(question: str, search: Callable[[str], object] = search) -> object:
                return await asyncio.to_thread(search, question)

            taken = await timed(name, in_thread, asked, before=before, warm_up=LOCAL_WARM_UP)
            found.append(taken)
        return found


HEAD = (
    "| passages | what | searches | p50, ms | p99, ms | CPU, ms | p50 against ours | "
    "peak memory, MB | load |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(size: int, one: Figures, *, base: float) -> str:
    cpu = "" if one.cpu is None else f"{one.cpu:.1f}"
    # The 99th percentile of few searches is the slowest of them.
    p99 = f"{one.p99:.1f}" if one.searches >= 100 else f"at most {one.p99:.1f}"
    return (
        f"| {size:,} | {one.name} | {one.searches} | {one.p50:.1f} | {p99} | {cpu} | "
        f"{one.p50 / base:.1f} | {one.memory:.0f} | {one.load:.1f} |"
    )


async def measured(
    sizes: Sequence[int], *, searches: int, local_most: int, local_searches: int, batches: int
) -> list[str]:
    """The figures as lines of Markdown."""
    sys.setswitchinterval(SWITCH_SECONDS)
    folder = settings.load().models_dir
    tokenizer = folder / catalogue.EMBEDDER_TOKENIZER.filename
    minilm = await MiniLM.open(
        folder / catalogue.EMBEDDER_MODEL.filename, tokenizer=tokenizer, batches=batches
    )
    lines = [HEAD]
    try:
        for size in sizes:
            tell(f"{size:,} passages")
            words = Words(tokenizer, seed=size)
            questions = [words.text(9) for _ in range(2 * (searches + WARM_UP))]
            found = await ours(minilm, tokenizer=tokenizer, size=size, questions=questions)
            if size <= local_most:
                few = questions[: 2 * (min(searches, local_searches) + LOCAL_WARM_UP)]
                found += await theirs(minilm, tokenizer=tokenizer, size=size, questions=few)
            lines += [row(size, one, base=found[0].p50) for one in found]
            tell("\n".join(lines[-len(found) :]))
    finally:
        await minilm.close()
    return lines


@click.command()
@click.option("--sizes", default="1000,10000,100000", show_default=True, help="Passages.")
@click.option("--searches", default=300, show_default=True, type=click.IntRange(10, 10_000))
@click.option(
    "--local-most",
    default=100_000,
    show_default=True,
    help="The most passages that the local mode is asked to hold: it takes minutes to fill.",
)
@click.option(
    "--local-searches",
    default=10,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Searches of the local mode and of LangChain each: they take seconds.",
)
@click.option(
    "--batches",
    default=batches_at_once(),
    show_default=True,
    type=click.IntRange(1, 64),
    help="Texts are embedded on these threads while they are ingested.",
)
def main(*, sizes: str, searches: int, local_most: int, local_searches: int, batches: int) -> None:
    """Measure searches, ours beside qdrant-client's local mode and LangChain's store."""
    lines = asyncio.run(
        measured(
            [int(size) for size in sizes.split(",")],
            searches=searches,
            local_most=local_most,
            local_searches=local_searches,
            batches=batches,
        )
    )
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
