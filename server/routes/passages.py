"""One document: what is known of it, its passages in their context, another name for it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from server.adding import FOLDER, Printable, told_of
from server.artifacts import readable
from server.auth import CallerDep
from server.errors import Fault, Invalid, NotFound
from server.routes.documents import PATH, Collection, described
from server.serving import House
from server.source_names import LONGEST_NAME, file_name
from server.wire.messages import storable
from server.wire.shapes import told
from tools.retrieval.documents import Chunk
from tools.retrieval.knowledge import Passages, Place

MOST_NEIGHBOURS = 1_000

router = APIRouter(tags=["documents"])

Neighbours = Annotated[int, Query(ge=0, le=MOST_NEIGHBOURS)]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000)]


class NeedsReading(Fault):
    """A document that cannot be had under another name as it is."""

    status = 409


class MoveRequest(BaseModel):
    """Another name for a file that was ingested."""

    model_config = ConfigDict(extra="ignore")

    source: Printable = Field(max_length=LONGEST_NAME)
    folder: Annotated[str, Field(pattern=FOLDER)] | None = None


@router.get(PATH + "/{document_id:path}/passages")
async def passages(
    document_id: str,
    house: House,
    caller: CallerDep,
    collection: Collection = None,
    chunk_id: Annotated[
        str | None, Query(max_length=1_024, description="This passage, as a hit names it.")
    ] = None,
    start: Annotated[
        int | None,
        Query(ge=0, le=1_000_000_000, description="What touches the text from this character on."),
    ] = None,
    end: Annotated[
        int | None,
        Query(ge=0, le=1_000_000_000, description="What touches the text before this character."),
    ] = None,
    page: Annotated[
        int | None, Query(ge=1, le=1_000_000_000, description="What stands on this page.")
    ] = None,
    before: Annotated[Neighbours, Query(description="Passages before the place.")] = 0,
    after: Annotated[Neighbours, Query(description="Passages after the place.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 50,
    offset: Offset = 0,
) -> dict[str, Any]:
    """The passages at a place of a document, with their neighbours; with no place, all."""
    if (start is None) != (end is None):
        raise Invalid("start, end: one stands without the other; give both", param="start")
    if start is not None and end is not None and end <= start:
        raise Invalid("end: comes before start; give start < end", param="end")
    collection = collection or readable.collection_of(document_id) or house.settings.collection
    found = await house.knowledge.passages(
        storable(document_id),
        tenant=caller.tenant,
        collection=collection,
        place=Place(
            chunk_id=None if chunk_id is None else storable(chunk_id),
            span=None if start is None or end is None else (start, end),
            page=page,
        ),
        before=before,
        after=after,
        limit=limit,
        offset=offset,
    )
    if found is None:
        raise _missing(document_id, collection)
    return {
        "document": described(found.document),
        "total": found.total,
        "items": [_passage(one, found) for one in found.items],
    }


@router.get(PATH + "/{document_id:path}")
async def document(
    document_id: str, house: House, caller: CallerDep, collection: Collection = None
) -> dict[str, Any]:
    """What is known of a document: its source, pages, passages, metadata, and when it came."""
    collection = collection or readable.collection_of(document_id) or house.settings.collection
    found = await house.knowledge.document(
        storable(document_id), tenant=caller.tenant, collection=collection
    )
    if found is None:
        raise _missing(document_id, collection)
    return described(found)


@router.patch(PATH + "/{document_id:path}", responses=told(409))
async def move(
    document_id: str,
    asked: MoveRequest,
    house: House,
    caller: CallerDep,
    collection: Collection = None,
) -> dict[str, Any]:
    """Give a file another name, without reading it again; its id follows from its name.

    409 where it has to be read: send it under the new name, and delete the old one.
    """
    collection = collection or house.settings.collection
    name = file_name(asked.source)
    if not name:
        raise Invalid("source: is no name of a file; give one such as a/b.md", param="source")
    where = {"tenant": caller.tenant, "collection": collection}
    done = await house.knowledge.move(
        storable(document_id), name=name, folder=asked.folder, **where
    )
    if done is not None:
        return told_of(done, name=name)
    if await house.knowledge.document(storable(document_id), **where) is None:
        raise _missing(document_id, collection)
    raise NeedsReading(
        f"source: {name} needs the document to be read again; send it to POST /documents, and "
        "delete this one"
    )


def _missing(document_id: str, collection: str) -> NotFound:
    return NotFound(
        f"no document {storable(document_id)[:100]!r} in collection {collection}; "
        "GET /documents lists them"
    )


def _passage(chunk: Chunk, found: Passages) -> dict[str, Any]:
    return {
        "chunk_id": chunk.chunk_id,
        "index": chunk.index,
        "text": chunk.text,
        "heading": list(chunk.heading),
        "page": chunk.page,
        "span": list(chunk.span),
        "context": chunk.context,
        "matched": chunk.chunk_id in found.matched,
    }
