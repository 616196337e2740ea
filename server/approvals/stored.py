"""Approvals as they stand in Redis, written and read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from guardrails.arguments import digest
from guardrails.policy import Choice, OnExpiry, Terms
from server.approvals.record import Approval, ApprovalStatus, Decided, Kind, NewApproval
from server.clock import moment

_PLAIN = (
    "run_id",
    "thread_id",
    "interrupt_id",
    "tool",
    "args",
    "tenant",
    "index",
    "of",
    "dialect",
    "agent",
    "description",
    "requested_by",
    "requester_roles",
    "rule",
    "reason",
    "call_id",
    "schema",
    "context",
)


def written(new: NewApproval) -> str:
    """What was asked, as JSON."""
    plain = {name: getattr(new, name) for name in _PLAIN}
    return text({**plain, "kind": new.kind.value, "terms": terms_shown(new.terms)})


def text(value: Any) -> str:
    """JSON; what is none is told as text rather than lost."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def looked_at(new: NewApproval) -> dict[str, str | int]:
    """The fields that scripts and filters look at."""
    return {
        "tenant": new.tenant,
        "thread": new.thread_id,
        "interrupt": new.interrupt_id,
        "tool": new.tool,
        "agent": new.agent,
        "requested_by": new.requested_by,
        "kind": new.kind.value,
        "roles": framed(new.terms.roles),
        "quorum": new.terms.quorum,
        "self": int(new.terms.self_approval),
        "remember": int(new.terms.remember),
    }


def framed(names: Iterable[str]) -> str:
    """Names as scripts look for one among them."""
    return f",{','.join(sorted(names))},"


def sha_of(new: NewApproval, args: Mapping[str, Any] | None = None) -> str:
    """The hash that the call is let run by. Raises ArgumentsError."""
    return digest(new.tool, new.args if args is None else args)


def terms_shown(terms: Terms) -> dict[str, Any]:
    """Terms as JSON."""
    return {
        "expires_seconds": terms.expires_seconds,
        "on_expiry": terms.on_expiry.value,
        "roles": sorted(terms.roles),
        "quorum": terms.quorum,
        "self_approval": terms.self_approval,
        "choices": [choice.value for choice in Choice if choice in terms.choices],
        "remember": terms.remember,
        "critical": terms.critical,
    }


def _terms(shown: Mapping[str, Any], held: Mapping[bytes, bytes]) -> Terms:
    """The terms that were asked with, with what an edit made stricter."""
    return Terms(
        expires_seconds=shown["expires_seconds"],
        on_expiry=OnExpiry(shown["on_expiry"]),
        roles=frozenset(held[b"roles"].decode().strip(",").split(",")),
        quorum=int(held[b"quorum"]),
        self_approval=held[b"self"] == b"1",
        choices=frozenset(Choice(word) for word in shown["choices"]),
        remember=shown["remember"],
        critical=shown.get("critical", False),
    )


def decision(decided: Mapping[str, Any]) -> str:
    """A decision as JSON, to which a script adds the time."""
    said = {name: one for name, one in decided.items() if one is not None or name == "raw"}
    return text(said)


def decoded(approval_id: str, stored: Mapping[bytes, bytes]) -> Approval:
    """An approval from its fields in Redis."""

    def word(name: bytes) -> str:
        return stored.get(name, b"").decode()

    def when(name: bytes) -> datetime | None:
        return moment(int(stored[name])) if stored.get(name) else None

    data = json.loads(stored[b"data"])
    given = {name: data[name] for name in _PLAIN if name in data}
    given["requester_roles"] = tuple(given.get("requester_roles", ()))
    # A new run may have taken it over.
    given["run_id"] = word(b"run")
    return Approval(
        approval_id=approval_id,
        kind=Kind(data["kind"]),
        terms=_terms(data["terms"], stored),
        args_sha256=word(b"sha"),
        requested_at=moment(int(stored[b"requested_at"])),
        expires_at=moment(int(stored[b"expires_at"])),
        status=ApprovalStatus(word(b"status")),
        decisions=tuple(_decided(one) for one in json.loads(f"[{word(b'decisions')}]")),
        edited_args=json.loads(stored[b"args"]) if stored.get(b"args") else None,
        decided_at=when(b"decided_at"),
        ended_because=word(b"because"),
        used_at=when(b"used_at"),
        used_by=word(b"used_by"),
        uses=int(stored.get(b"uses", 0)),
        claimed_by=word(b"claimed_by"),
        claimed_until=when(b"claimed_until"),
        resumed_at=when(b"resumed_at"),
        pause=int(stored.get(b"pause", 0)),
        revision=int(stored.get(b"revision", 0)),
        **given,
    )


def _decided(told: Mapping[str, Any]) -> Decided:
    return Decided(
        decider=told["decider"],
        choice=Choice(told["choice"]),
        at=moment(told["at"]),
        via=told.get("via", ""),
        args=told.get("args"),
        args_sha256=told.get("args_sha256", ""),
        message=told.get("message"),
        raw=told.get("raw"),
        has_raw="raw" in told,
    )
