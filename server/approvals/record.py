"""A request to a person as it is asked, kept and read, and what can be wrong with a decision.

ApprovalError
├── ApprovalNotFoundError   404   no such approval, or another tenant's
├── NotAllowedError         403   this caller may not decide it
├── AlreadyDecidedError     409   somebody was first, or it was withdrawn; tells the winner
├── StaleArgumentsError     409   the caller saw other arguments than those that wait now
├── ClaimedError            409   somebody else is at it
├── ExpiredError            410   the time to decide is over
├── InvalidDecisionError    422   not a decision that this approval takes
└── UnconfirmedDecisionError 503 decided or not: disk or replica did not confirm in time
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from graphs.keys import DEFAULT_TENANT
from guardrails.policy import Choice, Terms

_NAMES = uuid.UUID("0f6c0f5e-5a52-5d43-8f0e-3c3d2f1f2a77")


class ApprovalStatus(StrEnum):
    """Where an approval is. All but the first are ends. Stored names are forever."""

    PENDING = "pending"
    APPROVED = "approved"
    EDITED = "edited"
    """Approved, with other arguments."""
    REJECTED = "rejected"
    RESPONDED = "responded"
    """A person answered in place of the tool."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """What it was for is over: its run ended, or another run took its thread."""

    @property
    def permits(self) -> bool:
        """Whether the call may run."""
        return self in {ApprovalStatus.APPROVED, ApprovalStatus.EDITED}


class Kind(StrEnum):
    """What a person is asked for."""

    TOOL = "tool"
    """A call of a tool."""
    LIMIT = "limit"
    """A limit of a run to be raised."""
    INTERRUPT = "interrupt"
    """Anything that a graph of one's own asks."""


class ApprovalError(Exception):
    """A decision cannot be taken; the message is one line for people. ``field`` is at fault."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ApprovalNotFoundError(ApprovalError):
    """No approval has this id, or it is another tenant's."""


class NotAllowedError(ApprovalError):
    """The caller's roles do not let him decide this, or he asked for it himself."""


class AlreadyDecidedError(ApprovalError):
    """It is over; ``winner`` is how it stands."""

    def __init__(self, message: str, *, winner: Approval) -> None:
        super().__init__(message)
        self.winner = winner


class StaleArgumentsError(ApprovalError):
    """The arguments that were looked at are not those that wait; ``current`` is how it stands."""

    def __init__(self, message: str, *, current: Approval) -> None:
        super().__init__(message, field="args_sha256")
        self.current = current


class ClaimedError(ApprovalError):
    """Somebody else has claimed it."""


class ExpiredError(ApprovalError):
    """The time to decide is over."""


class InvalidDecisionError(ApprovalError):
    """A choice, arguments or a message that this approval does not take."""


class UnconfirmedDecisionError(ApprovalError):
    """It may or may not outlive a crash; sending the same again finds out."""


@dataclass(frozen=True, kw_only=True)
class NewApproval:
    """One request to a person, as the run asks it.

    ``interrupt_id`` is LangGraph's, ``index`` the place within it, ``of`` how many requests it
    has. ``dialect`` says how the answer is written (``graphs.dialects``). ``schema`` is the JSON
    schema of the tool's arguments, which edits have to satisfy. ``context`` is what the person
    sees beside: question, plan, evidence, usage. ``call_id`` is the call's, for people.
    ``requester_roles`` are those of who asked for the run, for a policy that looks at them.
    """

    run_id: str
    thread_id: str
    interrupt_id: str
    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    tenant: str = DEFAULT_TENANT
    index: int = 0
    of: int = 1
    kind: Kind = Kind.TOOL
    dialect: str = "hitl"
    agent: str = ""
    description: str = ""
    requested_by: str = ""
    requester_roles: tuple[str, ...] = ()
    rule: str = ""
    reason: str = ""
    call_id: str = ""
    terms: Terms = field(default_factory=Terms)
    schema: Mapping[str, Any] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What one person said. ``args`` are those of an edit; ``args_sha256`` what it speaks of.

    ``raw`` is what a graph that asked in no dialect is told as it is, where ``has_raw``.
    """

    decider: str
    choice: Choice
    at: datetime
    via: str = "api"
    args: Mapping[str, Any] | None = None
    args_sha256: str = ""
    message: str | None = None
    raw: Any = None
    has_raw: bool = False


@dataclass(frozen=True, kw_only=True)
class Approval(NewApproval):
    """An approval as it stands.

    ``args`` are those that were asked for and never change; ``final_args`` those that would run
    now, after edits; ``args_sha256`` (``guardrails.arguments.digest``) is of the latter.
    ``used_at`` is when the call was let run, ``uses`` how often. ``pause`` counts which pause of
    its run it belongs to, ``revision`` how many decisions there are.
    """

    approval_id: str
    args_sha256: str
    requested_at: datetime
    expires_at: datetime
    status: ApprovalStatus = ApprovalStatus.PENDING
    decisions: Sequence[Decided] = ()
    edited_args: Mapping[str, Any] | None = None
    decided_at: datetime | None = None
    ended_because: str = ""
    used_at: datetime | None = None
    used_by: str = ""
    uses: int = 0
    claimed_by: str = ""
    claimed_until: datetime | None = None
    resumed_at: datetime | None = None
    pause: int = 0
    revision: int = 0

    @property
    def final_args(self) -> Mapping[str, Any]:
        """What would run now: the arguments after edits."""
        return self.args if self.edited_args is None else self.edited_args

    @property
    def consents(self) -> int:
        """How many people agree with the arguments as they stand."""
        last = {one.decider: one for one in self.decisions}
        return sum(
            one.choice in {Choice.APPROVE, Choice.EDIT} and one.args_sha256 == self.args_sha256
            for one in last.values()
        )

    @property
    def message(self) -> str | None:
        """What the last person who decided said about it."""
        return self.decisions[-1].message if self.decisions else None


def approval_id(run_id: str, interrupt_id: str, index: int, *, generation: int = 0) -> str:
    """The id of a request: the same one asked again has the same. ``generation`` tells apart what
    a node asks one after the other, for which LangGraph has one interrupt id."""
    name = f"{run_id}:{interrupt_id}:{index}"
    return str(uuid.uuid5(_NAMES, f"{name}:{generation}" if generation else name))
