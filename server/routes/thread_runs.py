"""LangGraph's wire: runs asked of a thread, and everything that happens on one, followed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.errors import Invalid
from server.routes.run_answers import DeskDep, LastEventId
from server.wire import queries, rendering_ids, shapes, sse, thread_stream
from server.wire.run_request import RunRequest
from server.wire.shapes import told

router = APIRouter(prefix="/threads/{thread_id}", tags=["runs"])

Words = Annotated[list[str] | None, Query()]


@router.post("/runs/stream", response_model=None, responses=told(409, media=shapes.EVENTS))
async def stream(thread_id: UUID, asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run and follow it. It goes on without its reader, unless told otherwise."""
    record = await desk.start(asked, thread_id=thread_id)
    return desk.stream(record, cancel=asked.on_disconnect == "cancel")


@router.post("/runs/wait", response_model=None, responses=told(409))
async def wait(thread_id: UUID, asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run and wait for what it comes to."""
    record = await desk.start(asked, thread_id=thread_id)
    return desk.wait(record, cancel=asked.on_disconnect == "cancel")


@router.post("/runs", response_model=None, responses=told(409, answer=shapes.Run))
async def create(thread_id: UUID, asked: RunRequest, desk: DeskDep) -> Response:
    """Start a run."""
    return desk.shown(await desk.start(asked, thread_id=thread_id))


@router.get("/stream", response_model=None, responses=told(media=shapes.EVENTS))
async def follow(
    thread_id: UUID,
    desk: DeskDep,
    stream_mode: Words = None,
    stream_modes: Words = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Everything that happens on a thread from now on, run by run, until the reader leaves.

    With `Last-Event-ID` from behind that (`-1`: from the start).
    """
    try:
        modes = queries.names([*(stream_mode or ()), *(stream_modes or ())]) or ["run_modes"]
    except ValueError as error:
        raise Invalid(f"stream_mode: {error}", param="stream_mode") from None
    if unknown := [mode for mode in modes if mode not in thread_stream.MODES]:
        raise Invalid(
            f"stream_mode: no mode {unknown[0][:50]!r}; "
            f"use {', '.join(sorted(thread_stream.MODES))}",
            param="stream_mode",
        )
    after = rendering_ids.parsed(last_event_id)
    tenant = desk.caller.tenant
    await desk.house.threads.get(str(thread_id), tenant=tenant)
    if last_event_id is None:
        newest = await desk.house.runs.newest(str(thread_id), tenant=tenant)
        after = rendering_ids.behind(newest)
    return sse.EventStream(
        desk.thread_stream(thread_id, modes=modes).frames(after=after),
        heartbeat=desk.heartbeat,
        headers=thread_stream.place(str(thread_id), modes=modes),
    )
