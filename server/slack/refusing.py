"""Why somebody's click decided nothing, in words for people in Slack. Pure."""

from __future__ import annotations

from datetime import datetime

from guardrails.policy import Choice
from server.approvals.record import (
    AlreadyDecidedError,
    Approval,
    ApprovalError,
    ApprovalNotFoundError,
    ApprovalStatus,
    ClaimedError,
    ExpiredError,
    InvalidDecisionError,
    NotAllowedError,
    StaleArgumentsError,
    UnconfirmedDecisionError,
)
from server.auth import Caller
from server.sections import CallerRole
from server.slack import cards, text

STALE = (
    "The arguments have changed since this was shown. Look at them again before you decide; the "
    "card is being brought up to date."
)
_EXPIRED = "The time to decide this is over."


def over(one: Approval) -> str:
    """It has ended."""
    if one.status is ApprovalStatus.EXPIRED:
        return _EXPIRED
    return f"This is over already: {text.visible(cards.summary(one))}."


def not_yours(one: Approval, caller: Caller) -> str:
    """His roles do not let him."""
    wanted = " or ".join(sorted(one.terms.roles))
    has = ", ".join(sorted(role.value for role in caller.roles))
    return f"This is decided by {text.visible(wanted)}; you are {has} here."


def closed(one: Approval, choice: Choice, caller: Caller, *, now: datetime) -> str:
    """Why a choice is not open to somebody."""
    if one.status is not ApprovalStatus.PENDING:
        return over(one)
    if one.expires_at <= now:
        return _EXPIRED
    if not _has_role(one, caller):
        return not_yours(one, caller)
    if choice not in one.terms.choices:
        return f"To {choice.value} is not open for this one."
    return _own()


def why(error: ApprovalError, one: Approval, caller: Caller) -> str:
    """What the queue has said."""
    match error:
        case ApprovalNotFoundError():
            return "There is no such approval here (any more)."
        case NotAllowedError():
            if not _has_role(one, caller):
                return not_yours(one, caller)
            return _own() if caller.name == one.requested_by else str(error)
        case AlreadyDecidedError():
            return over(error.winner)
        case StaleArgumentsError():
            return STALE
        case ExpiredError():
            return _EXPIRED
        case UnconfirmedDecisionError():
            return (
                "It is not certain that this was kept: the disk or a replica did not confirm it in "
                "time. Decide the same once more."
            )
        case InvalidDecisionError() | ClaimedError():
            return text.visible(str(error))
        case _:
            return text.visible(str(error))


def at_field(error: InvalidDecisionError) -> str:
    """An error as it stands under its field, without the field's name."""
    words = str(error).removeprefix(f"{error.field}: ") if error.field else str(error)
    return text.clipped(text.visible(words), 150)


def _own() -> str:
    return "You asked for this yourself, so somebody else has to decide it. You may reject it."


def _has_role(one: Approval, caller: Caller) -> bool:
    return caller.may(CallerRole.ADMIN) or bool(
        one.terms.roles & {role.value for role in caller.roles}
    )
