"""For operators: the calls that agents made, and what the policy says to them now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from graphs.event_log import position
from server import policy_section, replay
from server.auth import OperatorDep
from server.errors import Forbidden
from server.runs.record import RunRecord
from server.sections import TENANT, CallerRole
from server.serving import House, Serving

MOST = 10_000
_RUNS_AT_ONCE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An asked call is told before it is made, maybe with other arguments: what was wanted counts.
_WANTED = frozenset({"tool.started", "approval.requested"})

router = APIRouter(prefix="/admin", tags=["admin"])


@router.get("/calls")
async def calls(
    house: House,
    caller: OperatorDep,
    since: AwareDatetime,
    tenant: Annotated[str | None, Query(pattern=TENANT)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
) -> dict[str, Any]:
    """Tool calls of the runs that began since then, as recorded, each with the policy's verdict.

    An admin sees those of all tenants. `truncated`: there are more than `limit`.
    """
    if not caller.may(CallerRole.ADMIN):
        if tenant not in {None, caller.tenant}:
            raise Forbidden(f"tenant: the key {caller.name!r} sees only {caller.tenant!r}")
        tenant = caller.tenant
    # Redis knows no time before it, and an instant of the year 1 has none in UTC.
    since = max(since, _EPOCH)
    settings = house.settings
    rules = policy_section.read(settings.policy, alone=not settings.has_keys)
    items: list[dict[str, Any]] = []
    found = _calls(house, since=since, tenant=tenant)
    async with aclosing(cast("Any", found)):
        async for item in found:
            if len(items) == limit:
                return {"items": items, "truncated": True}
            items.append({**item, "verdict": replay.verdict_of(rules, item)})
    return {"items": items, "truncated": False}


async def _calls(
    house: Serving, *, since: datetime, tenant: str | None
) -> AsyncIterator[dict[str, Any]]:
    """The calls, thread by thread, the newest run's thread first; each call once."""
    runs: dict[str, RunRecord] = {}
    threads: dict[tuple[str, str], None] = {}
    async for record in _begun(house, since=since, tenant=tenant):
        runs[record.run_id] = record
        threads[record.tenant, record.thread_id] = None
    for owner, thread_id in threads:
        seen: set[tuple[str, str]] = set()
        async for entry in house.runs.past(thread_id, since=since, tenant=owner):
            run, event = runs.get(entry.run_id), entry.event
            key = (entry.run_id, str(event.get("call_id")))
            if run is None or event.get("type") not in _WANTED or key in seen:
                continue
            seen.add(key)
            at = datetime.fromtimestamp(position(entry.id)[0] / 1000, UTC)
            yield {
                "at": at.isoformat(),
                "run_id": run.run_id,
                "thread_id": run.thread_id,
                "tenant": run.tenant,
                "user": run.asked.user,
                "roles": sorted(run.asked.roles),
                "agent": event["agent"],
                "tool": event["tool"],
                "args": event["args"],
            }


async def _begun(
    house: Serving, *, since: datetime, tenant: str | None
) -> AsyncIterator[RunRecord]:
    """Runs that began since then, the newest first."""
    offset = 0
    while True:
        page = await house.runs.search(tenant=tenant, limit=_RUNS_AT_ONCE, offset=offset)
        for record in page:
            if record.created_at is not None and record.created_at < since:
                return
            yield record
        if len(page) < _RUNS_AT_ONCE:
            return
        offset += len(page)
