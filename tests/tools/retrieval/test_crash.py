"""A process killed while it ingests loses nothing that it had reported."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.tools.retrieval.conftest import EMBEDDER, open_edge
from tools.retrieval.knowledge import Status
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser

DOCUMENTS = 40


def text_of(number: int, *, edition: str) -> str:
    rules = "\n\n".join(f"## Rule {rule}\n\nEdition {edition}, item {rule}." for rule in range(60))
    return f"# Book {number}\n\n{rules}"


async def ingest(knowledge: LocalKnowledge, number: int, *, edition: str) -> Status:
    ingested = await knowledge.ingest_text(
        text_of(number, edition=edition), name=f"{number}.md", tenant="t", collection="c"
    )
    return ingested.status


async def ingest_until_killed(folder: Path) -> None:
    """What the killed process runs: a second edition of every document."""
    knowledge = LocalKnowledge(await open_edge(folder), embedder=EMBEDDER, parser=InlineParser())
    for number in range(DOCUMENTS):
        await ingest(knowledge, number, edition="second")
        print(number, flush=True)


async def test_a_killed_ingest_is_completed_by_repeating_it(folder: Path) -> None:
    store = await open_edge(folder)
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    for number in range(DOCUMENTS):
        await ingest(knowledge, number, edition="first")
    await store.close()

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, pathlib, sys; from tests.tools.retrieval import test_crash;"
        "asyncio.run(test_crash.ingest_until_killed(pathlib.Path(sys.argv[1])))",
        str(folder),
        cwd=Path(__file__).parents[3],
        env={"PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        for _ in range(5):
            reported = int(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    reported = int(rest.split()[-1]) if rest.split() else reported
    assert reported < DOCUMENTS - 1

    store = await open_edge(folder)
    knowledge = LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    for number in range(DOCUMENTS):
        found = [
            hit.text
            for hit in await knowledge.search(
                "edition",
                tenant="t",
                collection="c",
                limit=100,
                filters={"source": f"{number}.md"},
            )
        ]
        # Whole in one edition: never mixed, never missing, never twice.
        assert len(found) == 60
        assert len({text.split(",")[0] for text in found}) == 1
        if number <= reported:
            assert found[0].startswith("Edition second")
    statuses = [await ingest(knowledge, number, edition="second") for number in range(DOCUMENTS)]
    assert set(statuses[: reported + 1]) == {Status.UNCHANGED}
    assert statuses[-1] is Status.UPDATED
    assert await ingest(knowledge, DOCUMENTS - 1, edition="second") is Status.UNCHANGED
    await store.close()
