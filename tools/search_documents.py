"""The tool that searches the run's documents."""

from __future__ import annotations

from pydantic import BaseModel, Field

from tools.retrieval.context import merge_neighbours
from tools.retrieval.documents import Hit
from tools.retrieval.errors import RetrievalError
from tools.retrieval.knowledge import Knowledge
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

# Measured: small models misread passages that are much longer than a chunk.
_LONGEST = 1_200


class SearchDocuments(BaseModel):
    """Arguments of ``search_documents``."""

    query: str = Field(
        min_length=1,
        max_length=200,
        description="What to look for: the key words and names of the question.",
    )


def search_documents(knowledge: Knowledge, *, limit: int = 5) -> Tool:
    """A tool over ``knowledge`` that gives at most ``limit`` numbered passages."""

    async def call(arguments: SearchDocuments, context: ToolContext) -> ToolResult:
        try:
            hits = await knowledge.search(
                arguments.query,
                tenant=context.tenant,
                collection=context.collection,
                limit=limit,
            )
            if not hits:
                empty = await knowledge.is_empty(
                    tenant=context.tenant, collection=context.collection
                )
                return ToolResult(content=_nothing(arguments.query, context, empty=empty))
        except RetrievalError as error:
            raise ToolError(f"The search failed: {error}") from error
        hits = merge_neighbours(hits, longest=_LONGEST)
        return ToolResult(
            content="\n\n".join(_numbered(number, hit) for number, hit in enumerate(hits, 1)),
            evidence=tuple(hit.to_json() for hit in hits),
        )

    return Tool(
        name="search_documents",
        description="Search the documents. Returns the passages that fit best, numbered.",
        parameters=SearchDocuments,
        effect=Effect.READS,
        call=call,
    )


def _numbered(number: int, hit: Hit) -> str:
    place = [hit.title]
    if hit.page is not None:
        place.append(f"page {hit.page}")
    heading = [part for part in hit.heading if part != hit.title]
    if heading:
        place.append(" > ".join(heading))
    return f"[{number}] {', '.join(place)}\n{hit.text}"


def _nothing(query: str, context: ToolContext, *, empty: bool) -> str:
    if empty:
        return f"There are no documents ingested in collection {context.collection!r}."
    return f"No passage in collection {context.collection!r} matches {query!r}."
