"""What a run did, and when: its trace, as this server keeps it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from server.auth import CallerDep
from server.errors import NotFound
from server.serving import House
from server.wire import traces
from server.wire.shapes import told

router = APIRouter(tags=["runs"])


@router.get("/runs/{run_id}/trace", responses=told(404))
async def trace(run_id: UUID, house: House, caller: CallerDep) -> traces.RunTrace:
    """A run's spans: agents, steps, model attempts, tools, searches, checks, checkpoints.

    Of the latest runs; an older one's trace, or any where traces are not kept, answers 404.
    """
    record = await house.runs.get(str(run_id), tenant=caller.tenant)
    found = await house.tracing.trace(record.run_id)
    if found is None:
        raise NotFound(f"no trace of run {run_id} is kept: it has not begun, or is too long ago")
    return traces.shown(record, found)
