"""What has to hold of approvals and of the tools that they let run: a part of the oracle."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from redis.asyncio import Redis

from graphs.keys import Keys
from server.approvals.record import Approval, ApprovalStatus
from server.approvals.store import ApprovalStore
from server.audit.log import Audit
from tests.faults.tools import REFUND
from tests.faults.world import Called

PENDING = ApprovalStatus.PENDING


async def problems(
    redis: Redis,
    keys: Keys,
    *,
    runs: Mapping[str, str],
    tenants: Collection[str],
    calls: Sequence[Called],
) -> list[str]:
    """Each thing that does not hold. ``runs`` are ids with the state that each run is in."""
    store = ApprovalStore(redis, keys)
    approvals = [one for run_id in runs for one in await store.of_run(run_id)]
    found = _ran(approvals, calls)
    for tenant in sorted(tenants):
        mine = [one for one in approvals if one.tenant == tenant]
        found += await _told(Audit(redis, keys), tenant, mine)
    waiting = {one.approval_id for one in approvals if one.status is PENDING}
    for one in approvals:
        if one.status is PENDING and runs[one.run_id] != "interrupted":
            found.append(f"(vi) approval of {one.tool} waits for a run that is {runs[one.run_id]}")
    for name in (keys.approvals_expiring, keys.approvals_resuming):
        for member in cast("list[bytes]", await redis.zrange(name, 0, -1)):
            if member.decode() not in waiting:
                found.append(f"(vi) {name} still holds {member.decode()}")
    return found


def _ran(approvals: Sequence[Approval], calls: Sequence[Called]) -> list[str]:
    """(iii) What ran was approved, with these arguments; each approval let one call run."""
    found = []
    permits: defaultdict[tuple[str, object], list[Approval]] = defaultdict(list)
    for one in approvals:
        if one.status.permits and one.used_at is not None:
            permits[one.tool, one.final_args.get("order")].append(one)
    made: defaultdict[tuple[str, object], list[Called]] = defaultdict(list)
    for call in calls:
        made[call.tool, call.order].append(call)
    for (tool, order), many in made.items():
        allowed = permits[tool, order]
        amounts = {one.final_args["amount"] for one in allowed}
        if not allowed:
            found.append(f"(iii) {tool} for {order} ran {len(many)} times, and nobody approved it")
        elif any(call.amount not in amounts for call in many):
            found.append(f"(iii) {tool} for {order} ran with {[call.amount for call in many]}")
        elif tool == REFUND and len(many) > len(allowed):
            found.append(f"(iii) {tool} for {order} ran {len(many)} times for {len(allowed)}")
        elif len({call.key for call in many}) > len(allowed):
            found.append(f"(iii) {tool} for {order} ran under {len({c.key for c in many})} keys")
    return found


async def _told(audit: Audit, tenant: str, approvals: Sequence[Approval]) -> list[str]:
    """(v) The audit chain is whole, and has one entry for each thing that happened."""
    verdict = await audit.verify(tenant)
    found = [f"(v) audit of {tenant}: {fault.what}" for fault in verdict.faults]
    told: defaultdict[str, Counter[str]] = defaultdict(Counter)
    async for entry in audit.entries(tenant):
        told[str(entry.fields.get("approval_id"))][str(entry.fields.get("kind"))] += 1
    for one in approvals:
        expected = Counter(
            requested=1,
            decided=len(one.decisions),
            expired=int(one.status is ApprovalStatus.EXPIRED),
            cancelled=int(one.status is ApprovalStatus.CANCELLED),
            executed=one.uses,
        )
        if told[one.approval_id] != +expected:
            found.append(
                f"(v) approval of {one.tool} is {one.status}, {len(one.decisions)} decisions, "
                f"{one.uses} uses; the audit tells {dict(told[one.approval_id])}"
            )
    return found
