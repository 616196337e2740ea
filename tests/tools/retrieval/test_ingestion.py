"""What an ingest asks of the embedder: only what is new, however a document came to change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from models.embedder import HashedEmbedder, Vectors
from tests.tools.retrieval.conftest import EMBEDDER
from tests.tools.retrieval.test_knowledge import CountingParser
from tools.retrieval.documents import DocumentVersion
from tools.retrieval.embedding import SharedEmbedding
from tools.retrieval.knowledge import Ingested, Place, Status
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.situating import ScriptedSituating
from tools.retrieval.store import PassageStore

HERE: dict[str, Any] = {"tenant": "acme", "collection": "hr"}


class CountingEmbedder(HashedEmbedder):
    """Notes every text that it is asked for, and may be made to fail or to wait."""

    def __init__(self) -> None:
        super().__init__(dimension=EMBEDDER.dimension)
        self.asked: list[str] = []
        self.batches: list[int] = []
        self.fails_after: int | None = None
        self.begun = asyncio.Event()

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        await asyncio.sleep(0)
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise RuntimeError("the embedder is gone")
        self.asked += texts
        self.batches.append(len(texts))
        self.begun.set()
        return await super().embed_documents(texts)

    def taken(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def counted(store: PassageStore, embedder: CountingEmbedder) -> LocalKnowledge:
    return LocalKnowledge(store, embedder=embedder, parser=InlineParser())


def book(*rules: str) -> bytes:
    parts = [f"## Rule {number}\n\n{rule}" for number, rule in enumerate(rules)]
    return "\n\n".join(["# Book", *parts]).encode()


async def put(knowledge: LocalKnowledge, data: bytes, *, name: str = "book.md") -> Ingested:
    return await knowledge.ingest(data, name=name, **HERE)


async def texts(knowledge: LocalKnowledge, document_id: str) -> list[str]:
    found = await knowledge.passages(document_id, limit=10_000, **HERE)
    assert found is not None
    assert found.total == len(found.items) == found.document.chunks
    return [one.text for one in found.items]


async def documents(knowledge: LocalKnowledge) -> list[DocumentVersion]:
    return [one async for one in knowledge.documents(**HERE)]


async def test_a_changed_page_embeds_only_its_changed_passages(
    counted: LocalKnowledge, embedder: CountingEmbedder
) -> None:
    rules = [f"Rule of {number} things." for number in range(20)]
    await put(counted, book(*rules))
    assert len(embedder.taken()) == 20
    before = await counted.passages((await documents(counted))[0].document_id, **HERE)
    rules[7] = "Quite another rule."
    changed = await put(counted, book(*rules))
    assert changed.status is Status.UPDATED
    assert embedder.taken() == ["Book > Rule 7\nQuite another rule."]
    assert await texts(counted, changed.document_id) == rules
    after = await counted.passages(changed.document_id, **HERE)
    assert before is not None
    assert after is not None
    ids = [{one.chunk_id for one in found.items} for found in (before, after)]
    assert len(ids[0] & ids[1]) == 19
    # The vectors that were kept find as new ones do.
    [hit, *_] = await counted.search("rule of 13 things", **HERE)
    assert hit.text == "Rule of 13 things."


async def test_a_passage_that_comes_twice_is_embedded_once(
    counted: LocalKnowledge, embedder: CountingEmbedder
) -> None:
    done = await put(counted, b"# A\n\nSame.\n\n# B\n\nOther.\n\n# A\n\nSame.")
    assert done.chunks == 3
    assert len(embedder.asked) == 2


async def test_a_renamed_file_is_neither_read_nor_embedded_again(
    store: PassageStore, embedder: CountingEmbedder
) -> None:
    parser = CountingParser()
    knowledge = LocalKnowledge(store, embedder=embedder, parser=parser)
    old = await put(knowledge, book("One.", "Two."), name="hr/old.md")
    plain = await put(knowledge, b"Plain words.", name="hr/plain.txt")
    embedder.taken()
    moved = await knowledge.move(old.document_id, name="hr/new.md", folder="h:/hr", **HERE)
    assert moved is not None
    assert (moved.status, moved.chunks, moved.title) == (Status.MOVED, 2, "Book")
    renamed = await knowledge.move(plain.document_id, name="hr/2/words.txt", **HERE)
    assert renamed is not None
    assert renamed.title == "hr/2/words.txt"
    assert (embedder.taken(), parser.calls) == ([], 2)
    found = {one.source: one for one in await documents(knowledge)}
    assert set(found) == {"hr/new.md", "hr/2/words.txt"}
    assert found["hr/new.md"].folder == "h:/hr"
    assert await texts(knowledge, moved.document_id) == ["One.", "Two."]
    passages = await knowledge.passages(moved.document_id, **HERE)
    assert passages is not None
    assert all(one.chunk_id.startswith(f"{moved.document_id}#") for one in passages.items)
    [hit] = await knowledge.search("plain words", limit=1, **HERE)
    assert hit.source == "hr/2/words.txt"
    # As if it had always been called so.
    assert (await put(knowledge, book("One.", "Two."), name="hr/new.md")).status is Status.UNCHANGED


async def test_what_cannot_be_renamed_is_left_alone(counted: LocalKnowledge) -> None:
    done = await put(counted, b"Plain words.", name="a.txt")
    text = await counted.ingest_text("Text.", name="text", document_id="t", title="T", **HERE)
    taken = await put(counted, b"Other words.", name="b.txt")
    for document_id, name in (
        (done.document_id, "a.md"),
        (done.document_id, "b.txt"),
        (done.document_id, "a.txt"),
        (text.document_id, "text 2"),
        ("nothing", "c.txt"),
    ):
        assert await counted.move(document_id, name=name, **HERE) is None
    sources = {one.source for one in await documents(counted)}
    assert sources == {"a.txt", "text", "b.txt"}
    other = {"tenant": "other", "collection": "hr"}
    assert await counted.move(taken.document_id, name="c.txt", **other) is None


async def test_an_ingest_that_failed_goes_on_where_it_was(
    counted: LocalKnowledge, embedder: CountingEmbedder
) -> None:
    rules = [f"Rule of {number} things." for number in range(600)]
    await put(counted, book("The first edition."))
    embedder.taken()
    embedder.fails_after = 256
    with pytest.raises(RuntimeError, match="gone"):
        await put(counted, book(*rules))
    done = len(embedder.taken())
    assert done >= 256
    [hit] = await counted.search("edition", **HERE)
    assert hit.text == "The first edition."
    embedder.fails_after = None
    whole = await put(counted, book(*rules))
    # Those of the batch that was not written yet are asked for again.
    assert len(embedder.taken()) <= 600 - 256
    assert await texts(counted, whole.document_id) == rules
    assert not [one for one in await counted.search("edition", **HERE) if "edition" in one.text]


async def test_the_folder_is_kept_and_may_come_later(
    counted: LocalKnowledge, embedder: CountingEmbedder
) -> None:
    await put(counted, b"Words.", name="a.txt")
    assert (await documents(counted))[0].folder is None
    embedder.taken()
    again = await counted.ingest(b"Words.", name="a.txt", folder="h:/hr", **HERE)
    assert (again.status, embedder.taken()) == (Status.UNCHANGED, [])
    await put(counted, b"Words.", name="a.txt")
    await put(counted, b"Words, more.", name="a.txt")
    [version] = await documents(counted)
    assert version.folder == "h:/hr"
    assert len(version.content) == 64


async def test_who_wants_little_waits_for_the_batch_in_hand_and_its_own_alone() -> None:
    embedder = CountingEmbedder()
    shared = SharedEmbedding(embedder, batch=8)
    order: list[str] = []
    before: dict[str, int] = {}

    async def embed(name: str, count: int) -> None:
        texts = [f"{name} {number}" for number in range(count)]
        before[name] = len(embedder.asked)
        for text, vector in zip(texts, await shared.embed(texts), strict=True):
            assert vector == pytest.approx((await EMBEDDER.embed_query(text)).tolist())
        order.append(name)

    large = [asyncio.create_task(embed(f"large {number}", 64)) for number in range(3)]
    await embedder.begun.wait()
    await asyncio.gather(embed("small", 2), *large)
    # One batch may have been in hand.
    assert embedder.asked.index("small 1") < before["small"] + 2 * 8
    assert order[0] == "small"
    assert len(embedder.asked) == len(set(embedder.asked)) == 3 * 64 + 2
    assert len(embedder.batches) == 25


async def test_a_caller_that_is_cancelled_or_fails_leaves_the_others_theirs() -> None:
    embedder = CountingEmbedder()
    shared = SharedEmbedding(embedder, batch=2)
    tasks = [asyncio.create_task(shared.embed([f"text {number}"] * 2)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True, False]
    assert "text 2" not in embedder.asked
    embedder.fails_after = 0
    with pytest.raises(RuntimeError, match="gone"):
        await shared.embed(["x"])
    embedder.fails_after = None
    assert len(await shared.embed(["y"])) == 1


async def test_a_context_is_searched_and_cached_and_a_failure_leaves_the_plain_passage(
    store: PassageStore, embedder: CountingEmbedder
) -> None:
    situating = ScriptedSituating({"things": "From the chapter on things of the house."})
    knowledge = LocalKnowledge(store, embedder=embedder, parser=InlineParser(), situating=situating)
    data = book("Rule of things.", "Rule of nothing.")
    done = await put(knowledge, data)
    assert [await texts(knowledge, done.document_id)] == [["Rule of things.", "Rule of nothing."]]
    [hit, *_] = await knowledge.search("chapter of the house", **HERE)
    assert hit.text == "Rule of things."
    assert sorted(embedder.taken())[0].startswith("Book > Rule 0\nFrom the chapter")
    assert len(situating.asked) == 2

    # What is lacking is made up for, and nothing is asked for twice.
    situating.contexts["nothing"] = "On what is not there."
    again = await put(knowledge, data)
    assert again.status is Status.UPDATED
    assert situating.asked[2:] == ["Rule of nothing."]
    assert embedder.taken() == ["Book > Rule 1\nOn what is not there.\nRule of nothing."]
    assert (await put(knowledge, data)).status is Status.UNCHANGED
    await put(knowledge, book("Rule of things.", "Rule of nothing.", "New things."))
    assert situating.asked[3:] == ["New things."]
    passages = await knowledge.passages(done.document_id, place=Place(page=None), **HERE)
    assert passages is not None
    assert [bool(one.context) for one in passages.items] == [True, True, True]
