"""LangGraph's wire for runs that are there: look, follow, wait, end, forget."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response

from server import continuing
from server.auth import OperatorDep
from server.errors import Invalid
from server.routes.run_answers import DeskDep, LastEventId, selected, stream_modes
from server.runs.asked import CancelAction
from server.runs.record import RunNotFoundError
from server.wire import rendering_ids, run_object, shapes
from server.wire.shapes import told

router = APIRouter(tags=["runs"])

MANY = 1000
"""The longest list of runs, asked for or given."""

Words = Annotated[list[str] | None, Query()]
Action = Annotated[CancelAction, Query()]


class Cancelling(BaseModel):
    """Which runs to end: those named, those of a thread, or those in a state; all that is given
    has to fit.
    """

    model_config = ConfigDict(extra="ignore")

    thread_id: UUID | None = None
    run_ids: list[UUID] | None = Field(default=None, max_length=MANY)
    status: Literal["pending", "running", "all"] | None = None

    @model_validator(mode="after")
    def _some(self) -> Cancelling:
        if self.thread_id is None and self.run_ids is None and self.status is None:
            raise ValueError("say which: give run_ids, thread_id or status")
        return self


@router.get("/threads/{thread_id}/runs", responses=told(answer=list[shapes.Run]))
async def runs(
    thread_id: UUID,
    desk: DeskDep,
    limit: Annotated[int, Query(ge=1, le=MANY)] = 10,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    status: Annotated[str | None, Query(max_length=50)] = None,
    select: Words = None,
) -> Response:
    """A thread's runs, the newest first."""
    fields = selected(select, fields=run_object.FIELDS)
    try:
        wanted = run_object.statuses(status) if status else None
    except ValueError as error:
        raise Invalid(f"status: {error}", param="status") from None
    found = []
    # One word of this wire may mean several states of ours.
    for one in wanted or (None,):
        found += await desk.house.runs.of_thread(
            str(thread_id),
            tenant=desk.caller.tenant,
            status=one,
            limit=offset + limit + 1,
            offset=0,
        )
    found.sort(key=lambda record: (record.created_at or 0, record.run_id), reverse=True)
    shown = [
        run_object.run_object(record, select=fields) for record in found[offset : offset + limit]
    ]
    more = {"X-Pagination-Next": str(offset + limit)} if len(found) > offset + limit else {}
    return JSONResponse(shown, headers=more)


@router.get("/threads/{thread_id}/runs/{run_id}", responses=told(answer=shapes.Run))
async def run(thread_id: UUID, run_id: UUID, desk: DeskDep) -> dict[str, Any]:
    """A run: its state, and its result once it is over."""
    return run_object.run_object(await desk.run(run_id, thread_id=thread_id))


@router.delete(
    "/threads/{thread_id}/runs/{run_id}", response_model=None, status_code=204, responses=told(409)
)
async def delete(thread_id: UUID, run_id: UUID, desk: DeskDep) -> Response:
    """Forget a run that is over; 409 for one that is not."""
    record = await desk.run(run_id, thread_id=thread_id)
    await desk.house.runs.delete(record.run_id, tenant=desk.caller.tenant)
    return Response(status_code=204)


@router.get("/threads/{thread_id}/runs/{run_id}/join", response_model=None)
async def join(
    thread_id: UUID, run_id: UUID, desk: DeskDep, *, cancel_on_disconnect: bool = False
) -> Response:
    """What a run comes to, once it is over or waits for a person."""
    record = await desk.run(run_id, thread_id=thread_id)
    return desk.wait(record, cancel=cancel_on_disconnect)


@router.get(
    "/threads/{thread_id}/runs/{run_id}/stream",
    response_model=None,
    responses=told(media=shapes.EVENTS),
)
async def stream(
    thread_id: UUID,
    run_id: UUID,
    desk: DeskDep,
    stream_mode: Words = None,
    last_event_id: LastEventId = None,
    *,
    cancel_on_disconnect: bool = False,
) -> Response:
    """Follow a run from behind `Last-Event-ID` (`-1`: from its start) to its end."""
    after = rendering_ids.parsed(last_event_id)
    modes = stream_modes(stream_mode)
    record = await desk.run(run_id, thread_id=thread_id)
    return desk.stream(record, after=after, modes=modes, cancel=cancel_on_disconnect)


@router.get("/runs/{run_id}/stream", response_model=None, responses=told(media=shapes.EVENTS))
async def stream_alone(
    run_id: UUID,
    desk: DeskDep,
    stream_mode: Words = None,
    last_event_id: LastEventId = None,
    *,
    cancel_on_disconnect: bool = False,
) -> Response:
    """Follow a run by its own id."""
    after = rendering_ids.parsed(last_event_id)
    modes = stream_modes(stream_mode)
    record = await desk.run(run_id, thread_id=None)
    return desk.stream(record, after=after, modes=modes, cancel=cancel_on_disconnect)


@router.post(
    "/threads/{thread_id}/runs/{run_id}/cancel",
    response_model=None,
    response_class=Response,
    status_code=202,
    responses={**told(409), 204: {"description": "It has ended"}},
)
async def cancel(
    thread_id: UUID,
    run_id: UUID,
    desk: DeskDep,
    action: Action = CancelAction.INTERRUPT,
    *,
    wait: bool = False,
) -> Response:
    """Ask for a run's end: 202, or with `wait=1` 204 once it has ended."""
    record = await desk.run(run_id, thread_id=thread_id)
    await desk.house.runs.cancel(record.run_id, tenant=desk.caller.tenant, action=action)
    if not wait:
        return Response(status_code=202)
    # One that is taken back is gone with its record.
    with contextlib.suppress(RunNotFoundError):
        await desk.house.runs.wait(record.run_id)
    return Response(status_code=204)


class Continuing(BaseModel):
    """New maxima for a run that was stopped, by the limits' names: ``{"max_steps": 80}``."""

    model_config = ConfigDict(extra="forbid")

    limits: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1)


@router.post("/runs/{run_id}/continue", response_model=None, responses=told(409, answer=shapes.Run))
async def go_on(run_id: UUID, higher: Continuing, desk: DeskDep, operator: OperatorDep) -> Response:
    """Let a run that a limit has stopped go on with a higher one, from where it stopped.

    Replies the run that does. 409 for one that no limit has stopped, or whose thread went on.
    """
    record = await desk.run(run_id, thread_id=None)
    try:
        made = await continuing.go_on(
            record,
            higher.limits,
            runs=desk.house.runs,
            audit=desk.house.audit,
            caller=operator,
        )
    except continuing.NothingRaisedError as error:
        raise Invalid(str(error), param="limits") from None
    return desk.shown(made)


@router.post("/runs/cancel", response_model=None, status_code=204, responses=told(404, 409))
async def cancel_many(
    which: Cancelling, desk: DeskDep, action: Action = CancelAction.INTERRUPT
) -> Response:
    """Ask for the end of many runs."""
    await desk.house.runs.cancel_many(
        tenant=desk.caller.tenant,
        thread_id=str(which.thread_id) if which.thread_id else None,
        run_ids=[str(run_id) for run_id in which.run_ids] if which.run_ids is not None else None,
        status=which.status,
        action=action,
    )
    return Response(status_code=204)
