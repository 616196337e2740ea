"""The tool that searches the run's documents."""

from __future__ import annotations

import jsonschema
import pytest

from models.embedder import HashedEmbedder
from tools.retrieval.errors import StoreError
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import Found
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore
from tools.search_documents import SearchDocuments, search_documents
from tools.tool import ToolContext, ToolError, ToolResult

HERE = ToolContext(tenant="acme", collection="hr", run_id="r", call_id="c")


async def opened() -> tuple[LocalKnowledge, ServerStore]:
    embedder = HashedEmbedder(dimension=64)
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    return LocalKnowledge(store, embedder=embedder, parser=InlineParser()), store


async def ask(knowledge: LocalKnowledge, query: str, *, context: ToolContext = HERE) -> ToolResult:
    return await search_documents(knowledge).call(SearchDocuments(query=query), context)


async def test_passages_are_numbered_as_the_evidence_is_ordered() -> None:
    knowledge, store = await opened()
    text = "# Holiday\n\nEveryone has 30 days.\n\n# Canteen\n\nIt opens at noon."
    await knowledge.ingest_text(text, name="hr.md", title="HR", tenant="acme", collection="hr")
    result = await ask(knowledge, "days of holiday")
    assert result.ok
    assert result.content.startswith("[1] HR, Holiday\nEveryone has 30 days.")
    assert [one["text"] for one in result.evidence] == [
        part.split("\n", 1)[1] for part in result.content.split("\n\n")
    ]
    assert result.evidence[0]["source"] == "hr.md"
    await store.close()


async def test_an_empty_collection_says_so() -> None:
    knowledge, store = await opened()
    result = await ask(knowledge, "holiday")
    assert result.content == "There are no documents ingested in collection 'hr'."
    assert result.evidence == ()
    await store.close()


async def test_another_tenants_documents_are_not_found() -> None:
    knowledge, store = await opened()
    await knowledge.ingest_text("30 days.", name="hr.md", tenant="other", collection="hr")
    assert "no documents ingested" in (await ask(knowledge, "days")).content
    await store.close()


async def test_a_failing_store_is_told_to_the_model() -> None:
    class Broken(LocalKnowledge):
        async def find(self, *_: object, **__: object) -> Found:
            raise StoreError("http://q: Qdrant does not answer")

    _, store = await opened()
    broken = Broken(store, embedder=HashedEmbedder(dimension=64), parser=InlineParser())
    with pytest.raises(ToolError, match="The search failed: http://q: Qdrant does not answer"):
        await ask(broken, "days")
    await store.close()


def test_the_schema_bounds_the_query() -> None:
    parameters = SearchDocuments.model_json_schema()
    jsonschema.validate({"query": "x"}, parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"query": "x" * 201}, parameters)
