"""OpenAI's responses: asked for, streamed or at once, fetched again, ended, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, Query, Request
from redis.exceptions import RedisError
from starlette.responses import JSONResponse, Response

from graphs import events
from server.attaching import with_files
from server.auth import Caller, CallerDep
from server.errors import Invalid, NotFound, RunFault
from server.routes.openai import (
    FLEX,
    End,
    address_of,
    agent_of,
    documents_of,
    ended,
    leave,
    lost,
)
from server.routes.threads import forget
from server.runs.asked import Asked, of_messages
from server.runs.record import RunRecord
from server.runs.records import RunNotFoundError
from server.runs.transitions import RunStatus
from server.runs.workload import in_background
from server.serving import Heartbeat, House, Serving
from server.threads.states import CheckpointNotFoundError, Place
from server.threads.thread import NewThread
from server.wire import attachments, frontend_tasks, responses, shapes, sse
from server.wire.chat import COLLECTION
from server.wire.messages import plain
from server.wire.responses import KWARGS, Rendering, ResponseRequest
from server.wire.shapes import told

SOURCE = {"source": "responses"}

router = APIRouter(prefix="/v1/responses", tags=["openai"])

_RESPONSE: shapes.Told = {
    200: {
        "description": "The response, or its events as server-sent events",
        "content": {
            shapes.JSON: {"schema": {"type": "object"}},
            shapes.EVENTS: {"schema": shapes.EVENT},
        },
    }
}

CollectionHeader = Annotated[
    str | None, Header(alias="X-Counterpoint-Collection", pattern=COLLECTION)
]


@router.post("", response_model=None, responses={**told(404, 409, 500, 502, 504), **_RESPONSE})
async def create(
    asked: ResponseRequest,
    request: Request,
    house: House,
    caller: CallerDep,
    heartbeat: Heartbeat,
    collection: CollectionHeader = None,
) -> Response:
    """Ask the team. A caller who leaves ends the run, unless it is in the `background`."""
    if refused := asked.unsupported():
        param, why = refused
        raise Invalid(f"{param}: {why}", param=param, code="unsupported_parameter")
    agent = agent_of(asked.model, house)
    limit = house.settings.file_limits().file_bytes
    answers = await _answers(asked, house, caller)
    found = attachments.taken(asked.messages(answers), where="input", limit=limit)
    opening, said = asked.opening(), plain(found.messages(), where="input")
    before = await _before(asked, house, caller)
    tasks = house.settings.frontend_tasks and not found.files and before is None
    task = frontend_tasks.recognised([*opening, *said]) if tasks else None

    async def make(names: Sequence[str], thread_id: str | None) -> RunRecord:
        if task is not None:
            wanted = frontend_tasks.asked_of(task)
        else:
            given = plain(found.messages(names), where="input") if names else said
            wanted = of_messages(
                [*opening, *given],
                agent=agent,
                collection=asked.collection or collection or house.settings.collection,
            )
            wanted = _going_on(wanted, asked, before)
        if asked.service_tier == FLEX:
            wanted = in_background(wanted)
        kwargs = {KWARGS: asked.shown()}
        return await house.runs.create(
            replace(wanted, kwargs=kwargs, user=caller.name, roles=sorted(caller.roles)),
            tenant=caller.tenant,
            thread_id=thread_id,
            new_thread=NewThread(metadata=SOURCE, ttl=house.settings.chat_thread().ttl),
        )

    record = await with_files(
        house.files,
        found.files,
        tenant=caller.tenant,
        thread_id=before.thread_id if before is not None else None,
        create=make,
    )
    rendering = await _rendering(record, request, house, shown=asked.shown())
    headers = {"x-request-id": record.run_id}

    async def cancel() -> None:
        if not asked.background:
            await leave(house, record)

    if asked.stream:
        frames = _frames(house, record, rendering)
        return sse.EventStream(frames, heartbeat=heartbeat, headers=headers, gone=cancel)
    if asked.background:
        return JSONResponse(rendering.body("queued"), headers=headers)
    waiting = asyncio.create_task(_finish(house, record, rendering), name="response")
    end = None
    try:
        end = await sse.unless_gone(request.receive, waiting)
    finally:
        if end is None:
            await cancel()
    if end is None:
        return Response(status_code=499)
    if isinstance(end, events.RunFailed):
        raise RunFault(end)
    return JSONResponse(rendering.finished(end), headers=headers)


@router.get("/{response_id}", response_model=None, responses={**told(404), **_RESPONSE})
async def get(
    response_id: str,
    request: Request,
    house: House,
    caller: CallerDep,
    heartbeat: Heartbeat,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """A response as it stands, or its events from the beginning or behind a number."""
    record, shown = await _known(response_id, house, caller)
    rendering = await _rendering(record, request, house, shown=shown)
    if stream:
        frames = _frames(house, record, rendering, after=starting_after)
        return sse.EventStream(frames, heartbeat=heartbeat)
    return JSONResponse(await _body(house, record, rendering))


@router.post(
    "/{response_id}/cancel", response_model=None, responses={**told(404, 409), **_RESPONSE}
)
async def cancel(response_id: str, request: Request, house: House, caller: CallerDep) -> Response:
    """End a response that is worked on; one that is over stays as it is."""
    record, shown = await _known(response_id, house, caller)
    if record.result is None or record.status is RunStatus.INTERRUPTED:
        record = await house.runs.cancel(record.run_id, tenant=caller.tenant)
    rendering = await _rendering(record, request, house, shown=shown)
    if not record.status.is_terminal:
        # Its worker hears of it in a moment.
        return JSONResponse(rendering.body("cancelled"))
    return JSONResponse(await _body(house, record, rendering))


@router.delete("/{response_id}", responses=told(404, 409))
async def delete(response_id: str, house: House, caller: CallerDep) -> dict[str, Any]:
    """Forget a response that is over; the last one of a conversation takes its thread with it."""
    record, _ = await _known(response_id, house, caller)
    runs = await house.runs.of_thread(record.thread_id, tenant=caller.tenant, limit=2)
    if len(runs) > 1:
        await house.runs.delete(record.run_id, tenant=caller.tenant)
    else:
        await forget(house, record.thread_id, caller)
    return {"id": response_id, "object": "response", "deleted": True}


async def _known(response_id: str, house: Serving, caller: Caller) -> tuple[RunRecord, Any]:
    """A response's run, and what it shows again of its request. Raises NotFound."""
    try:
        record = await house.runs.get(responses.run_of(response_id), tenant=caller.tenant)
    except RunNotFoundError:
        record = None
    shown = responses.kept(record.asked) if record is not None else None
    if record is None or shown is None:
        raise NotFound("there is no such response; it may have been deleted, or not stored")
    return record, shown


async def _answers(asked: ResponseRequest, house: Serving, caller: Caller) -> Mapping[str, str]:
    """What the messages say that the input names by their ids. Raises NotFound."""
    told = {}
    for name, field in asked.referenced().items():
        try:
            record, _ = await _known(responses.response_of(name), house, caller)
        except NotFound:
            record = None
        end = await ended(house, record) if record is not None and record.result else None
        if not isinstance(end, events.RunFinished):
            raise NotFound(
                f"{field}: there is no message {name[:100]!r}; send what it says instead",
                param=field,
            )
        told[name] = end.answer
    return told


async def _before(asked: ResponseRequest, house: Serving, caller: Caller) -> RunRecord | None:
    """The run that this one goes on from. Raises NotFound, Invalid, ThreadNotFoundError."""
    param = "previous_response_id"
    if asked.previous_response_id is None:
        return None
    try:
        record, _ = await _known(asked.previous_response_id, house, caller)
    except NotFound as error:
        code = "previous_response_not_found"
        raise NotFound(f"{param}: {error.detail}", param=param, code=code) from None
    if record.status is RunStatus.INTERRUPTED:
        raise Invalid(
            f"{param}: it waits for a person, at /console/approvals; go on when that is decided",
            param=param,
        )
    if not record.status.is_terminal:
        raise Invalid(f"{param}: it is still worked on; wait for its end", param=param)
    if (at := _checkpoint(record)) is not None:
        thread = await house.threads.get(record.thread_id, tenant=caller.tenant)
        try:
            await house.states.check(thread, Place(checkpoint_id=at))
        except CheckpointNotFoundError:
            raise NotFound(
                f"{param}: where it came to is not kept any more; send the conversation as input",
                param=param,
                code="previous_response_not_found",
            ) from None
    return record


def _checkpoint(record: RunRecord) -> str | None:
    """Where a run came to; None where it has no steps."""
    found = (record.result or {}).get("checkpoint_id")
    return found if isinstance(found, str) and found else None


def _going_on(wanted: Asked, asked: ResponseRequest, before: RunRecord | None) -> Asked:
    """The run on the thread of the one before, from where that came to."""
    limits = {} if asked.max_tool_calls is None else {"tool_calls": asked.max_tool_calls}
    wanted = replace(wanted, temporary=not asked.stores, limits=limits)
    at = _checkpoint(before) if before is not None else None
    return replace(wanted, checkpoint={"checkpoint_id": at}) if at else wanted


async def _rendering(
    record: RunRecord, request: Request, house: Serving, *, shown: Any
) -> Rendering:
    return Rendering(
        run_id=record.run_id,
        thread_id=record.thread_id,
        created=int(record.created_at.timestamp()) if record.created_at else 0,
        shown=shown,
        url=await address_of(request, house, tenant=record.tenant),
        documents=documents_of(request, record),
        quiet=frontend_tasks.is_one(record.asked),
    )


async def _frames(
    house: Serving, record: RunRecord, rendering: Rendering, *, after: int | None = None
) -> sse.Frames:
    for one in responses.behind(rendering.opening(), after):
        yield sse.frame(one, event=one["type"])
    try:
        async with aclosing(cast("Any", house.runs.events(record.run_id))) as entries:
            async for entry in entries:
                for one in responses.behind(rendering.progress(entry.event), after):
                    yield sse.frame(one, event=one["type"])
        end = await ended(house, record)
    except (RedisError, OSError, RunNotFoundError) as error:
        end = lost(record.run_id, error)
    last = rendering.failure(end) if isinstance(end, events.RunFailed) else rendering.ending(end)
    for one in responses.behind(last, after):
        yield sse.frame(one, event=one["type"])


async def _finish(house: Serving, record: RunRecord, rendering: Rendering) -> End:
    async with aclosing(cast("Any", house.runs.events(record.run_id))) as entries:
        async for entry in entries:
            rendering.progress(entry.event)
    return await ended(house, record)


async def _body(house: Serving, record: RunRecord, rendering: Rendering) -> dict[str, Any]:
    """A response as it stands; nobody waits for its end."""
    if record.result is None:
        return rendering.body(responses.status_of(record))
    end = await _finish(house, record, rendering)
    if isinstance(end, events.RunFailed):
        return rendering.failed(end)
    return rendering.finished(end)
