"""The tool that searches the run's documents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from tools.retrieval.context import merge_neighbours
from tools.retrieval.documents import Hit
from tools.retrieval.errors import RetrievalError
from tools.retrieval.fields import CollectionFields, Fields, described, filters_of, known_filters
from tools.retrieval.knowledge import Knowledge
from tools.retrieval.options import Found
from tools.thread_documents import Given, ThreadDocuments, joined
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

RETRIEVAL = "retrieval"
"""Key in ``ToolResult.data``: what was looked for within which filters, and how it went."""

# Measured: small models misread passages that are much longer than a chunk.
_LONGEST = 1_200


class Filter(BaseModel):
    """One condition: a field of the documents' metadata, and the value that it has to have."""

    field: str = Field(min_length=1, max_length=80)
    value: str = Field(min_length=1, max_length=80)


class SearchDocuments(BaseModel):
    """Arguments of ``search_documents``."""

    query: str = Field(
        min_length=1,
        max_length=200,
        description="What to look for: the key words and names of the question.",
    )
    filters: list[Filter] = Field(
        default_factory=list,
        max_length=3,
        description="Only documents with these field values, where the fields are known.",
    )


def search_documents(
    knowledge: Knowledge, *, limit: int = 5, given: ThreadDocuments | None = None
) -> Tool:
    """A tool over ``knowledge`` that gives at most ``limit`` numbered passages, of what the
    thread's user has ``given`` as well.

    Filters are those that the model asks for, else those that the query names; only what the
    collection has. Where nothing is found within them, they are left out.
    """
    collections = CollectionFields(knowledge)

    async def call(arguments: SearchDocuments, context: ToolContext) -> ToolResult:
        async def search(
            filters: Mapping[str, Any] | None = None, *, collection: str = context.collection
        ) -> Found:
            return await knowledge.find(
                arguments.query,
                tenant=context.tenant,
                collection=collection,
                limit=limit,
                filters=filters,
            )

        async def theirs() -> tuple[Given, Found]:
            if given is None:
                return Given(), Found(hits=[])
            ready = await given.ready(tenant=context.tenant, thread_id=context.thread_id)
            if not ready.collection:
                return ready, Found(hits=[])
            return ready, await search(collection=ready.collection)

        try:
            # Side by side, so that a question that names no field waits for nothing.
            found, fields, (ready, own) = await asyncio.gather(
                search(),
                collections.of(tenant=context.tenant, collection=context.collection),
                theirs(),
            )
            filters, ignored = _filters(arguments, fields)
            within = await search(filters) if filters else Found(hits=[])
            taken = within if within.hits else found
            hits = joined(own.hits, taken.hits, limit=limit)
            empty = not hits and await knowledge.is_empty(
                tenant=context.tenant, collection=context.collection
            )
        except RetrievalError as error:
            raise ToolError(f"The search failed: {error}") from error
        told: dict[str, Any] = {
            "query": arguments.query,
            "filters": filters,
            "ignored": ignored,
            "relaxed": bool(filters) and not within.hits,
            "unread": list(ready.unread),
            "fields": described(fields),
            "empty": empty,
            "stages": [stage.to_json() for stage in taken.stages],
        }
        if not hits:
            return ToolResult(
                content=_nothing(arguments.query, context, empty=empty) + _unread(ready),
                data={RETRIEVAL: told},
            )
        merged = merge_neighbours(hits, longest=_LONGEST)
        return ToolResult(
            content="\n\n".join(_numbered(number, hit) for number, hit in enumerate(merged, 1))
            + _unread(ready),
            evidence=tuple(hit.to_json() for hit in merged),
            data={RETRIEVAL: told},
        )

    return Tool(
        name="search_documents",
        description="Search the documents. Returns the passages that fit best, numbered.",
        parameters=SearchDocuments,
        effect=Effect.READS,
        call=call,
    )


def _filters(arguments: SearchDocuments, fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """What to filter by, and which fields of the model's were ignored."""
    if arguments.filters:
        return known_filters({one.field: one.value for one in arguments.filters}, fields)
    return filters_of(arguments.query, fields), []


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


def _unread(given: Given) -> str:
    return "".join(f"\n\n[a file of the user's could not be read: {one}]" for one in given.unread)
