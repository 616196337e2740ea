"""Approvals as JSON, for every wire, and what the one who looks may do about them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from guardrails.policy import Choice
from server.approvals.record import Approval, ApprovalStatus, Decided
from server.approvals.stored import terms_shown


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who looks, and when by Redis' clock."""

    name: str
    roles: frozenset[str]
    now: datetime

    def open_choices(self, one: Approval) -> list[str]:
        """What this caller may decide about it now."""
        if one.status is not ApprovalStatus.PENDING or one.expires_at <= self.now:
            return []
        if "admin" not in self.roles and not one.terms.roles & self.roles:
            return []
        own = one.requested_by == self.name and not one.terms.self_approval
        return [
            choice.value
            for choice in Choice
            if choice in one.terms.choices and (not own or choice is Choice.REJECT)
        ]

    def is_claimed_by_another(self, one: Approval) -> bool:
        """Whether somebody else is at it."""
        claimed = one.claimed_until is not None and one.claimed_until > self.now
        return claimed and one.claimed_by != self.name


def approval(one: Approval, viewer: Viewer | None = None) -> dict[str, Any]:
    """An approval. `args` are those that would run now, which `args_sha256` is of."""
    shown = {
        "id": one.approval_id,
        "status": one.status.value,
        "kind": one.kind.value,
        "thread_id": one.thread_id,
        "run_id": one.run_id,
        "agent": one.agent,
        "tool": one.tool,
        "call_id": one.call_id,
        "args": sendable(one.final_args),
        "args_sha256": one.args_sha256,
        "requested_args": sendable(one.args),
        "description": one.description,
        "rule": one.rule,
        "reason": one.reason,
        "requested_by": one.requested_by,
        "requested_at": one.requested_at.isoformat(),
        "expires_at": one.expires_at.isoformat(),
        "decided_at": _time(one.decided_at),
        "resumed_at": _time(one.resumed_at),
        "used_at": _time(one.used_at),
        "uses": one.uses,
        "because": one.ended_because or None,
        "terms": terms_shown(one.terms),
        "consents": one.consents,
        "decisions": [decided(said) for said in one.decisions],
        "schema": sendable(one.schema),
        "context": sendable(one.context),
        "interrupt_id": one.interrupt_id,
        "index": one.index,
        "of": one.of,
        "dialect": one.dialect,
        "claimed_by": one.claimed_by or None,
        "claimed_until": _time(one.claimed_until),
    }
    if viewer is not None:
        if one.claimed_until is not None and one.claimed_until <= viewer.now:
            shown.update(claimed_by=None, claimed_until=None)
        left = (one.expires_at - viewer.now).total_seconds()
        is_open = one.status is ApprovalStatus.PENDING
        shown["seconds_left"] = max(0.0, round(left, 3)) if is_open else None
        shown["open_choices"] = viewer.open_choices(one)
    return shown


def decided(said: Decided) -> dict[str, Any]:
    """What one person said."""
    return {
        "decider": said.decider,
        "decision": said.choice.value,
        "at": said.at.isoformat(),
        "via": said.via,
        "args": sendable(said.args),
        "args_sha256": said.args_sha256,
        "message": said.message,
    }


def sendable(value: Any) -> Any:
    """JSON that every wire can send: a number beyond 64 bits, which some cannot, as its digits."""
    try:
        orjson.dumps(value)
    except TypeError:
        return _small(value)
    return value


def _small(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _small(one) for name, one in value.items()}
        case list() | tuple():
            return [_small(one) for one in value]
        case None | bool() | str() | float():
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case _:
            return str(value)


def counts(found: Mapping[ApprovalStatus, int]) -> dict[str, int]:
    """How many there are in each status."""
    return {status.value: found.get(status, 0) for status in ApprovalStatus}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
