"""What a run is told of its approvals, in the dialect in which it asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphs import dialects
from graphs.dialects import Dialect, Given
from guardrails.policy import Choice
from server.approvals.record import Approval, ApprovalStatus


def answer(approvals: Sequence[Approval]) -> Any:
    """The answer to one interrupt from its approvals, in the order of its requests."""
    return dialects.answer(
        Dialect(approvals[0].dialect),
        [given(one) for one in approvals],
        tools=[one.tool for one in approvals],
    )


def given(one: Approval) -> Given:
    """One approval as an answer; an expired one is told apart from a refusal."""
    last = one.decisions[-1] if one.decisions else None
    match one.status:
        case ApprovalStatus.APPROVED:
            choice: Choice | None = Choice.APPROVE
        case ApprovalStatus.EDITED:
            choice = Choice.EDIT
        case ApprovalStatus.RESPONDED:
            choice = Choice.RESPOND
        case ApprovalStatus.REJECTED | ApprovalStatus.CANCELLED:
            choice = Choice.REJECT
        case ApprovalStatus.EXPIRED | ApprovalStatus.PENDING:
            return Given(choice=None)
    return Given(
        choice=choice,
        tool=one.tool,
        args=one.final_args if choice is Choice.EDIT else None,
        message=one.message,
        raw=last.raw if last is not None else None,
        has_raw=last is not None and last.has_raw,
    )
