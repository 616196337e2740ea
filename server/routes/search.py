"""Search for people: the passages that fit a query, without any chat model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from server.adding import JsonFields
from server.auth import CallerDep
from server.routes.documents import PATH
from server.serving import House
from server.wire.chat import COLLECTION
from tools.retrieval.fusion import Fusion
from tools.retrieval.options import Mode, SearchOptions

router = APIRouter(tags=["documents"])

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class OptionsRequest(BaseModel):
    """How to search; what is absent is as in the settings."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode | None = Field(default=None, description="Which searches are asked.")
    fusion: Fusion | None = Field(default=None, description="How two lists become one.")
    weight: Share | None = Field(default=None, description="BM25's share of score fusion.")
    rrf_k: Annotated[int, Field(ge=1, le=1_000)] | None = None
    candidates: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None, description="Passages that come of each search."
    )
    complete: bool | None = Field(
        default=None, description="Whether what one search found gets the other's score too."
    )
    parts: bool | None = Field(
        default=None, description="Whether a question that asks several things is taken apart too."
    )
    rerank: bool | None = Field(default=None, description="`false`: without the reranker.")
    diversity: Share | None = Field(
        default=None, description="How much being unlike those before it counts for a passage."
    )
    per_document: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="So many passages of one document at most."
    )
    embed_seconds: Seconds | None = None
    rerank_seconds: Seconds | None = None

    def over(self, settings: SearchOptions) -> SearchOptions:
        """These options over the settings' ones."""
        return replace(settings, **self.model_dump(exclude_none=True))


class SearchRequest(BaseModel):
    """What to look for. ``filters``: metadata fields with a value, values, or bounds."""

    model_config = ConfigDict(extra="ignore")

    collection: str | None = Field(default=None, pattern=COLLECTION)
    query: str = Field(min_length=1, max_length=4_000)
    limit: int = Field(default=8, ge=1, le=100)
    filters: JsonFields | None = None
    options: OptionsRequest | None = None
    explain: bool = Field(default=False, description="Tell the stages of the search too.")


@router.post(PATH + "/search")
async def search(asked: SearchRequest, house: House, caller: CallerDep) -> dict[str, Any]:
    """The passages that fit a query best, best first, with the scores of each stage."""
    usual = house.settings.asked_options()
    options = usual if asked.options is None else asked.options.over(usual)
    found = await house.knowledge.find(
        asked.query,
        tenant=caller.tenant,
        collection=asked.collection or house.settings.collection,
        limit=asked.limit,
        filters=asked.filters,
        options=options,
    )
    answer: dict[str, Any] = {"hits": [hit.to_json() for hit in found.hits]}
    if asked.explain:
        answer["explain"] = {
            "stages": [stage.to_json() for stage in found.stages],
            "ms": round(sum(stage.ms for stage in found.stages), 2),
        }
    return answer
