"""LangGraph's wire for crons: runs that begin by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from server.assistants.records import AssistantNotFoundError
from server.clock import moment
from server.crons.cron import Cron, Definition
from server.errors import Invalid
from server.routes.run_answers import Desk, DeskDep
from server.wire import crons as wire
from server.wire import shapes
from server.wire.shapes import told

router = APIRouter(tags=["crons"])


@router.post("/runs/crons", responses=told(404, 409, answer=shapes.Cron))
async def create(asked: wire.CronCreate, desk: DeskDep) -> Mapping[str, Any]:
    """Make a cron each of whose runs has a thread of its own."""
    return await _create(asked, desk, thread_id=None)


@router.post("/threads/{thread_id}/runs/crons", responses=told(409, answer=shapes.Cron))
async def create_on_thread(
    thread_id: UUID, asked: wire.CronCreate, desk: DeskDep
) -> Mapping[str, Any]:
    """Make a cron whose runs all go on in one thread."""
    await desk.house.threads.get(str(thread_id), tenant=desk.caller.tenant)
    return await _create(asked, desk, thread_id=thread_id)


@router.post("/runs/crons/search", response_model=None, responses=told(answer=list[shapes.Cron]))
async def search(desk: DeskDep, asked: wire.CronSearch | None = None) -> JSONResponse:
    """Crons that fit, a page at a time, the newest first.

    `X-Pagination-Next` is the offset of the next page, `X-Pagination-Total` how many there are.
    """
    asked = asked or wire.CronSearch()
    found = asked.ordered(await _fitting(asked, desk))
    headers = {"X-Pagination-Total": str(len(found))}
    if asked.offset + asked.limit < len(found):
        headers["X-Pagination-Next"] = str(asked.offset + asked.limit)
    now = moment(await desk.house.crons.clock())
    page = [wire.cron_object(one, now=now, select=asked.select) for one in asked.page(found)]
    return JSONResponse(page, headers=headers)


@router.post("/runs/crons/count")
async def count(desk: DeskDep, asked: wire.CronCount | None = None) -> int:
    """How many crons fit."""
    return len(await _fitting(asked or wire.CronCount(), desk))


@router.get("/runs/crons/{cron_id}", responses=told(answer=shapes.Cron))
async def get(cron_id: UUID, desk: DeskDep) -> Mapping[str, Any]:
    """A cron, with when it fires next."""
    return _shown(await desk.house.crons.get(str(cron_id), tenant=desk.caller.tenant))


@router.patch("/runs/crons/{cron_id}", responses=told(409, answer=shapes.Cron))
async def patch(cron_id: UUID, asked: wire.CronPatch, desk: DeskDep) -> Mapping[str, Any]:
    """Change a cron; metadata is merged, every other field replaced."""
    tenant = desk.caller.tenant
    change = partial(asked.onto, user=desk.caller.name, roles=sorted(desk.caller.roles))
    before = (await desk.house.crons.get(str(cron_id), tenant=tenant)).definition
    try:
        await _check(change(before), desk)
        changed = await desk.house.crons.update(str(cron_id), change, tenant=tenant)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None
    return _shown(changed)


@router.delete("/runs/crons/{cron_id}", response_model=None, status_code=204)
async def delete(cron_id: UUID, desk: DeskDep) -> Response:
    """Delete a cron; runs that it has made go on."""
    await desk.house.crons.delete(str(cron_id), tenant=desk.caller.tenant)
    return Response(status_code=204)


async def _create(
    asked: wire.CronCreate, desk: Desk, *, thread_id: UUID | None
) -> Mapping[str, Any]:
    now = moment(await desk.house.crons.clock())
    if asked.end_time is not None and asked.end_time <= now:
        raise Invalid(
            "end_time: is over already; leave it out, or give a later one", param="end_time"
        )
    run = await desk.check(asked, thread_id=thread_id)
    wanted = asked.definition(
        thread_id=thread_id,
        assistant_id=run.assistant_id,
        user=desk.caller.name,
        roles=sorted(desk.caller.roles),
        collection=desk.collection or "",
    )
    made = await desk.house.crons.create(
        wanted, tenant=desk.caller.tenant, idempotency_key=desk.idempotency_key
    )
    return _shown(made)


async def _check(wanted: Definition, desk: Desk) -> None:
    """Raises what asking for its run would raise."""
    request = wire.CronCreate.model_validate(
        {**wanted.run, "assistant_id": wanted.assistant_id, "schedule": wanted.schedule}
    )
    thread_id = UUID(wanted.thread_id) if wanted.thread_id else None
    await desk.check(request, thread_id=thread_id)


async def _fitting(asked: wire.CronCount, desk: Desk) -> list[Cron]:
    tenant, named = desk.caller.tenant, asked.assistant_id
    if named is not None:
        try:
            named = (await desk.house.assistants.resolve(named, tenant=tenant)).assistant_id
        except AssistantNotFoundError:
            # A cron outlives its assistant.
            named = asked.assistant_id
    found = await desk.house.crons.all(tenant=tenant)
    return [cron for cron in found if asked.fits(cron, assistant_id=named)]


def _shown(cron: Cron) -> Mapping[str, Any]:
    return wire.cron_object(cron, now=cron.updated_at)
