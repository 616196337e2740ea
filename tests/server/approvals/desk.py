"""Paused runs and what they ask, with no graph: a run is claimed and stopped by hand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from guardrails.policy import Choice, Terms
from server.approvals.answering import answer
from server.approvals.record import Approval, NewApproval
from server.approvals.service import Approvals
from server.approvals.store import ApprovalStore
from server.approvals.sweeper import ApprovalSweeper
from server.audit.log import Audit
from server.auth import Caller
from server.runs.admission import Admission
from server.runs.asked import of_messages
from server.runs.queue import RunQueue
from server.runs.record import RunRecord
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.sections import CallerRole

RUNNING = frozenset({RunStatus.RUNNING})
OPERATOR = frozenset({CallerRole.USER, CallerRole.OPERATOR})


def operator(name: str = "olga", **given: Any) -> Caller:
    return Caller(name=name, roles=OPERATOR, **given)


REFUND = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "minimum": 0},
        "order": {"type": "string"},
        "notify": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["amount", "order"],
}
ARGS = {"amount": 120, "order": "A-7"}


def asking(run: RunRecord, interrupt: str = "i", **given: Any) -> NewApproval:
    """What a run asks before a refund."""
    asked: dict[str, Any] = {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "tenant": run.tenant,
        "interrupt_id": interrupt,
        "tool": "refund",
        "args": ARGS,
        "agent": "coder",
        "requested_by": "ruth",
        "rule": "ask for refund when amount > 100",
        "schema": REFUND,
        "context": {"question": "Refund A-7"},
    }
    return NewApproval(**{**asked, **given})


@dataclass(kw_only=True)
class Desk:
    """The queue with its runs, and a hand that plays the worker."""

    redis: Redis
    keys: Keys
    records: RunRecords
    queue: RunQueue
    runs: Runs
    approvals: Approvals
    audit: Audit
    sweeper: ApprovalSweeper
    numbers: Any = field(default_factory=itertools.count)

    async def running(self, thread_id: str | None = None, **given: Any) -> RunRecord:
        """A run that this worker has claimed."""
        thread_id = thread_id or f"t{next(self.numbers)}"
        asked = of_messages([{"role": "user", "content": "Refund A-7"}])
        made = await self.runs.create(asked, thread_id=thread_id, **given)
        return await self.claimed(made.run_id)

    async def claimed(self, run_id: str) -> RunRecord:
        return (await self.records.claim(run_id)).record

    async def pause(self, run: RunRecord, *new: NewApproval) -> list[Approval]:
        """Ask, then stop, as a worker does."""
        made = await self.approvals.request(new, fence=run.fence)
        await self.stop(run, [one.interrupt_id for one in new])
        return made

    async def stop(self, run: RunRecord, interrupts: Sequence[str]) -> None:
        shown = [{"id": name, "value": {}} for name in dict.fromkeys(interrupts)]
        await self.records.move(
            run.run_id,
            expected=RUNNING,
            to=RunStatus.INTERRUPTED,
            told={"type": "run.interrupted", "interrupts": shown, "usage": {}},
            token=run.token,
        )

    async def one(self, terms: Terms | None = None, **given: Any) -> Approval:
        """One approval that waits."""
        run = await self.running()
        new = asking(run, **given)
        return (await self.pause(run, replace(new, terms=terms) if terms else new))[0]

    async def decide(
        self, one: Approval | str, choice: str = "approve", *, who: str = "olga", **given: Any
    ) -> Approval:
        named = one if isinstance(one, str) else one.approval_id
        caller = given.pop("caller", None) or operator(who)
        return await self.approvals.decide(
            named,
            tenant=given.pop("tenant", "default"),
            caller=caller,
            choice=Choice(choice),
            **given,
        )

    async def run_of(self, one: Approval) -> RunRecord:
        return await self.records.get(one.run_id)

    async def use(self, one: Approval, call_id: str = "c1", **given: Any) -> Approval | None:
        """What the tool's executor asks, in the run as it is claimed now."""
        run = await self.records.get(one.run_id)
        if run.status is RunStatus.PENDING:
            run = await self.claimed(one.run_id)
        asked: dict[str, Any] = {
            "run_id": one.run_id,
            "tool": one.tool,
            "args_sha256": one.args_sha256,
            "call_id": call_id,
            "fence": run.fence,
        }
        return await self.approvals.consume(**{**asked, **given})

    async def told(self, tenant: str = "default") -> list[str]:
        """The kinds of what the audit log tells, the oldest first."""
        verdict = await self.audit.verify(tenant)
        assert verdict.whole, verdict.faults
        return [str(one.fields["kind"]) async for one in self.audit.entries(tenant)]

    async def over_now(self, one: Approval) -> None:
        """Its time is over, by Redis' clock."""
        await self.redis.hset(self.keys.approval(one.approval_id), "expires_at", 1)
        await self.redis.zadd(self.keys.approvals_expiring, {one.approval_id: 1}, xx=True)


def desk_of(redis: Redis, keys: Keys, queue: RunQueue, **given: Any) -> Desk:
    # No worker says how many runs it takes: here as many as there are.
    records = RunRecords(redis, keys, admission=Admission(window=1_000_000))
    runs = Runs(records=records, log=EventLog(redis, keys), queue=queue)
    approvals = Approvals(
        ApprovalStore(redis, keys), runs=runs, records=records, answer=answer, **given
    )
    return Desk(
        redis=redis,
        keys=keys,
        records=records,
        queue=queue,
        runs=runs,
        approvals=approvals,
        audit=Audit(redis, keys),
        sweeper=ApprovalSweeper(approvals),
    )


def resumed(run: RunRecord) -> Mapping[str, Any]:
    """What a run was resumed with."""
    assert run.status is RunStatus.PENDING
    value: Mapping[str, Any] = run.resume
    return value
