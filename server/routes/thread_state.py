"""LangGraph's wire for the states of threads: looked at, changed, followed back."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from langchain_core.runnables import RunnableConfig

from server.auth import Caller, CallerDep
from server.errors import Invalid
from server.serving import House, Serving
from server.threads.states import Place, Update
from server.threads.thread import ThreadRecord
from server.wire import queries, shapes, thread_state
from server.wire.shapes import told
from server.wire.thread_state import (
    LONGEST_ID,
    MOST_STATES,
    HistoryRead,
    StateNote,
    StateRead,
    StateWrite,
)

router = APIRouter(tags=["threads"])

Select = Annotated[list[str] | None, Query()]
Flag = Annotated[bool, Query()]
CheckpointId = Annotated[str, Path(max_length=LONGEST_ID)]


@router.get("/threads/{thread_id}/state", responses=told(answer=shapes.ThreadState))
async def state(
    thread_id: UUID,
    house: House,
    caller: CallerDep,
    *,
    subgraphs: Flag = False,
    select: Select = None,
) -> dict[str, Any]:
    """The latest state."""
    return await _state(
        house, await _record(house, thread_id, caller), Place(), subgraphs, _selected(select)
    )


@router.get("/threads/{thread_id}/state/{checkpoint_id}", responses=told(answer=shapes.ThreadState))
async def state_at(
    thread_id: UUID,
    checkpoint_id: CheckpointId,
    house: House,
    caller: CallerDep,
    *,
    subgraphs: Flag = False,
    select: Select = None,
) -> dict[str, Any]:
    """The state at a checkpoint."""
    at = Place(checkpoint_id=checkpoint_id)
    return await _state(
        house, await _record(house, thread_id, caller), at, subgraphs, _selected(select)
    )


@router.post("/threads/{thread_id}/state/checkpoint", responses=told(answer=shapes.ThreadState))
async def state_of(
    thread_id: UUID, asked: StateRead, house: House, caller: CallerDep
) -> dict[str, Any]:
    """The state at a checkpoint, also within a subgraph."""
    return await _state(
        house,
        await _record(house, thread_id, caller),
        asked.checkpoint.place,
        bool(asked.subgraphs),
        asked.select,
    )


@router.post("/threads/{thread_id}/state", responses=told(409, answer=shapes.Written))
async def update(
    thread_id: UUID, asked: StateWrite, house: House, caller: CallerDep
) -> dict[str, Any]:
    """Change the state as if a node had; `checkpoint` forks from an earlier one.

    `{"values": null, "as_node": "__end__"}` drops what waits, as the inbox's Ignore does.
    """
    record = await _record(house, thread_id, caller)
    change = Update(values=asked.values, as_node=asked.as_node)
    return _written(await house.states.update(record, change, asked.place), record)


@router.patch("/threads/{thread_id}/state", responses=told(409, answer=shapes.Written))
async def annotate(
    thread_id: UUID, asked: StateNote, house: House, caller: CallerDep
) -> dict[str, Any]:
    """Merge metadata into that of the latest state."""
    record = await _record(house, thread_id, caller)
    at = asked.checkpoint.place if asked.checkpoint is not None else Place()
    return _written(await house.states.annotate(record, asked.metadata, at), record)


@router.get("/threads/{thread_id}/history", responses=told(answer=list[shapes.ThreadState]))
async def history(
    thread_id: UUID,
    house: House,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=MOST_STATES)] = 10,
    before: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
) -> list[dict[str, Any]]:
    """The states of a thread, the newest first."""
    return await _history(house, thread_id, caller, HistoryRead(limit=limit, before=before))


@router.post("/threads/{thread_id}/history", responses=told(answer=list[shapes.ThreadState]))
async def history_of(
    thread_id: UUID, house: House, caller: CallerDep, asked: HistoryRead | None = None
) -> list[dict[str, Any]]:
    """The states of a thread, the newest first: some, before one, of a subgraph."""
    return await _history(house, thread_id, caller, asked or HistoryRead())


async def _history(
    house: Serving, thread_id: UUID, caller: Caller, asked: HistoryRead
) -> list[dict[str, Any]]:
    record = await _record(house, thread_id, caller)
    found = await house.states.history(
        record,
        limit=asked.limit,
        before=asked.before_id,
        metadata=asked.metadata,
        at=asked.checkpoint.place if asked.checkpoint is not None else Place(),
    )
    return [
        thread_state.state(one, thread_id=record.thread_id, select=asked.select) for one in found
    ]


async def _record(house: Serving, thread_id: UUID, caller: Caller) -> ThreadRecord:
    return await house.threads.get(str(thread_id), tenant=caller.tenant)


async def _state(
    house: Serving,
    record: ThreadRecord,
    at: Place,
    subgraphs: bool,  # noqa: FBT001 - as it came in
    select: list[str] | None,
) -> dict[str, Any]:
    found = await house.states.get(record, at, subgraphs=subgraphs)
    return thread_state.state(found, thread_id=record.thread_id, select=select)


def _selected(given: list[str] | None) -> list[str] | None:
    try:
        return list(thread_state.selected(queries.names(given))) or None
    except ValueError as error:
        raise Invalid(f"select: {error}", param="select") from None


def _written(config: RunnableConfig, record: ThreadRecord) -> dict[str, Any]:
    """Where a state was written, in each form that clients know."""
    told = thread_state.checkpoint(config, thread_id=record.thread_id) or {}
    return {
        "checkpoint": told,
        "configurable": told,
        "checkpoint_id": told.get("checkpoint_id"),
    }
