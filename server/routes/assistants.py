"""LangGraph's wire for assistants: made, found, changed in versions, and what their graphs are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import JSONResponse, Response

from server.assistants import drawing
from server.assistants.records import Assistant, Graph, GraphNotFoundError
from server.auth import Caller, CallerDep
from server.errors import Invalid
from server.routes.threads import forget
from server.serving import House, Serving
from server.threads.matching import contains
from server.threads.thread import ThreadBusyError, ThreadNotFoundError, ThreadQuery, ThreadStatus
from server.wire import assistants as wire
from server.wire import shapes
from server.wire.messages import storable
from server.wire.shapes import told

router = APIRouter(tags=["assistants"])

AssistantId = Annotated[str, Path(max_length=wire.LONGEST_NAME)]
Flag = Annotated[bool, Query()]
_PAGE = 500
_DEEPEST = 100


@router.post("/assistants", responses=told(404, 409, answer=shapes.Assistant))
async def create(asked: wire.AssistantCreate, house: House, caller: CallerDep) -> dict[str, Any]:
    """Make an assistant: a graph with a configuration, under a name."""
    found = await house.assistants.create(
        asked.definition,
        tenant=caller.tenant,
        assistant_id=str(asked.assistant_id) if asked.assistant_id is not None else None,
        reuse=asked.if_exists == "do_nothing",
    )
    return wire.assistant(found)


@router.post(
    "/assistants/search", response_model=None, responses=told(answer=list[shapes.Assistant])
)
async def search(
    house: House, caller: CallerDep, asked: wire.AssistantSearch | None = None
) -> JSONResponse:
    """Assistants that fit, a page at a time, the newest first.

    `X-Pagination-Next` is the offset of the next page, `X-Pagination-Total` how many there are.
    """
    asked = asked or wire.AssistantSearch()
    found = asked.ordered(await house.assistants.all(tenant=caller.tenant))
    end = asked.offset + asked.limit
    headers = {"X-Pagination-Total": str(len(found))}
    if end < len(found):
        headers["X-Pagination-Next"] = str(end)
    told = [wire.assistant(one, select=asked.select) for one in found[asked.offset : end]]
    return JSONResponse(told, headers=headers)


@router.post("/assistants/count")
async def count(house: House, caller: CallerDep, asked: wire.AssistantCount | None = None) -> int:
    """How many assistants fit."""
    asked = asked or wire.AssistantCount()
    return sum(map(asked.fits, await house.assistants.all(tenant=caller.tenant)))


@router.get("/assistants/{assistant_id}", responses=told(answer=shapes.Assistant))
async def get(assistant_id: AssistantId, house: House, caller: CallerDep) -> dict[str, Any]:
    """An assistant by its id, or a built-in one by its name."""
    return wire.assistant(await _named(house, assistant_id, caller))


@router.patch("/assistants/{assistant_id}", responses=told(409, answer=shapes.Assistant))
async def patch(
    assistant_id: AssistantId, asked: wire.AssistantPatch, house: House, caller: CallerDep
) -> dict[str, Any]:
    """Make a new version and put it in force; metadata is merged. Built-in ones take it too."""
    found = await _named(house, assistant_id, caller)
    changed = await house.assistants.update(found.assistant_id, asked.changes, tenant=caller.tenant)
    return wire.assistant(changed)


@router.delete(
    "/assistants/{assistant_id}", response_model=None, status_code=204, responses=told(409)
)
async def delete(
    assistant_id: AssistantId,
    house: House,
    caller: CallerDep,
    *,
    delete_threads: Flag = False,
) -> Response:
    """Delete an assistant with its versions, and its threads where asked; not a built-in one.

    With a thread of its own that is busy nothing is deleted: 409.
    """
    found = await _named(house, assistant_id, caller)
    if delete_threads and not house.assistants.is_built_in(found.assistant_id):
        await _delete_threads(house, found, caller)
    await house.assistants.delete(found.assistant_id, tenant=caller.tenant)
    return Response(status_code=204)


@router.get("/assistants/{assistant_id}/graph", responses=told(answer=shapes.Drawing))
async def graph(
    assistant_id: AssistantId,
    house: House,
    caller: CallerDep,
    xray: Annotated[str, Query(max_length=10)] = "false",
) -> dict[str, Any]:
    """Nodes and edges; `xray` opens subgraphs, all of them or to a depth."""
    depth = _depth(xray)
    async with _graph(house, assistant_id, caller) as (_, found):
        try:
            return await drawing.drawn(found, xray=depth)
        except NotImplementedError:
            raise Invalid("this graph cannot be drawn") from None


@router.get("/assistants/{assistant_id}/schemas", responses=told(answer=shapes.Schemas))
async def schemas(assistant_id: AssistantId, house: House, caller: CallerDep) -> dict[str, Any]:
    """JSON schemas of what the graph takes, keeps and gives."""
    async with _graph(house, assistant_id, caller) as (about, found):
        return await asyncio.to_thread(drawing.schemas, found, graph_id=about.graph_id)


@router.get(
    "/assistants/{assistant_id}/subgraphs", responses=told(answer=dict[str, shapes.Schemas])
)
async def subgraphs(
    assistant_id: AssistantId, house: House, caller: CallerDep, *, recurse: Flag = False
) -> dict[str, Any]:
    """The schemas of the graphs within the graph, by namespace."""
    async with _graph(house, assistant_id, caller) as (about, found):
        return await drawing.subgraphs(found, graph_id=about.graph_id, recurse=recurse)


@router.get(
    "/assistants/{assistant_id}/subgraphs/{namespace:path}",
    responses=told(answer=dict[str, shapes.Schemas]),
)
async def subgraphs_of(
    assistant_id: AssistantId,
    namespace: str,
    house: House,
    caller: CallerDep,
    *,
    recurse: Flag = False,
) -> dict[str, Any]:
    """The schemas of the graph in one namespace."""
    async with _graph(house, assistant_id, caller) as (about, found):
        return await drawing.subgraphs(
            found, graph_id=about.graph_id, namespace=namespace, recurse=recurse
        )


@router.post("/assistants/{assistant_id}/versions", responses=told(answer=list[shapes.Assistant]))
async def versions(
    assistant_id: AssistantId,
    house: House,
    caller: CallerDep,
    asked: wire.VersionSearch | None = None,
) -> list[dict[str, Any]]:
    """An assistant's versions, the newest first."""
    asked = asked or wire.VersionSearch()
    found = await _named(house, assistant_id, caller)
    every = await house.assistants.versions(found.assistant_id, tenant=caller.tenant)
    fit = [one for one in every if contains(one.metadata, asked.metadata or {})]
    return [wire.assistant(one) for one in fit[asked.offset : asked.offset + asked.limit]]


@router.post("/assistants/{assistant_id}/latest", responses=told(answer=shapes.Assistant))
async def latest(
    assistant_id: AssistantId, asked: wire.VersionChoice, house: House, caller: CallerDep
) -> dict[str, Any]:
    """Put a version in force."""
    found = await _named(house, assistant_id, caller)
    chosen = await house.assistants.choose(found.assistant_id, asked.version, tenant=caller.tenant)
    return wire.assistant(chosen)


async def _named(house: Serving, assistant_id: str, caller: Caller) -> Assistant:
    if assistant_id not in house.assistants.names:
        try:
            UUID(assistant_id)
        except ValueError:
            raise Invalid(
                f"assistant_id: {storable(assistant_id)[:50]!r} is neither a UUID nor one of "
                f"{', '.join(house.assistants.names)}",
                param="assistant_id",
            ) from None
    return await house.assistants.resolve(assistant_id, tenant=caller.tenant)


@asynccontextmanager
async def _graph(
    house: Serving, assistant_id: str, caller: Caller
) -> AsyncIterator[tuple[Assistant, Graph]]:
    """An assistant with its graph, made for its configuration."""
    found = await _named(house, assistant_id, caller)
    if found.graph_id not in house.registry.names:
        raise GraphNotFoundError(
            f"assistant {found.assistant_id} is of the graph {found.graph_id!r}, "
            "which is not served any more"
        )
    config: Any = dict(found.config)
    async with house.registry.open(
        found.graph_id, config, tenant=caller.tenant, access="assistants.read"
    ) as made:
        yield found, made


def _depth(given: str) -> int | bool:
    word = given.strip().lower()
    if word.isdecimal() and int(word) <= _DEEPEST:
        return int(word)
    if word in {"true", "yes", "on"}:
        return True
    if word in {"false", "no", "off", ""}:
        return False
    raise Invalid(f"xray: send true, false, or a depth up to {_DEEPEST}", param="xray")


async def _delete_threads(house: Serving, found: Assistant, caller: Caller) -> None:
    mine = {"assistant_id": found.assistant_id}
    _, busy = await house.threads.search(
        ThreadQuery(metadata=mine, status=ThreadStatus.BUSY), tenant=caller.tenant, limit=1
    )
    if busy:
        raise ThreadBusyError(
            f"delete_threads: {busy} threads of assistant {found.assistant_id} are busy; "
            "cancel their runs, or wait for their end"
        )
    while True:
        page, _ = await house.threads.search(
            ThreadQuery(metadata=mine), tenant=caller.tenant, limit=_PAGE
        )
        if not page:
            return
        for record in page:
            try:
                await forget(house, record.thread_id, caller)
            except ThreadNotFoundError:
                continue
