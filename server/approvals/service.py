"""The approval queue as the rest of the server sees it: asked, found, decided, used, settled.

A decision is stored, then confirmed on disk, then its run is resumed; whatever dies in between,
the sweeper goes on. A call is let run by one approved record, once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from guardrails.policy import Choice, OnExpiry
from server.approvals import allowed, stored
from server.approvals.allowed import Judge, Said
from server.approvals.changes import Changes
from server.approvals.deciding import Decider, nothing
from server.approvals.endings import Endings, too_late
from server.approvals.pausing import Groups, Pause, grouped, pause_of
from server.approvals.record import (
    Approval,
    ApprovalStatus,
    ClaimedError,
    Kind,
    NewApproval,
    UnconfirmedDecisionError,
    approval_id,
)
from server.approvals.store import ApprovalStore, Filter, line_of
from server.audit.entry import Kind as Told
from server.audit.entry import Line
from server.auth import Caller
from server.runs.durability import Durability, UnconfirmedError
from server.runs.record import RunConflictError, RunError, RunNotFoundError
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.sections import CallerRole

Answer = Callable[[Sequence[Approval]], Any]
"""The answer to one interrupt from its approvals, all decided or expired, in their order."""

CLAIM_SECONDS = 300.0
LATER_SECONDS = 30.0
"""How long a surface that resumes the run itself has for that."""

_log = logging.getLogger(__name__)


class Approvals:
    """All approvals. ``answer`` writes to runs, ``judge`` is the policy for edited arguments."""

    def __init__(
        self,
        store: ApprovalStore,
        *,
        runs: Runs,
        records: RunRecords,
        answer: Answer,
        judge: Judge | None = None,
        durability: Durability | None = None,
    ) -> None:
        self.store = store
        self.changes = Changes(store.redis, store.keys)
        self._runs = runs
        self._records = records
        self._answer = answer
        self._durability = durability or Durability(store.redis)
        self._endings = Endings(store)
        self._decider = Decider(
            store, endings=self._endings, judge=judge, durability=self._durability
        )

    # Asked by runs

    async def request(self, new: Sequence[NewApproval], *, fence: str) -> list[Approval]:
        """Put down what one pause of one run asks; asking the same again changes nothing.

        Raises graphs.fence.FencedError, RunNotFoundError, guardrails.arguments.ArgumentsError.
        """
        if not new:
            return []
        pause = pause_of(await self._records.get(new[0].run_id))
        known = grouped(await self.store.of_run(new[0].run_id))
        ids = [await self._request(one, known, pause, fence=fence) for one in new]
        return await self.store.many(ids)

    async def _request(
        self,
        new: NewApproval,
        known: Groups,
        pause: Pause,
        *,
        fence: str,
    ) -> str:
        same = known.get((new.interrupt_id, new.index), ())
        sha = stored.sha_of(new)
        named = approval_id(new.run_id, new.interrupt_id, new.index, generation=len(same))
        if same:
            last = same[-1]
            if pause.asks_again(last) and stored.sha_of(last) == sha:
                named = last.approval_id
            elif last.status is ApprovalStatus.PENDING:
                await self._endings.cancel(
                    last, why="its run asks something else now", even_if_wanted=True
                )
        line = Line(
            kind=Told.REQUESTED,
            who=new.requested_by,
            via="run",
            approval_id=named,
            args_before=new.args,
            args_sha256=sha,
            detail={"reason": new.reason, "terms": stored.terms_shown(new.terms)},
            **line_of(new),
        )
        await self.store.request(named, new, sha=sha, fence=fence, pause=pause.number, line=line)
        return named

    async def consume(
        self, *, run_id: str, tool: str, args_sha256: str, call_id: str, fence: str
    ) -> Approval | None:
        """The approval that lets exactly this call run, used up and on disk; None: do not run it.

        The same ``call_id`` gets the same one again; whether its effect is there already is
        another's to know. Raises FencedError, UnconfirmedDecisionError (do not run it; ask again).
        """
        fitting = [
            one
            for one in await self.store.of_run(run_id)
            if _lets_run(one, tool=tool, args_sha256=args_sha256)
        ]

        def order(one: Approval) -> tuple[bool, bool, bool]:
            return (one.used_by != call_id, one.used_at is not None, one.call_id != call_id)

        for one in sorted(fitting, key=order):
            open_ = one.used_at is None or one.used_by == call_id or one.terms.remember
            if open_ and await self._use(one, call_id=call_id, fence=fence):
                return await self.store.get(one.approval_id)
        return None

    async def _use(self, one: Approval, *, call_id: str, fence: str) -> bool:
        line = Line(
            kind=Told.LIMIT_RAISED if one.kind is Kind.LIMIT else Told.EXECUTED,
            who=one.decisions[-1].decider if one.decisions else "",
            via="run",
            approval_id=one.approval_id,
            call_id=call_id,
            args_before=one.args,
            args_after=one.final_args,
            args_sha256=one.args_sha256,
            **line_of(one),
        )

        async def write(client: Redis) -> str:
            return await self.store.use(one, call_id=call_id, fence=fence, line=line, client=client)

        try:
            word = await self._durability.confirmed(write, then=nothing)
        except UnconfirmedError as error:
            raise UnconfirmedDecisionError(
                f"approval {one.approval_id} may or may not be used: {error}"
            ) from error
        return word in {"ended", "again"}

    async def remembered(self, *, run_id: str, tool: str, args_sha256: str) -> bool:
        """Whether an approval of an equal call holds for this run."""
        return any(
            one.terms.remember and _lets_run(one, tool=tool, args_sha256=args_sha256)
            for one in await self.store.of_run(run_id)
        )

    # Looked at

    async def get(self, approval_id: str, *, tenant: str) -> Approval:
        """Raises ApprovalNotFoundError."""
        return await self.store.get(approval_id, tenant=tenant)

    async def list(
        self,
        tenant: str,
        wanted: Filter | None = None,
        *,
        limit: int = 50,
        offset: int = 0,
        oldest_first: bool = True,
    ) -> tuple[list[Approval], int]:
        """One page of the approvals that fit, and how many fit in all."""
        return await self.store.find(
            tenant, wanted or Filter(), limit=limit, offset=offset, oldest_first=oldest_first
        )

    async def ready(self, run_id: str) -> Mapping[str, Sequence[Approval]]:
        """Interrupts that the run waits at and of which all approvals are decided."""
        try:
            record = await self._records.get(run_id)
        except RunNotFoundError:
            return {}
        if record.status is not RunStatus.INTERRUPTED:
            return {}
        return pause_of(record).ready(grouped(await self.store.of_run(run_id)))

    # Decided

    async def decide(
        self,
        approval_id: str,
        *,
        tenant: str,
        caller: Caller,
        choice: Choice,
        args: Mapping[str, Any] | None = None,
        tool: str | None = None,
        message: str | None = None,
        args_sha256: str | None = None,
        idempotency_key: str | None = None,
        via: str = "api",
        resume: bool = True,
        raw: tuple[Any] | None = None,
    ) -> Approval:
        """Say yes or no, as ``caller``; the approval as it stands then, on disk.

        The same caller saying the same again gets the first result. ``raw`` holds what a graph
        that asked in no dialect is told as it is. Without ``resume`` the run is left to whoever
        called, and resumed by the sweeper after ``LATER_SECONDS``. Raises an ApprovalError.
        """
        said = Said(
            choice=choice,
            args=args,
            tool=tool,
            message=message,
            args_sha256=args_sha256,
            raw=raw[0] if raw else None,
            has_raw=raw is not None,
        )
        one, ended = await self._decider.decide(
            approval_id,
            said,
            tenant=tenant,
            caller=caller,
            key=idempotency_key,
            via=via,
            later_seconds=0 if resume else LATER_SECONDS,
        )
        if not ended or not resume:
            return one
        await self._resumed(one.run_id)
        return await self.store.get(approval_id, tenant=tenant)

    async def claim(
        self, approval_id: str, *, tenant: str, caller: Caller, seconds: float = CLAIM_SECONDS
    ) -> Approval:
        """Show others that the caller is at it. It locks nobody out.

        Raises ApprovalNotFoundError, NotAllowedError, ClaimedError, AlreadyDecidedError.
        """
        one = await self.store.get(approval_id, tenant=tenant)
        allowed.check_roles(caller, one.terms, approval_id=approval_id)
        done = await self.store.claim(approval_id, tenant=tenant, who=caller.name, seconds=seconds)
        now = await self.store.get(approval_id, tenant=tenant)
        if done.word == "decided":
            raise too_late(now)
        if done.word == "claimed":
            raise ClaimedError(f"{done.text!r} is at approval {approval_id} already")
        return now

    async def release(self, approval_id: str, *, tenant: str, caller: Caller) -> Approval:
        """Nobody is at it any more. An admin may say so of others.

        Raises ApprovalNotFoundError, NotAllowedError, ClaimedError.
        """
        one = await self.store.get(approval_id, tenant=tenant)
        allowed.check_roles(caller, one.terms, approval_id=approval_id)
        done = await self.store.release(
            approval_id,
            tenant=tenant,
            who=caller.name,
            anybody=caller.may(CallerRole.ADMIN),
        )
        if done.word == "claimed":
            raise ClaimedError(f"{done.text!r} is at approval {approval_id}; an admin may release")
        return await self.store.get(approval_id, tenant=tenant)

    # Settled

    async def settle_thread(
        self, tenant: str, thread_id: str, *, why: str = "", caller: Caller | None = None
    ) -> int:
        """Cancel what is pending for runs of a thread that wait no more; replies how many."""
        count = 0
        for one in await self.store.of_thread(thread_id, tenant=tenant):
            if one.status is ApprovalStatus.PENDING:
                count += await self._endings.cancel(
                    one, why=why or "its run is over", caller=caller
                )
        return count

    async def hand_over(self, run_id: str, *, to: str, tenant: str) -> int:
        """A new run answers what a paused one has asked: its approvals are the new one's now."""
        return await self.store.hand_over(run_id, to=to, tenant=tenant)

    async def resume(self, run_id: str) -> bool:
        """Tell a run what was decided, if it waits; whether there is nothing left to tell it.

        Raises RunError where the run cannot be resumed now.
        """
        try:
            record = await self._records.get(run_id)
        except RunNotFoundError:
            return True
        if record.status.is_terminal:
            return True
        known = grouped(await self.store.of_run(run_id))
        if record.status is not RunStatus.INTERRUPTED:
            return False
        ready = pause_of(record).ready(known)
        if not ready:
            return True
        for one in (one for group in ready.values() for one in group):
            if one.status is ApprovalStatus.EXPIRED and one.terms.on_expiry is OnExpiry.FAIL:
                await self._runs.fail(
                    run_id,
                    reason=f"nobody decided in time whether {one.tool} may run "
                    f"(approval {one.approval_id})",
                )
                return True
        value = {interrupt: self._answer(group) for interrupt, group in ready.items()}
        await self._runs.resume(run_id, value=value, tenant=record.tenant)
        await self.store.resumed(one for group in ready.values() for one in group)
        return True

    async def expire(self, one: Approval) -> None:
        """Its time is over: it ends as expired, and its run hears of that."""
        if await self._endings.expire(one):
            await self._resumed(one.run_id)

    async def cancel_orphan(self, one: Approval, *, why: str) -> bool:
        """Cancel it if its run will not hear of it any more."""
        return await self._endings.cancel(one, why=why)

    async def _resumed(self, run_id: str) -> None:
        """What was decided is stored: where its run cannot be told now, the sweeper tells it."""
        try:
            await self.resume(run_id)
        except RunConflictError:
            _log.debug("run %s was resumed by somebody else", run_id)
        except (RunError, RedisError, OSError) as error:
            _log.warning("run %s is decided and not yet resumed: %s", run_id, error)


def _lets_run(one: Approval, *, tool: str, args_sha256: str) -> bool:
    """Whether it is a person's yes to this call; what a graph of one's own has asked is none."""
    return (
        one.kind is not Kind.INTERRUPT
        and one.status.permits
        and one.tool == tool
        and one.args_sha256 == args_sha256
    )
