"""LangGraph's wire for the long-term store: the memory of graphs, apart for each tenant."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from langgraph.store.base import NOT_PROVIDED
from pydantic import ValidationError
from starlette.responses import Response

from graphs.store import RedisStore
from server.auth import Caller, CallerDep
from server.errors import Invalid
from server.serving import House, Serving
from server.wire import shapes
from server.wire import store as wire
from server.wire.shapes import told

router = APIRouter(prefix="/store", tags=["store"])


@router.put("/items", response_model=None, status_code=204)
async def put(asked: wire.ItemPut, house: House, caller: CallerDep) -> Response:
    """Store an item, or replace it."""
    store = _store(house, caller)
    await store.aput(
        tuple(asked.namespace),
        asked.key,
        asked.value,
        asked.index,
        ttl=NOT_PROVIDED if asked.ttl is None else asked.ttl,
    )
    # A store that lives for one request would never look for what is over.
    await store.sweep()
    return Response(status_code=204)


@router.get("/items", responses=told(answer=shapes.Item | None))
async def get(
    house: House,
    caller: CallerDep,
    namespace: Annotated[str, Query(max_length=10_000)],
    key: Annotated[str, Query()],
    *,
    refresh_ttl: bool | None = None,
) -> dict[str, Any] | None:
    """An item, or null; the parts of `namespace` stand between full stops."""
    try:
        asked = wire.ItemKey(namespace=namespace.split("."), key=key)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None
    found = await _store(house, caller).aget(
        tuple(asked.namespace), asked.key, refresh_ttl=refresh_ttl
    )
    return wire.item(found) if found is not None else None


@router.delete("/items", response_model=None, status_code=204)
async def delete(asked: wire.ItemKey, house: House, caller: CallerDep) -> Response:
    """Delete an item, if it is there."""
    await _store(house, caller).adelete(tuple(asked.namespace), asked.key)
    return Response(status_code=204)


@router.post("/items/search", responses=told(answer=shapes.Items))
async def search(asked: wire.ItemSearch, house: House, caller: CallerDep) -> dict[str, Any]:
    """Items below a namespace that fit, the latest first; by likeness where the store can."""
    try:
        found = await _store(house, caller).asearch(
            tuple(asked.namespace_prefix),
            query=asked.query,
            filter=asked.filter,
            limit=asked.limit,
            offset=asked.offset,
            refresh_ttl=asked.refresh_ttl,
        )
    except ValueError as error:
        raise Invalid(f"filter: {error}", param="filter") from None
    return {"items": [wire.item(one) for one in found]}


@router.post("/namespaces", responses=told(answer=shapes.Namespaces))
async def namespaces(
    house: House, caller: CallerDep, asked: wire.NamespaceSearch | None = None
) -> dict[str, Any]:
    """Namespaces that hold items."""
    asked = asked or wire.NamespaceSearch()
    found = await _store(house, caller).alist_namespaces(
        prefix=tuple(asked.prefix) if asked.prefix else None,
        suffix=tuple(asked.suffix) if asked.suffix else None,
        max_depth=asked.max_depth,
        limit=asked.limit,
        offset=asked.offset,
    )
    return wire.namespaces(found)


def _store(house: Serving, caller: Caller) -> RedisStore:
    return house.store.for_tenant(caller.tenant)
