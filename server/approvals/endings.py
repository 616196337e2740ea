"""Approvals that end with nobody deciding: over time, or with their run."""

from __future__ import annotations

from server.approvals.record import (
    AlreadyDecidedError,
    Approval,
    ApprovalStatus,
    ExpiredError,
)
from server.approvals.store import ApprovalStore, line_of
from server.audit.entry import Kind as Told
from server.audit.entry import Line
from server.auth import Caller
from server.sections import CallerRole


class Endings:
    """Writes such ends, each with its line in the audit log."""

    def __init__(self, store: ApprovalStore) -> None:
        self._store = store

    async def expire(self, one: Approval) -> bool:
        """End it as expired if its time is over; whether this call did."""
        line = Line(
            kind=Told.EXPIRED,
            via="clock",
            approval_id=one.approval_id,
            args_before=one.final_args,
            args_sha256=one.args_sha256,
            detail={"on_expiry": one.terms.on_expiry.value},
            **line_of(one),
        )
        done = await self._store.expire(one, line)
        if done.word == "over":
            await self.cancel(one, why=done.text)
        return done.word == "ended"

    async def cancel(
        self, one: Approval, *, why: str, caller: Caller | None = None, even_if_wanted: bool = False
    ) -> bool:
        """End it as cancelled if its run will not hear of it; whether this call did."""
        line = Line(
            kind=Told.CANCELLED,
            who=caller.name if caller else "",
            role=highest_role(caller) if caller else "",
            via="api" if caller else "run",
            approval_id=one.approval_id,
            message=why,
            args_before=one.final_args,
            args_sha256=one.args_sha256,
            **line_of(one),
        )
        done = await self._store.cancel(one, line, why=why, even_if_wanted=even_if_wanted)
        return done.word == "ended"


def highest_role(caller: Caller) -> str:
    """The role that says most about a caller."""
    ranked = (CallerRole.ADMIN, CallerRole.OPERATOR, CallerRole.USER)
    return next((role.value for role in ranked if role in caller.roles), "")


def too_late(one: Approval) -> AlreadyDecidedError | ExpiredError:
    """What somebody hears who comes after the end of an approval."""
    if one.status is ApprovalStatus.EXPIRED:
        return ExpiredError(
            f"approval {one.approval_id} expired at {one.expires_at.isoformat(timespec='seconds')}"
        )
    at = f" at {one.decided_at.isoformat(timespec='seconds')}" if one.decided_at else ""
    if one.status is ApprovalStatus.CANCELLED:
        words = f"was cancelled{at}: {one.ended_because}"
    else:
        by = f" by {one.decisions[-1].decider!r}" if one.decisions else ""
        words = f"was {one.status.value} already{by}{at}"
    return AlreadyDecidedError(f"approval {one.approval_id} {words}", winner=one)
