"""A process killed while it ingests leaves no document half there and none twice, and loses nothing
that it had reported."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from models.embedder import HashedEmbedder, Vectors
from tests.tools.retrieval.conftest import EMBEDDER, open_edge
from tools.retrieval.knowledge import Status
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser

SEED = 20_261_125
KILLS = 10
DOCUMENTS = 24
PATIENCE = 60.0


def rules_in(number: int) -> int:
    """Now and then more than are written at once."""
    return 300 if number % 8 == 3 else 20


def text_of(number: int, *, edition: str) -> str:
    # Every other rule is the same in all editions.
    rules = "\n\n".join(
        f"## Rule {rule}\n\n{edition if rule % 2 else 'Any'} edition, item {rule}."
        for rule in range(rules_in(number))
    )
    return f"# Book {number}\n\n{rules}"


async def ingest(knowledge: LocalKnowledge, number: int, *, edition: str) -> Status:
    ingested = await knowledge.ingest_text(
        text_of(number, edition=edition), name=f"{number}.md", tenant="t", collection="c"
    )
    return ingested.status


class TellingEmbedder(HashedEmbedder):
    """Says when it is asked, so that a kill may come then."""

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        print("embedding", flush=True)
        return await super().embed_documents(texts)


async def ingest_until_killed(folder: Path, *, edition: str) -> None:
    """What the killed process runs: a new edition of every document."""
    embedder = TellingEmbedder(dimension=EMBEDDER.dimension)
    knowledge = LocalKnowledge(await open_edge(folder), embedder=embedder, parser=InlineParser())
    for number in range(DOCUMENTS):
        await ingest(knowledge, number, edition=edition)
        print(f"done {number}", flush=True)
    print("whole", flush=True)


def fork_on_demand(folder: Path) -> None:
    """A process a line that comes in: imports take longer than all the rest."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(ingest_until_killed(folder, edition=line.strip()))
            os._exit(0)
        print(f"process {child}", flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


async def check(folder: Path, *, reported: int) -> list[str]:
    """The edition that each document is in: wholly in one, with nothing missing, nothing twice.

    Those where the kill came are looked for too.
    """
    store = await open_edge(folder)
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    editions = []
    listed = [one async for one in knowledge.documents(tenant="t", collection="c")]
    assert len({one.document_id for one in listed}) == DOCUMENTS
    for number in range(DOCUMENTS):
        (document_id,) = {one.document_id for one in listed if one.source == f"{number}.md"}
        found = await knowledge.passages(document_id, limit=10_000, tenant="t", collection="c")
        assert found is not None
        assert found.total == len(found.items) == rules_in(number)
        texts = [one.text for one in found.items]
        edition = texts[1].split()[0]
        assert texts == [
            f"{edition if rule % 2 else 'Any'} edition, item {rule}." for rule in range(found.total)
        ]
        editions.append(edition)
        if not 0 <= number - reported <= 2:
            continue
        hits = await knowledge.search(
            "edition", tenant="t", collection="c", limit=50, filters={"source": f"{number}.md"}
        )
        spans = [hit.span for hit in hits]
        assert len(set(spans)) == len(spans)
        assert {hit.text for hit in hits} <= set(texts)
    await store.close()
    return editions


@pytest.mark.siege
async def test_ten_kills_leave_every_document_whole_and_the_run_completes(folder: Path) -> None:
    store = await open_edge(folder)
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    for number in range(DOCUMENTS):
        await ingest(knowledge, number, edition="First")
    await store.close()

    chance = Random(SEED)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import pathlib, sys; from tests.tools.retrieval import test_crash;"
        "test_crash.fork_on_demand(pathlib.Path(sys.argv[1]))",
        str(folder),
        cwd=Path(__file__).parents[3],
        env={"PATH": os.defpath},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    killed = 0
    try:
        for kill in range(KILLS):
            process.stdin.write(f"Edition{kill}\n".encode())
            child, moments, reported = 0, chance.randint(1, 12), -1
            async with asyncio.timeout(PATIENCE):
                while (line := (await process.stdout.readline()).decode().split()) != ["ended"]:
                    assert line, "the process that forks has ended"
                    if line[0] == "process":
                        child = int(line[1])
                        continue
                    if line[0] == "done":
                        reported = int(line[1])
                    moments -= 1
                    if moments <= 0 and child:
                        os.kill(child, signal.SIGKILL)
                        killed += line != ["whole"]
                        child = 0
            editions = await check(folder, reported=reported)
            new = f"Edition{kill}"
            assert editions[: reported + 1] == [new] * (reported + 1)
            # One may have been shown and not yet reported.
            assert new not in editions[reported + 2 :]
    finally:
        process.kill()
        await process.communicate()
    assert killed == KILLS

    store = await open_edge(folder)
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    for number in range(DOCUMENTS):
        status = await ingest(knowledge, number, edition=new)
        assert status in (
            {Status.UNCHANGED} if number <= reported else {Status.UNCHANGED, Status.UPDATED}
        )
    again = {await ingest(knowledge, number, edition=new) for number in range(DOCUMENTS)}
    assert again == {Status.UNCHANGED}
    await store.close()
    assert await check(folder, reported=DOCUMENTS - 1) == [new] * DOCUMENTS
