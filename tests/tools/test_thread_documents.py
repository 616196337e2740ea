"""What a thread's user gave to read is found in that thread, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.embedder import HashedEmbedder
from tools import thread_documents
from tools.read_document import READING, ReadDocument, read_document
from tools.retrieval.documents import Hit, Parsed, Scores
from tools.retrieval.errors import ParseTimeout
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore
from tools.retrieval.sniff import Format
from tools.search_documents import RETRIEVAL, SearchDocuments, search_documents
from tools.thread_documents import ThreadDocuments, collection_of, is_readable, joined
from tools.tool import ToolContext, ToolResult
from tools.uploads import MemoryUploads

CONTRACT = b"# Notice\n\nEither side may end the contract with a notice of 77 days."
GIVEN = {
    ("acme", "one"): {"contract.md": CONTRACT, "sales.csv": b"a,b\n1,2\n"},
    ("acme", "two"): {"scan.pdf": b"%PDF-1.7 cut off"},
    ("acme", "three"): {"sales.csv": b"a,b\n1,2\n"},
}


def here(thread: str = "one", *, tenant: str = "acme") -> ToolContext:
    return ToolContext(tenant=tenant, collection="hr", run_id="r", call_id="c", thread_id=thread)


@pytest.fixture
async def knowledge() -> AsyncIterator[LocalKnowledge]:
    embedder = HashedEmbedder(dimension=64)
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    knowledge = LocalKnowledge(store, embedder=embedder, parser=InlineParser())
    text = "# Holiday\n\nEveryone has 30 days of holiday."
    await knowledge.ingest_text(text, name="hr.md", tenant="acme", collection="hr")
    yield knowledge
    await store.close()


async def search(knowledge: LocalKnowledge, context: ToolContext, query: str) -> ToolResult:
    given = ThreadDocuments(knowledge, MemoryUploads(GIVEN))
    tool = search_documents(knowledge, given=given)
    return await tool.call(SearchDocuments(query=query), context)


def sources(result: ToolResult) -> list[str]:
    return [one["source"] for one in result.evidence]


async def test_a_document_of_the_thread_is_found_beside_the_collection(
    knowledge: LocalKnowledge,
) -> None:
    result = await search(knowledge, here(), "notice of the contract")
    assert sources(result)[0] == "contract.md"
    assert "77 days" in result.content
    assert "hr.md" in sources(await search(knowledge, here(), "days of holiday"))


@pytest.mark.parametrize(
    "context", [here("three"), here("two"), here(""), here("one", tenant="other")]
)
async def test_no_other_thread_and_no_other_tenant_finds_it(
    knowledge: LocalKnowledge, context: ToolContext
) -> None:
    await search(knowledge, here(), "notice of the contract")
    assert "contract.md" not in sources(await search(knowledge, context, "notice of the contract"))


async def test_it_is_read_once_and_tables_are_not_read(knowledge: LocalKnowledge) -> None:
    await search(knowledge, here(), "notice")
    where = {"tenant": "acme", "collection": collection_of("one")}
    [first] = [one async for one in knowledge.documents(**where)]
    await search(knowledge, here(), "notice again")
    [second] = [one async for one in knowledge.documents(**where)]
    assert first == second
    assert first.source == "contract.md"


async def test_what_cannot_be_read_is_told_with_its_reason(knowledge: LocalKnowledge) -> None:
    result = await search(knowledge, here("two"), "days of holiday")
    assert result.evidence
    [why] = result.data[RETRIEVAL]["unread"]
    assert why.startswith("scan.pdf: ")
    assert f"[a file of the user's could not be read: {why}]" in result.content


class BusyOnce:
    """Is out of time with the first document."""

    def __init__(self) -> None:
        self.asked = 0

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        self.asked += 1
        if self.asked == 1:
            raise ParseTimeout(f"{name}: not read within 60 s; split it")
        return await InlineParser().parse(data, name=name, format=format)


async def test_what_a_busy_machine_could_not_read_is_read_some_minutes_later() -> None:
    embedder, parser, now = HashedEmbedder(dimension=64), BusyOnce(), 0.0
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    knowledge = LocalKnowledge(store, embedder=embedder, parser=parser)
    given = ThreadDocuments(knowledge, MemoryUploads(GIVEN), clock=lambda: now)
    tool = search_documents(knowledge, given=given)

    async def asked() -> ToolResult:
        return await tool.call(SearchDocuments(query="notice of the contract"), here())

    first = await asked()
    assert first.data[RETRIEVAL]["unread"] == ["contract.md: not read within 60 s; split it"]
    now = 60.0
    assert (await asked()).content == first.content
    assert parser.asked == 1
    now = 301.0
    assert sources(await asked()) == ["contract.md"]
    await store.close()


@pytest.mark.parametrize(
    "request_", ["Summarize what is attached", "Summarize the contract", "Sum up this document"]
)
async def test_a_document_of_the_thread_is_read_in_order(
    knowledge: LocalKnowledge, request_: str
) -> None:
    tool = read_document(knowledge, given=ThreadDocuments(knowledge, MemoryUploads(GIVEN)))
    result = await tool.call(ReadDocument(document=request_), here())
    assert sources(result) == ["contract.md"]
    again = ReadDocument(document=result.data[READING]["document_id"])
    assert (await tool.call(again, here())).evidence == result.evidence


async def test_a_document_of_the_collection_is_read_though_the_thread_has_one(
    knowledge: LocalKnowledge,
) -> None:
    tool = read_document(knowledge, given=ThreadDocuments(knowledge, MemoryUploads(GIVEN)))
    result = await tool.call(ReadDocument(document="Summarize the holiday page hr.md"), here())
    assert sources(result) == ["hr.md"]


async def test_dropped_it_is_not_found_any_more(knowledge: LocalKnowledge) -> None:
    await search(knowledge, here(), "notice")
    await thread_documents.drop(knowledge, tenant="other", thread_id="one")
    assert not await knowledge.is_empty(tenant="acme", collection=collection_of("one"))
    for _ in range(2):
        await thread_documents.drop(knowledge, tenant="acme", thread_id="one")
    assert await knowledge.is_empty(tenant="acme", collection=collection_of("one"))
    assert not await knowledge.is_empty(tenant="acme", collection="hr")


def test_names_tell_what_is_read() -> None:
    assert is_readable("Contract.PDF")
    assert not is_readable("sales.xlsx")
    assert not is_readable("pdf")


def test_every_thread_has_a_collection_of_its_own_that_can_be_named() -> None:
    assert collection_of("3f1c").startswith("thread.3f1c")
    names = {collection_of(one) for one in ("a/b", "a:b", "ü" * 300, "x" * 58)}
    assert len(names) == 4
    assert all(len(name) <= 64 and "/" not in name for name in names)


def hit(name: str, dense: float | None) -> Hit:
    return Hit(
        document_id=name,
        chunk_id=name,
        title=name,
        source=name,
        text=name,
        page=None,
        heading=(),
        span=(0, 1),
        scores=Scores(bm25=1.0, dense=dense, fused=1.0, rerank=None),
    )


def test_two_lists_are_joined_by_nearness_and_each_keeps_its_order() -> None:
    theirs = [hit("t1", 0.5), hit("t2", 0.9)]
    others = [hit("o1", 0.7), hit("o2", None), hit("o3", 0.8)]
    joined_ = [one.source for one in joined(theirs, others, limit=4)]
    assert joined_ == ["o1", "t1", "t2", "o2"]
    assert [one.source for one in joined([], others, limit=2)] == ["o1", "o2"]
