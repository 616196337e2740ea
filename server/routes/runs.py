"""LangGraph's wire for runs: start and follow one, look at it, take its stream up again, end it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Header, Query
from redis.exceptions import RedisError
from starlette.responses import JSONResponse, Response

from graphs.event_log import START
from server.errors import Invalid, NotFound
from server.runs.asked import of_messages
from server.runs.records import RunNotFoundError, RunRecord
from server.serving import Heartbeat, House, Serving
from server.wire import run_stream, sse
from server.wire.messages import plain
from server.wire.run_stream import RunRequest

router = APIRouter(tags=["runs"])
_log = logging.getLogger(__name__)

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]


@router.post("/runs/stream", response_model=None)
async def stream_stateless(asked: RunRequest, house: House, heartbeat: Heartbeat) -> Response:
    """Start a run on a thread of its own and follow it."""
    return await _start(asked, house, heartbeat=heartbeat, thread_id=None)


@router.post("/threads/{thread_id}/runs/stream", response_model=None)
async def stream(
    thread_id: UUID, asked: RunRequest, house: House, heartbeat: Heartbeat
) -> Response:
    """Start a run on a thread and follow it. It goes on without its reader."""
    return await _start(asked, house, heartbeat=heartbeat, thread_id=str(thread_id))


@router.get("/threads/{thread_id}/runs/{run_id}")
async def run(thread_id: UUID, run_id: UUID, house: House) -> dict[str, Any]:
    """A run: its state, and its result once it is over."""
    return run_stream.run_object(await _run(house, thread_id=thread_id, run_id=run_id))


@router.get("/threads/{thread_id}/runs/{run_id}/stream", response_model=None)
async def join(
    thread_id: UUID,
    run_id: UUID,
    house: House,
    heartbeat: Heartbeat,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a run from behind `Last-Event-ID` (`-1`: from its start) to its end."""
    after = run_stream.position(last_event_id)
    wanted = _modes(stream_mode)
    record = await _run(house, thread_id=thread_id, run_id=run_id)
    frames = _frames(house, record, after=after, wanted=wanted)
    return sse.EventStream(frames, heartbeat=heartbeat, headers=run_stream.place(record))


@router.post("/threads/{thread_id}/runs/{run_id}/cancel", response_model=None)
async def cancel(
    thread_id: UUID, run_id: UUID, house: House, *, wait: Annotated[bool, Query()] = False
) -> Response:
    """Ask for a run's end: 202, or with `wait=1` 204 once it has ended."""
    record = await _run(house, thread_id=thread_id, run_id=run_id)
    await house.runs.cancel(record.run_id)
    if wait:
        await house.runs.wait(record.run_id)
        return Response(status_code=204)
    return JSONResponse({}, status_code=202)


async def _start(
    asked: RunRequest, house: Serving, *, heartbeat: float, thread_id: str | None
) -> Response:
    names = ["team", *house.agents]
    if asked.assistant_id not in names:
        raise NotFound(f"assistant_id: no such assistant; use one of {', '.join(names)}")
    record = await house.runs.create(
        of_messages(
            plain(asked.messages, where="input.messages"),
            agent=asked.assistant_id,
            collection=asked.collection or house.settings.collection,
        ),
        thread_id=thread_id,
    )

    async def left() -> None:
        if asked.on_disconnect == "cancel":
            await house.runs.cancel(record.run_id)

    return sse.EventStream(
        _frames(house, record, after=START, wanted=asked.modes),
        heartbeat=heartbeat,
        headers=run_stream.place(record),
        gone=left,
    )


async def _run(house: Serving, *, thread_id: UUID, run_id: UUID) -> RunRecord:
    """The run, if it belongs to the thread. Raises RunNotFoundError."""
    record = await house.runs.get(str(run_id))
    if record.thread_id != str(thread_id):
        raise RunNotFoundError(f"no run {run_id} on thread {thread_id}")
    return record


def _modes(asked: Sequence[str] | None) -> frozenset[str]:
    try:
        return run_stream.modes(run_stream.query_modes(asked))
    except ValueError as error:
        raise Invalid(f"stream_mode: {error}", param="stream_mode") from None


async def _frames(
    house: Serving, record: RunRecord, *, after: str, wanted: frozenset[str]
) -> sse.Frames:
    yield run_stream.head(record)
    try:
        entries = house.runs.events(record.run_id, after=after)
        async with aclosing(cast("Any", entries)) as following:
            async for entry in following:
                if "custom" in wanted:
                    yield run_stream.custom(entry)
        record = await house.runs.get(record.run_id)
    except (RedisError, OSError, RunNotFoundError) as error:
        # Without `end`: clients look the run up and come back with their last id.
        _log.warning("run %s cannot be followed: %s", record.run_id, error)
        return
    for one in run_stream.tail(record, wanted=wanted):
        yield one
