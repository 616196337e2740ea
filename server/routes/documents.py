"""Documents: add, list, delete. A document that cannot be read does not stop the others."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from starlette.responses import Response

from server import adding, body, web_tools
from server.auth import CallerDep
from server.errors import NotFound
from server.serving import House
from server.wire.chat import COLLECTION
from server.wire.messages import storable
from tools.retrieval.documents import DocumentVersion

PATH = "/documents"

router = APIRouter(tags=["documents"])

Collection = Annotated[str | None, Query(pattern=COLLECTION)]


class AddRequest(BaseModel):
    """Documents to make searchable."""

    model_config = ConfigDict(extra="ignore")

    collection: str | None = Field(default=None, pattern=COLLECTION)
    documents: list[adding.GivenDocument] = Field(min_length=1, max_length=adding.MAX_FILES)


_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            body.JSON: {"schema": {"$ref": "#/components/schemas/AddRequest"}},
            body.FILES: {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "collection": {"type": "string", "pattern": COLLECTION},
                        "folder": {"type": "string", "maxLength": 1_024},
                        "id": {"type": "string", "maxLength": 512},
                        "title": {"type": "string", "maxLength": 1_024},
                        "metadata": {"type": "string", "contentMediaType": body.JSON},
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                    },
                }
            },
        },
    }
}


@router.post(PATH, openapi_extra=_BODIES)
async def add(request: Request, house: House, caller: CallerDep) -> dict[str, Any]:
    """Make documents searchable: texts as JSON, or files. The same again is `unchanged`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == body.FILES:
        return await adding.files(request, house, tenant=caller.tenant)
    try:
        asked = AddRequest.model_validate_json(await request.body())
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(told) from None
    collection = asked.collection or house.settings.collection
    async with AsyncExitStack() as stack:
        fetcher = None
        if any(one.is_page for one in asked.documents):
            fetcher = await stack.enter_async_context(web_tools.fetcher(house.settings))
        work = [
            adding.given(one, house, tenant=caller.tenant, collection=collection, fetcher=fetcher)
            for one in asked.documents
        ]
        names = [one.id or one.url or one.name for one in asked.documents]
        return {"collection": collection, "results": await adding.together(work, names=names)}


@router.get(PATH)
async def documents(
    house: House,
    caller: CallerDep,
    collection: Collection = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    folder: Annotated[
        str | None, Query(pattern=adding.FOLDER, description="Only files of this followed folder.")
    ] = None,
) -> dict[str, Any]:
    """The documents of a collection."""
    collection = collection or house.settings.collection
    items, total = [], 0
    async for version in house.knowledge.documents(tenant=caller.tenant, collection=collection):
        if folder is not None and version.folder != folder:
            continue
        if offset <= total < offset + limit:
            items.append(described(version))
        total += 1
    return {"collection": collection, "items": items, "total": total}


@router.delete(PATH + "/{document_id:path}", status_code=204)
async def delete(
    document_id: str, house: House, caller: CallerDep, collection: Collection = None
) -> Response:
    """Forget a document."""
    collection = collection or house.settings.collection
    found = await house.knowledge.delete(
        storable(document_id), tenant=caller.tenant, collection=collection
    )
    if not found:
        raise NotFound(
            f"no document {storable(document_id)[:100]!r} in collection {collection}; "
            "GET /documents lists them"
        )
    return Response(status_code=204)


def described(version: DocumentVersion) -> dict[str, Any]:
    """What is known of a document, as it is told."""
    return {
        "document_id": version.document_id,
        "title": version.title,
        "source": version.source,
        "sha256": version.sha256,
        "media_type": version.media_type,
        "pages": version.pages,
        "chunks": version.chunks,
        "ingested_at": version.ingested_at,
        "metadata": dict(version.metadata),
        "content": version.content,
        "folder": version.folder,
        "lacking": version.lacking,
    }
