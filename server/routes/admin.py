"""For operators: why a run is where it is, and how it or its thread is set going again."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from models.pool import EndpointStatus
from server.auth import Caller, OperatorDep
from server.errors import Forbidden
from server.model_routing import ModelStatus
from server.runs.asked import CancelAction
from server.runs.explain import Explanation
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.sections import TENANT, CallerRole
from server.serving import House, Serving
from server.wire.shapes import told

MOST = 1_000

router = APIRouter(prefix="/admin", tags=["admin"])


class FailRequest(BaseModel):
    """Why a run is ended as failed; its followers read it."""

    model_config = ConfigDict(extra="ignore")

    reason: str = Field(min_length=1, max_length=1_000)


class CancelRequest(BaseModel):
    """What becomes of the steps of a run that is cancelled."""

    model_config = ConfigDict(extra="ignore")

    action: CancelAction = CancelAction.INTERRUPT


@router.get("/runs")
async def runs(
    house: House,
    caller: OperatorDep,
    status: RunStatus | None = None,
    tenant: Annotated[str | None, Query(pattern=TENANT)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> dict[str, Any]:
    """Runs in any state, the newest first; an admin sees those of all tenants."""
    if not caller.may(CallerRole.ADMIN):
        if tenant not in {None, caller.tenant}:
            raise Forbidden(f"tenant: the key {caller.name!r} sees only {caller.tenant!r}")
        tenant = caller.tenant
    found = await house.runs.search(tenant=tenant, status=status, limit=limit, offset=offset)
    return {"items": [described(record) for record in found]}


@router.get("/runs/{run_id}")
async def run(run_id: UUID, house: House, caller: OperatorDep) -> dict[str, Any]:
    """A run with what was asked of it, and in words why it is where it is."""
    found = await _explained(house, caller, run_id)
    return {**described(found.record), "asked": found.record.asked.stored(), **_place(found)}


@router.post("/runs/{run_id}/requeue", responses=told(409))
async def requeue(run_id: UUID, house: House, caller: OperatorDep) -> dict[str, Any]:
    """Put a run that waits on the queue once more; of one that failed, a new run is made."""
    await _explained(house, caller, run_id)
    return described(await house.runs.requeue(str(run_id)))


@router.post("/runs/{run_id}/fail", responses=told(409))
async def fail(
    run_id: UUID, asked: FailRequest, house: House, caller: OperatorDep
) -> dict[str, Any]:
    """End a run as failed, whoever holds it."""
    await _explained(house, caller, run_id)
    return described(await house.runs.fail(str(run_id), reason=asked.reason))


@router.post("/runs/{run_id}/cancel", responses=told(409))
async def cancel(
    run_id: UUID, house: House, caller: OperatorDep, asked: CancelRequest | None = None
) -> dict[str, Any]:
    """Ask for a run's end; its worker hears of it within seconds."""
    record = (await _explained(house, caller, run_id)).record
    action = (asked or CancelRequest()).action
    return described(await house.runs.cancel(record.run_id, tenant=record.tenant, action=action))


@router.post("/threads/{thread_id}/unlock", responses=told(409))
async def unlock(thread_id: UUID, house: House, caller: OperatorDep) -> dict[str, Any]:
    """Let go of a thread whose run is over or has lost its worker; 409 where one is at work."""
    # Whether there is such a thread; a thread of another tenant's is not found.
    await house.threads.get(str(thread_id), tenant=caller.tenant)
    done = await house.repairs.unlock(str(thread_id), tenant=caller.tenant)
    return {
        "thread_id": str(thread_id),
        "released": [{"run_id": one.run_id, "why": one.why} for one in done.released],
        "waiting": done.waiting,
    }


@router.get("/models")
async def models(house: House, caller: OperatorDep) -> dict[str, Any]:
    """How this process gets on with its models' endpoints; nothing where it advances no runs."""
    del caller
    return {"items": [_model(one) for one in house.routing.status()]}


async def _explained(house: Serving, caller: Caller, run_id: UUID) -> Explanation:
    """The run, if it is the caller's to mend. Raises RunNotFoundError."""
    found = await house.runs.explain(str(run_id))
    if found.record.tenant != caller.tenant and not caller.may(CallerRole.ADMIN):
        raise RunNotFoundError(f"no run {run_id}")
    return found


def described(record: RunRecord) -> dict[str, Any]:
    """A run as operators see it; times as ISO 8601."""
    times = ("created_at", "updated_at", "due_at", "lease_until")
    told = {name: getattr(record, name) for name in times}
    return {
        "run_id": record.run_id,
        "thread_id": record.thread_id,
        "tenant": record.tenant,
        "status": record.status.value,
        "graph": record.asked.graph,
        "assistant_id": record.asked.assistant_id,
        "user": record.asked.user,
        "attempts": record.attempts,
        "worker": record.worker or None,
        "cancel_requested": record.cancel_requested,
        "error": record.error,
        **{name: value.isoformat() if value else None for name, value in told.items()},
    }


def _model(found: ModelStatus) -> dict[str, Any]:
    pool = found.pool
    return {
        "model": found.model,
        "waiting": pool.waiting if pool else 0,
        "answered_by": dict(found.fallbacks),
        "endpoints": [_endpoint(one) for one in pool.endpoints] if pool else [],
    }


def _endpoint(one: EndpointStatus) -> dict[str, Any]:
    """Times in seconds, the cache's use from 0 to 1; null where the endpoint has not told it."""
    load = one.metrics
    return {
        "endpoint": one.endpoint,
        "state": one.state.value,
        "tried_again_in": one.opens_in,
        "in_flight": one.in_flight,
        "calls": one.calls,
        "failures": {kind.value: count for kind, count in one.failures.items()},
        "openings": one.openings,
        "running": load.running if load else None,
        "queued": load.waiting if load else None,
        "kv_cache": load.kv_cache if load else None,
        "prefix_hit_rate": load.prefix_hit_rate if load else None,
        "load_age": one.metrics_age,
    }


def _place(found: Explanation) -> dict[str, Any]:
    return {
        "why": found.sentence,
        "place_in_thread": found.place_in_thread,
        "thread_head": found.thread_head or None,
        "place_in_tenant": found.place_in_tenant,
        "given_up": found.given_up,
        "workers": found.workers,
        "slots": found.slots,
        "under_way": found.under_way,
        "tenant_under_way": found.tenant_under_way,
        "lease_seconds_left": found.lease_seconds_left,
    }
