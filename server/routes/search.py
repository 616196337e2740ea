"""Search for people: the passages that fit a query, without any model."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from server.auth import CallerDep
from server.routes.documents import PATH, JsonFields
from server.serving import House
from server.wire.chat import COLLECTION

router = APIRouter(tags=["documents"])


class SearchRequest(BaseModel):
    """What to look for. ``filters``: metadata fields with a value, values, or bounds."""

    model_config = ConfigDict(extra="ignore")

    collection: str | None = Field(default=None, pattern=COLLECTION)
    query: str = Field(min_length=1, max_length=4_000)
    limit: int = Field(default=8, ge=1, le=100)
    filters: JsonFields | None = None


@router.post(PATH + "/search")
async def search(asked: SearchRequest, house: House, caller: CallerDep) -> dict[str, Any]:
    """The passages that fit a query best, best first."""
    hits = await house.knowledge.search(
        asked.query,
        tenant=caller.tenant,
        collection=asked.collection or house.settings.collection,
        limit=asked.limit,
        filters=asked.filters,
    )
    return {"hits": [hit.to_json() for hit in hits]}
