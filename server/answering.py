"""``command.resume`` on LangGraph's wire: each decision in it goes through the approval queue.

What a client answers is checked whole before anything is decided; the queue says who wins. The
graph is then told what the queue has, in the dialect in which it asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphs import dialects
from graphs.dialects import Dialect, Given
from guardrails.policy import Choice
from server.approvals.answering import answer
from server.approvals.record import (
    AlreadyDecidedError,
    Approval,
    ApprovalStatus,
    InvalidDecisionError,
)
from server.auth import Caller
from server.pauses import reading_of

VIA = "langgraph"
_FIELD = "command.resume"


class Queue(Protocol):
    """What this needs of the approval queue."""

    async def of_run(self, run_id: str) -> Sequence[Approval]: ...

    async def of_thread(self, thread_id: str, *, tenant: str) -> Sequence[Approval]: ...


class Deciding(Protocol):
    """Takes a decision; see ``server.approvals.service.Approvals``."""

    @property
    def store(self) -> Queue: ...

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
    ) -> Approval: ...


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One decision that is to be taken."""

    approval: Approval
    given: Given


async def decided(
    approvals: Deciding, *, paused: str, thread_id: str, tenant: str, resume: Any, caller: Caller
) -> Any:
    """What the graph is to be resumed with, once the queue has taken what a client answered.

    ``paused`` is the run that waits. Where it asked the queue nothing, the answer is handed on as
    it came. Raises an ApprovalError: for a wrong shape InvalidDecisionError, nothing decided.
    """
    known = await approvals.store.of_thread(thread_id, tenant=tenant)
    groups = _latest([one for one in known if one.run_id == paused])
    if not groups:
        return resume
    answers = _by_interrupt(resume, groups, known=known)
    planned = {
        interrupt: _plan(groups[interrupt], told) if interrupt in groups else []
        for interrupt, told in answers.items()
    }
    for many in planned.values():
        for one in many:
            await _decide(approvals, one, tenant=tenant, caller=caller)
    return await _told(approvals, answers, groups, paused=paused)


def _latest(approvals: Sequence[Approval]) -> dict[str, list[Approval]]:
    """The approvals of the last pause, by interrupt, in the order of its requests."""
    groups: dict[str, dict[int, Approval]] = {}
    for one in sorted(approvals, key=lambda one: (one.pause, one.requested_at)):
        groups.setdefault(one.interrupt_id, {})[one.index] = one
    return {name: [many[at] for at in sorted(many)] for name, many in groups.items()}


def _is_open(group: Sequence[Approval]) -> bool:
    return any(one.status is ApprovalStatus.PENDING for one in group)


def _by_interrupt(
    resume: Any, groups: Mapping[str, Sequence[Approval]], *, known: Sequence[Approval]
) -> dict[str, Any]:
    """The answers by interrupt, as LangGraph tells one from a map of several."""
    ids = {one.interrupt_id for one in known}
    if isinstance(resume, Mapping) and resume and set(resume) <= ids:
        gone = [one for one in known if one.interrupt_id in set(resume) - set(groups)]
        if gone:
            raise AlreadyDecidedError(
                f"{_FIELD}: nothing waits for interrupt {gone[-1].interrupt_id} any more; its "
                f"approval {gone[-1].approval_id} is {gone[-1].status}",
                winner=gone[-1],
            )
        return dict(resume)
    waiting = [name for name, group in groups.items() if _is_open(group)] or list(groups)
    if len(waiting) > 1:
        raise InvalidDecisionError(
            f"{_FIELD}: {len(waiting)} interrupts wait; give an object of interrupt ids and "
            f"their answers ({', '.join(waiting)})",
            field=_FIELD,
        )
    return {waiting[0]: resume}


def _plan(group: Sequence[Approval], told: Any) -> list[Planned]:
    try:
        given = dialects.parse(reading_of(group), told)
    except dialects.DialectError as error:
        joint = "" if not error.field or error.field.startswith("[") else "."
        raise InvalidDecisionError(
            f"{_FIELD}{joint}{error}" if error.field else f"{_FIELD} {error}",
            field=f"{_FIELD}{joint}{error.field}",
        ) from None
    if any(one.choice is None for one in given):
        raise InvalidDecisionError(f"{_FIELD}: only time makes it expire", field=_FIELD)
    return [
        Planned(approval=approval, given=one) for approval, one in zip(group, given, strict=True)
    ]


async def _decide(approvals: Deciding, one: Planned, *, tenant: str, caller: Caller) -> None:
    approval, given = one.approval, one.given
    assert given.choice is not None
    await approvals.decide(
        approval.approval_id,
        tenant=tenant,
        caller=caller,
        choice=given.choice,
        args=given.args,
        message=given.message if not given.has_raw else None,
        args_sha256=approval.args_sha256 if approval.dialect != Dialect.BARE else None,
        via=VIA,
        resume=False,
        raw=(given.raw,) if given.has_raw else None,
    )


async def _told(
    approvals: Deciding,
    answers: Mapping[str, Any],
    groups: Mapping[str, Sequence[Approval]],
    *,
    paused: str,
) -> dict[str, Any]:
    now = {one.approval_id: one for one in await approvals.store.of_run(paused)}
    told: dict[str, Any] = {}
    for interrupt in answers:
        group = [now.get(one.approval_id, one) for one in groups[interrupt]]
        if _is_open(group):
            waits = next(one for one in group if one.status is ApprovalStatus.PENDING)
            raise AlreadyDecidedError(
                f"{_FIELD}: your word counts, and approval {waits.approval_id} still needs "
                f"{waits.terms.quorum - waits.consents} more of {waits.terms.quorum}; the run goes "
                "on when they have decided",
                winner=waits,
            )
        told[interrupt] = answer(group)
    return told
