"""LangGraph's wire: runs on a thread of their own, which goes with them unless it is kept."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body
from starlette.responses import JSONResponse, Response

from server.routes.run_answers import DeskDep
from server.wire import shapes
from server.wire.run_object import run_object
from server.wire.run_request import RunRequest
from server.wire.shapes import told

router = APIRouter(prefix="/runs", tags=["runs"])

BATCH = 500


class BatchedRun(RunRequest):
    """One run of a batch; with a thread it is no stateless one."""

    thread_id: UUID | None = None


@router.post("/stream", response_model=None, responses=told(404, 409, media=shapes.EVENTS))
async def stream(asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run on a thread of its own and follow it."""
    record = await desk.start(asked, thread_id=None)
    return desk.stream(record, cancel=asked.on_disconnect == "cancel")


@router.post("/wait", response_model=None, responses=told(404, 409))
async def wait(asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run on a thread of its own and wait for what it comes to."""
    record = await desk.start(asked, thread_id=None)
    return desk.wait(record, cancel=asked.on_disconnect == "cancel")


@router.post("", response_model=None, responses=told(404, 409, answer=shapes.Run))
async def create(asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run on a thread of its own."""
    return desk.shown(await desk.start(asked, thread_id=None))


@router.post("/batch", response_model=None, responses=told(404, 409, answer=list[shapes.Run]))
async def batch(
    asked: Annotated[list[BatchedRun], Body(min_length=1, max_length=BATCH)], desk: DeskDep
) -> Response:
    """Start many runs; none if one of them cannot be started as it is asked."""
    for one in asked:
        await desk.check(one, thread_id=one.thread_id)
    records = [
        await desk.start(one, thread_id=one.thread_id, part=part) for part, one in enumerate(asked)
    ]
    return JSONResponse([run_object(record) for record in records])
