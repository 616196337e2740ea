"""LangGraph's wire for threads: made, found, changed, copied, pruned, deleted."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import JSONResponse, Response

from server.auth import Caller, CallerDep
from server.errors import Invalid
from server.serving import House, Serving
from server.threads.states import Look
from server.threads.thread import Strategy, ThreadError, ThreadExistsError, ThreadRecord
from server.wire import queries, shapes, threads
from server.wire.shapes import told
from server.wire.threads import ThreadCount, ThreadCreate, ThreadPatch, ThreadPrune, ThreadSearch

router = APIRouter(tags=["threads"])

Prefer = Annotated[str, Header()]
MINIMAL = "return=minimal"


@router.post("/threads", responses=told(404, 409, answer=shapes.Thread))
async def create(
    house: House, caller: CallerDep, asked: ThreadCreate | None = None
) -> dict[str, Any]:
    """Make a thread, empty or with the states of `supersteps`.

    With `if_exists: do_nothing` the thread that has the id already is given back unchanged.
    """
    asked = asked or ThreadCreate()
    try:
        record = await house.threads.create(
            tenant=caller.tenant,
            thread_id=str(asked.thread_id) if asked.thread_id is not None else None,
            metadata=asked.metadata,
            ttl=asked.ttl.time_to_live if asked.ttl is not None else None,
        )
    except ThreadExistsError:
        if asked.if_exists != "do_nothing":
            raise
        record = await house.threads.get(str(asked.thread_id), tenant=caller.tenant)
        return await _shown(house, record)
    if asked.supersteps:
        steps = [[one.update for one in step.updates] for step in asked.supersteps]
        try:
            await house.states.replay(record, steps)
        except ThreadError:
            # Half a history is worse than none.
            await house.threads.delete(record.thread_id, tenant=caller.tenant)
            raise
        record = await house.threads.get(record.thread_id, tenant=caller.tenant)
    return await _shown(house, record)


@router.post("/threads/search", response_model=None, responses=told(answer=list[shapes.Thread]))
async def search(
    house: House, caller: CallerDep, asked: ThreadSearch | None = None
) -> JSONResponse:
    """Threads that hold what is asked, a page at a time, the newest first.

    `X-Pagination-Total` says how many there are, `X-Pagination-Next` the offset of the next page.
    """
    asked = asked or ThreadSearch()
    records, total = await house.states.search(
        asked.query,
        tenant=caller.tenant,
        values=asked.values,
        limit=asked.limit,
        offset=asked.offset,
    )
    looks = await house.states.looks(
        records, values=asked.wants("values"), interrupts=asked.wants("interrupts")
    )
    paths = asked.paths
    told = [
        threads.listed(record, look, select=asked.select, paths=paths)
        for record, look in zip(records, looks, strict=True)
    ]
    headers = {"X-Pagination-Total": str(total)}
    if asked.offset + len(told) < total and told:
        headers["X-Pagination-Next"] = str(asked.offset + len(told))
    return JSONResponse(told, headers=headers)


@router.post("/threads/count")
async def count(house: House, caller: CallerDep, asked: ThreadCount | None = None) -> int:
    """How many threads hold what is asked."""
    asked = asked or ThreadCount()
    _, total = await house.states.search(
        asked.query, tenant=caller.tenant, values=asked.values, limit=1, offset=0
    )
    return total


@router.post("/threads/prune", responses=told(answer=shapes.Pruned))
async def prune(asked: ThreadPrune, house: House, caller: CallerDep) -> dict[str, int]:
    """Delete threads, or keep their latest state only; busy and unknown ones are left alone."""
    ids = [str(one) for one in asked.thread_ids]
    pruned = await house.threads.prune(ids, asked.strategy, tenant=caller.tenant)
    if asked.strategy is Strategy.DELETE:
        for thread_id in ids:
            await _settle(house, thread_id, caller)
    return {"pruned_count": pruned}


@router.get("/threads/{thread_id}", responses=told(answer=shapes.Thread))
async def get(
    thread_id: UUID,
    house: House,
    caller: CallerDep,
    include: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    """A thread; `include=ttl` tells when it expires."""
    record = await house.threads.get(str(thread_id), tenant=caller.tenant)
    try:
        wanted = queries.names(include)
    except ValueError as error:
        raise Invalid(f"include: {error}", param="include") from None
    if unknown := [word for word in wanted if word != "ttl"]:
        raise Invalid(f"include: no field {unknown[0][:50]!r}; use ttl", param="include")
    return await _shown(house, record, ttl="ttl" in wanted)


@router.patch("/threads/{thread_id}", response_model=None, responses=told(answer=shapes.Thread))
async def patch(
    thread_id: UUID, asked: ThreadPatch, house: House, caller: CallerDep, prefer: Prefer = ""
) -> Response:
    """Merge metadata, set the time to live. `Prefer: return=minimal` answers 204."""
    await house.threads.patch(
        str(thread_id),
        tenant=caller.tenant,
        metadata=asked.metadata,
        ttl=asked.ttl.time_to_live if asked.ttl is not None else None,
    )
    if MINIMAL in prefer.lower().replace(" ", ""):
        return Response(status_code=204)
    record = await house.threads.get(str(thread_id), tenant=caller.tenant)
    return JSONResponse(await _shown(house, record))


@router.delete("/threads/{thread_id}", response_model=None, status_code=204, responses=told(409))
async def delete(thread_id: UUID, house: House, caller: CallerDep) -> Response:
    """Delete a thread with its states, events and runs; 409 while a run holds it or waits for it.

    A run that is to begin later waits for it too. One that waits for a person goes, and with it
    the run that asked.
    """
    await forget(house, str(thread_id), caller)
    return Response(status_code=204)


@router.post("/threads/{thread_id}/copy", responses=told(409, answer=shapes.Thread))
async def copy(thread_id: UUID, house: House, caller: CallerDep) -> dict[str, Any]:
    """A new thread with the same metadata and the whole history."""
    record = await house.threads.copy(str(thread_id), tenant=caller.tenant)
    return await _shown(house, record)


async def forget(house: Serving, thread_id: str, caller: Caller) -> None:
    """Delete a thread, and with it what its runs asked of people. Raises a ThreadError."""
    await house.threads.delete(thread_id, tenant=caller.tenant)
    await _settle(house, thread_id, caller)


async def _settle(house: Serving, thread_id: str, caller: Caller) -> None:
    """What a run asked that waits no more."""
    await house.approvals.settle_thread(
        caller.tenant, thread_id, why="its thread was deleted", caller=caller
    )


async def _shown(house: Serving, record: ThreadRecord, *, ttl: bool = False) -> dict[str, Any]:
    looks: list[Look] = list(await house.states.looks([record]))
    return threads.thread(record, looks[0], ttl=ttl)
