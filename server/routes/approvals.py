"""The approval queue over HTTP: what waits for a person, what he decides, and all of it live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from server import errors
from server.approvals import allowed, shown
from server.approvals.record import Approval, ApprovalError, ApprovalNotFoundError, ApprovalStatus
from server.approvals.shown import Viewer
from server.approvals.store import Filter
from server.auth import Caller, CallerDep
from server.clock import moment
from server.errors import Invalid
from server.routes.run_answers import IdempotencyKey
from server.serving import Heartbeat, House, Serving
from server.wire import approvals as wire
from server.wire import queries, shapes, sse
from server.wire.approvals import BulkDecision, BulkRequest, ClaimRequest, DecisionRequest

AT_ONCE = 16
SNAPSHOT = 500
_LOOKED_AT = 2_000

router = APIRouter(prefix="/approvals", tags=["approvals"])

Words = Annotated[list[str] | None, Query()]
Name = Annotated[str | None, Query(max_length=200)]


@router.get("", response_model=None)
async def list_(
    house: House,
    caller: CallerDep,
    status: Words = None,
    tool: Name = None,
    agent: Name = None,
    thread_id: Name = None,
    run_id: Name = None,
    requested_by: Name = None,
    *,
    mine: bool = False,
    claimable: bool = False,
    limit: Annotated[int, Query(ge=1, le=wire.MOST_LISTED)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    order: Annotated[str | None, Query(pattern="^(asc|desc)$")] = None,
) -> Response:
    """Approvals that fit, a page at a time.

    Operators see all of their tenant, others what they asked for or a rule lets them decide.

    `mine`: what the caller asked for. `claimable`: pending, open to the caller, nobody else at it.
    Pending ones come the oldest first, others the newest first, unless `order` says otherwise.
    """
    statuses = _statuses(status)
    if mine:
        requested_by = caller.name
    wanted = _visible(
        Filter(
            statuses=frozenset({ApprovalStatus.PENDING}) if claimable else statuses,
            tool=tool,
            agent=agent,
            thread_id=thread_id,
            run_id=run_id,
            requested_by=requested_by,
        ),
        caller,
    )
    waiting = wanted.statuses == frozenset({ApprovalStatus.PENDING})
    oldest_first = order == "asc" or (order is None and waiting)
    viewer = await _viewer(house, caller)
    if claimable:
        found, _ = await house.approvals.list(
            caller.tenant, wanted, limit=_LOOKED_AT, oldest_first=oldest_first
        )
        fit = [
            one
            for one in found
            if viewer.open_choices(one) and not viewer.is_claimed_by_another(one)
        ]
        page, total = fit[offset : offset + limit], len(fit)
    else:
        page, total = await house.approvals.list(
            caller.tenant, wanted, limit=limit, offset=offset, oldest_first=oldest_first
        )
    told = {
        "items": [shown.approval(one, viewer) for one in page],
        "total": total,
        "counts": await _counts(house, caller),
    }
    # Written at once: the framework would walk through hundreds of them once more.
    return Response(orjson.dumps(told), media_type="application/json")


@router.get("/stream", responses=shapes.told(media=shapes.EVENTS))
async def stream(
    house: House,
    caller: CallerDep,
    heartbeat: Heartbeat,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
) -> Response:
    """The queue, live: `snapshot` (what is pending), then an `approval` for each change.

    Who comes back with the last id as `Last-Event-ID`, on any replica, goes on from there; where
    that is too long ago, a new `snapshot` begins.
    """
    frames = _frames(house, caller, after=last_event_id or "")
    return sse.EventStream(frames, heartbeat=heartbeat)


@router.post("/decisions")
async def decide_many(asked: BulkRequest, house: House, caller: CallerDep) -> dict[str, Any]:
    """Decide many, each for itself: every item has its own `status`, as it would have alone."""
    turn = asyncio.Semaphore(AT_ONCE)
    viewer = await _viewer(house, caller)

    async def one(given: BulkDecision) -> dict[str, Any]:
        async with turn:
            try:
                done = await _decide(house, caller, given.id, given, key=given.idempotency_key)
            except (ApprovalError, errors.Fault) as error:
                fault = errors.fault_of(error)
                assert fault is not None
                told = {"detail": str(fault.detail), "field": fault.param, **fault.more}
                return {"id": given.id, "status": fault.status_code, **told}
        return {"id": given.id, "status": 200, "approval": shown.approval(done, viewer)}

    return {"items": await asyncio.gather(*(one(given) for given in asked.decisions))}


@router.get("/{approval_id}")
async def get(approval_id: str, house: House, caller: CallerDep) -> dict[str, Any]:
    """An approval, with what its approver needs to see."""
    one = await _seen(house, caller, approval_id)
    return shown.approval(one, await _viewer(house, caller))


@router.post("/{approval_id}/decision", responses=shapes.told(409, 410))
async def decide(
    approval_id: str,
    asked: DecisionRequest,
    house: House,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Decide, as the caller whose key this is. Its run goes on at once.

    200 also for the same decision of the same caller again; 403 for who may not decide it; 409
    with the `approval` where somebody was first or the arguments are others by now; 410 where the
    time is over; 422 for a decision that does not fit.
    """
    done = await _decide(house, caller, approval_id, asked, key=idempotency_key)
    return shown.approval(done, await _viewer(house, caller))


@router.post("/{approval_id}/claim", responses=shapes.told(409, 410))
async def claim(
    approval_id: str, house: House, caller: CallerDep, asked: ClaimRequest | None = None
) -> dict[str, Any]:
    """Show the others that the caller is at it; it locks nobody out. 409 if another is."""
    seconds = (asked or ClaimRequest()).seconds
    one = await house.approvals.claim(
        approval_id, tenant=caller.tenant, caller=caller, seconds=seconds
    )
    return shown.approval(one, await _viewer(house, caller))


@router.post("/{approval_id}/release", responses=shapes.told(409, 410))
async def release(approval_id: str, house: House, caller: CallerDep) -> dict[str, Any]:
    """Nobody is at it any more; an admin may say so of others."""
    one = await house.approvals.release(approval_id, tenant=caller.tenant, caller=caller)
    return shown.approval(one, await _viewer(house, caller))


async def _decide(
    house: Serving, caller: Caller, approval_id: str, asked: DecisionRequest, *, key: str | None
) -> Approval:
    try:
        said = asked.said()
    except ValueError as error:
        raise Invalid(f"message: {error}", param="message") from None
    return await house.approvals.decide(
        approval_id, tenant=caller.tenant, caller=caller, idempotency_key=key, **said
    )


async def _seen(house: Serving, caller: Caller, approval_id: str) -> Approval:
    one = await house.approvals.get(approval_id, tenant=caller.tenant)
    if not _sees(caller, one):
        raise ApprovalNotFoundError(f"no approval {approval_id[:100]}")
    return one


def _sees(caller: Caller, one: Approval) -> bool:
    sight = allowed.sight(caller)
    return sight is None or sight.covers(one)


def _visible(wanted: Filter, caller: Caller) -> Filter:
    """What the caller may see of what he wants."""
    return replace(wanted, seen_by=allowed.sight(caller))


def _statuses(given: Sequence[str] | None) -> frozenset[ApprovalStatus] | None:
    try:
        words = queries.names(given)
        found = frozenset(ApprovalStatus(word) for word in words if word != "all")
    except ValueError:
        known = ", ".join(status.value for status in ApprovalStatus)
        raise Invalid(f"status: give one or more of {known}", param="status") from None
    return found or None


async def _viewer(house: Serving, caller: Caller) -> Viewer:
    now = moment(await house.approvals.store.clock())
    roles = frozenset(role.value for role in caller.roles)
    return Viewer(name=caller.name, roles=roles, now=now)


async def _counts(house: Serving, caller: Caller) -> dict[str, int]:
    return shown.counts(
        await house.approvals.store.counts(caller.tenant, seen_by=allowed.sight(caller))
    )


async def _frames(house: Serving, caller: Caller, *, after: str) -> AsyncGenerator[bytes, None]:
    changes = house.approvals.changes
    if not await changes.knows(caller.tenant, after):
        # Read first, so that what changes meanwhile is told again rather than missed.
        after = await changes.last(caller.tenant)
        yield sse.frame(await _snapshot(house, caller), event="snapshot", id=after)
    async for batch in changes.follow(caller.tenant, after=after):
        ids = list(dict.fromkeys(change.approval_id for change in batch))
        found = {one.approval_id: one for one in await house.approvals.store.many(ids)}
        viewer, counted = await _viewer(house, caller), await _counts(house, caller)
        for change in batch:
            one = found.get(change.approval_id)
            if one is not None and _sees(caller, one):
                told = {"what": change.what, "approval": shown.approval(one, viewer)}
                yield sse.frame({**told, "counts": counted}, event="approval", id=change.id)


async def _snapshot(house: Serving, caller: Caller) -> dict[str, Any]:
    pending = _visible(Filter(statuses=frozenset({ApprovalStatus.PENDING})), caller)
    found, total = await house.approvals.list(caller.tenant, pending, limit=SNAPSHOT)
    viewer = await _viewer(house, caller)
    return {
        "items": [shown.approval(one, viewer) for one in found],
        "total": total,
        "counts": await _counts(house, caller),
    }
