"""OpenAI's wire: the team and its agents as models, chat completions streamed or at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Header, Request
from redis.exceptions import RedisError
from starlette.responses import JSONResponse, Response

from graphs import events
from server.approvals.record import ApprovalStatus
from server.artifacts import readable
from server.attaching import with_files
from server.auth import CallerDep
from server.errors import Invalid, NotFound, RunFault
from server.runs.asked import of_messages
from server.runs.records import RunNotFoundError, RunRecord
from server.runs.workload import in_background
from server.serving import Heartbeat, House, Serving
from server.wire import attachments, frontend_tasks, shapes, sse, waiting
from server.wire.chat import COLLECTION, ChatRequest, Completion, document_path, model_object
from server.wire.files import path_of
from server.wire.messages import plain
from server.wire.shapes import told

TEAM_MODEL = "counterpoint"
CANCEL_SECONDS = 5.0
DAY = 86_400.0
FLEX = "flex"
"""OpenAI's name for a service tier that may take longer."""

End = events.RunFinished | events.RunFailed

router = APIRouter(prefix="/v1", tags=["openai"])

_COMPLETION: shapes.Told = {
    200: {
        "description": "The completion, or its chunks as server-sent events",
        "content": {
            shapes.JSON: {"schema": {"type": "object"}},
            shapes.EVENTS: {"schema": shapes.EVENT},
        },
    }
}
_log = logging.getLogger(__name__)

CollectionHeader = Annotated[
    str | None, Header(alias="X-Counterpoint-Collection", pattern=COLLECTION)
]


@router.get("/models", responses=told(answer=shapes.Models))
async def models(request: Request, house: House) -> dict[str, Any]:
    """The team, and each of its agents by itself."""
    created = request.app.state.started
    return {
        "object": "list",
        "data": [model_object(name, created=created) for name in model_names(house)],
    }


@router.get("/models/{name}", responses=told(answer=shapes.Model))
async def model(name: str, request: Request, house: House) -> dict[str, Any]:
    """One of the models."""
    agent_of(name, house)
    return model_object(name, created=request.app.state.started)


@router.post(
    "/chat/completions",
    response_model=None,
    responses={**told(404, 409, 500, 502, 504), **_COMPLETION},
)
async def chat_completions(
    asked: ChatRequest,
    request: Request,
    house: House,
    caller: CallerDep,
    heartbeat: Heartbeat,
    collection: CollectionHeader = None,
) -> Response:
    """Ask the team. Its progress comes as `reasoning_content`; a caller who leaves ends the run."""
    if refused := asked.unsupported():
        param, why = refused
        raise Invalid(f"{param}: {why}", param=param, code="unsupported_parameter")
    agent = agent_of(asked.model, house)
    found = attachments.taken(asked.messages, limit=house.settings.file_limits().file_bytes)
    # Checked before anything is kept.
    said = plain(found.messages())
    tasks = house.settings.frontend_tasks and not found.files
    task = frontend_tasks.recognised(said) if tasks else None

    async def create(names: Sequence[str], thread_id: str | None) -> RunRecord:
        if task is not None:
            wanted = frontend_tasks.asked_of(task)
        else:
            wanted = of_messages(
                plain(found.messages(names)) if names else said,
                agent=agent,
                collection=asked.collection or collection or house.settings.collection,
            )
        if asked.service_tier == FLEX:
            wanted = in_background(wanted)
        return await house.runs.create(
            replace(wanted, user=caller.name, roles=sorted(caller.roles)),
            tenant=caller.tenant,
            thread_id=thread_id,
            new_thread=house.settings.chat_thread(),
        )

    record = await with_files(
        house.files, found.files, tenant=caller.tenant, thread_id=None, create=create
    )
    completion = Completion(
        run_id=record.run_id,
        thread_id=record.thread_id,
        model=asked.model,
        created=int(record.created_at.timestamp()) if record.created_at else 0,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        quiet=task is not None,
        url=await address_of(request, house, tenant=caller.tenant),
        documents=documents_of(request, record),
    )

    async def cancel() -> None:
        await leave(house, record)

    headers = {"x-request-id": record.run_id}
    if asked.stream:
        frames = _frames(house, record, completion)
        return sse.EventStream(frames, heartbeat=heartbeat, headers=headers, gone=cancel)
    waiting = asyncio.create_task(_finish(house, record, completion), name="completion")
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
    return JSONResponse(completion.body(end), headers=headers)


def base_of(request: Request) -> str:
    """What links begin with: how the caller has reached us.

    Where TLS ends before us, a proxy's header says so. It is believed of whoever sends it: it
    changes the links of that caller's own answer.
    """
    told = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    url = request.base_url
    return str(url.replace(scheme=told) if told in {"http", "https"} else url).rstrip("/")


async def address_of(request: Request, house: Serving, *, tenant: str) -> Callable[[str], str]:
    """Where a reader of an answer fetches its files: in full, and where keys are needed signed."""
    base = base_of(request)
    if not house.settings.has_keys:
        return lambda artifact_id: base + path_of(artifact_id)
    seconds = house.settings.files.link_days * DAY
    query = await house.file_links.signer(tenant=tenant, seconds=seconds)
    return lambda artifact_id: base + path_of(artifact_id) + query(artifact_id)


def documents_of(request: Request, record: RunRecord) -> Callable[[str], str]:
    """Where a client that is not on our own page asks for a document that a run has cited."""
    base = base_of(request)
    within = f"?collection={quote(record.asked.collection, safe='')}"

    def url(document_id: str) -> str:
        # A file of the thread is in a collection of its own, which its id tells.
        there = "" if readable.collection_of(document_id) else within
        return base + document_path(document_id) + there

    return url


def model_names(house: Serving) -> list[str]:
    return [TEAM_MODEL, *(f"{TEAM_MODEL}-{name}" for name in house.agents)]


def agent_of(model: str, house: Serving) -> str:
    """The agent behind a model's name. Raises NotFound."""
    names = model_names(house)
    if model not in names:
        named = model.encode("utf-8", errors="replace").decode()[:100]
        raise NotFound(
            f"model: no model {named!r} here; use one of {', '.join(names)}",
            param="model",
            code="model_not_found",
        )
    return model.removeprefix(TEAM_MODEL).removeprefix("-") or "team"


async def _frames(house: Serving, record: RunRecord, completion: Completion) -> sse.Frames:
    yield sse.frame(completion.opening())
    try:
        async with aclosing(cast("Any", house.runs.events(record.run_id))) as entries:
            async for entry in entries:
                for chunk in completion.progress(entry.event):
                    yield sse.frame(chunk)
        end = await ended(house, record)
    except (RedisError, OSError, RunNotFoundError) as error:
        end = lost(record.run_id, error)
    if isinstance(end, events.RunFailed):
        yield sse.frame(completion.failure(end))
        return
    for chunk in completion.ending(end):
        yield sse.frame(chunk)
    yield sse.DONE


async def _finish(house: Serving, record: RunRecord, completion: Completion) -> End:
    async with aclosing(cast("Any", house.runs.events(record.run_id))) as entries:
        async for entry in entries:
            completion.progress(entry.event)
    return await ended(house, record)


async def ended(house: Serving, record: RunRecord) -> End:
    """A run's end; it is stored before it is told, and the log may have been trimmed."""
    record = await house.runs.get(record.run_id, tenant=record.tenant)
    end = events.EVENT.validate_python(record.result)
    if isinstance(end, events.RunInterrupted):
        asked = await house.approvals.store.of_run(record.run_id)
        told = waiting.words(
            [one for one in asked if one.status is ApprovalStatus.PENDING],
            run_id=record.run_id,
            thread_id=record.thread_id,
        )
        return events.RunFinished(answer=told, stop_reason=waiting.WAITING, usage=end.usage)
    assert isinstance(end, End)
    return end


def lost(run_id: str, error: Exception) -> events.RunFailed:
    _log.warning("run %s cannot be followed: %s", run_id, error)
    return events.RunFailed(
        error="unavailable",
        message="The server lost its store and cannot follow the run; try again in a moment.",
    )


async def leave(house: Serving, record: RunRecord) -> None:
    """End a run that nobody can take up again. Best effort: its limits end it otherwise."""
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            await house.runs.cancel(record.run_id, tenant=record.tenant)
    except (RedisError, OSError, RunNotFoundError) as error:
        _log.warning("run %s was left by its caller and not cancelled: %s", record.run_id, error)
