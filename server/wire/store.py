"""LangGraph's wire for the long-term store: bodies that come in, and Item. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from langgraph.store.base import Item, SearchItem
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from server.wire.json_fields import JsonObject
from server.wire.messages import storable

DEEPEST = 32
LONGEST_LABEL = 256
LONGEST_KEY = 1024
MOST = 1_000
_TEN_YEARS = 10 * 366 * 24 * 60
ANY = "*"


def _label(value: str) -> str:
    """A part of a namespace. Raises ValueError."""
    if "." in value:
        raise ValueError("may not hold a full stop, which stands between parts in a URL")
    if any(ord(one) < 0x20 for one in value):
        raise ValueError("may not hold control characters")
    return storable(value)


def _not_ours(value: list[str]) -> list[str]:
    if value[0] == "langgraph":
        raise ValueError("may not begin with 'langgraph', which the library keeps for itself")
    return value


Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL), AfterValidator(_label)]
Namespace = Annotated[
    list[Label], Field(min_length=1, max_length=DEEPEST), AfterValidator(_not_ours)
]
Prefix = Annotated[list[Label], Field(max_length=DEEPEST)]
Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY), AfterValidator(storable)]
Offset = Annotated[int, Field(ge=0, le=2**53)]


class ItemKey(BaseModel):
    """Which item is meant."""

    model_config = ConfigDict(extra="ignore")

    namespace: Namespace
    key: Key


class ItemPut(ItemKey):
    """An item that is to be there. ``ttl`` is in minutes, ``index`` the fields to search by."""

    value: JsonObject
    index: Literal[False] | list[Annotated[str, Field(max_length=LONGEST_KEY)]] | None = None
    ttl: float | None = Field(default=None, gt=0, le=_TEN_YEARS)


class ItemSearch(BaseModel):
    """A page of the items below a namespace."""

    model_config = ConfigDict(extra="ignore")

    namespace_prefix: Prefix = Field(default_factory=list)
    filter: JsonObject | None = None
    limit: int = Field(default=10, ge=1, le=MOST)
    offset: Offset = 0
    query: str | None = Field(default=None, max_length=10_000)
    refresh_ttl: bool | None = None


class NamespaceSearch(BaseModel):
    """A page of the namespaces that begin and end so; ``*`` stands for any part."""

    model_config = ConfigDict(extra="ignore")

    prefix: Prefix | None = None
    suffix: Prefix | None = None
    max_depth: int | None = Field(default=None, ge=1, le=DEEPEST)
    limit: int = Field(default=100, ge=1, le=MOST)
    offset: Offset = 0


def item(found: Item) -> dict[str, Any]:
    """An Item; one that was searched for by likeness has a ``score``."""
    told = {
        "namespace": list(found.namespace),
        "key": found.key,
        "value": found.value,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
    }
    return {**told, "score": found.score} if isinstance(found, SearchItem) else told


def namespaces(found: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"namespaces": [list(one) for one in found]}
