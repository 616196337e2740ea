"""One line of the audit log: what happened, and how it is chained to the line before. Pure.

``hash`` is the SHA-256 of the previous hash, the number, the time in microseconds and the SHA-256
of the line's body, with line ends between them. The body is canonical JSON of all fields that are
not the chain's own, so that a line read from an export can be checked like one in Redis.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from server.clock import microseconds

FIRST = "0" * 64
"""What stands for the hash before the first entry."""
CHAIN = frozenset({"seq", "at", "prev", "hash"})


class Kind(StrEnum):
    """What happened. Stored names are forever."""

    REQUESTED = "requested"
    DECIDED = "decided"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    EXECUTED = "executed"
    LIMIT_RAISED = "limit_raised"
    POLICY_CHANGED = "policy_changed"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is told of one event. ``who`` and ``role`` come from authentication, ``via`` says how
    it reached us; ``args_before`` and ``args_after`` differ where somebody edited them."""

    kind: Kind
    tenant: str
    who: str = ""
    role: str = ""
    via: str = ""
    run_id: str = ""
    thread_id: str = ""
    approval_id: str = ""
    tool: str = ""
    agent: str = ""
    rule: str = ""
    choice: str = ""
    message: str = ""
    args_before: Mapping[str, Any] | None = None
    args_after: Mapping[str, Any] | None = None
    args_sha256: str = ""
    call_id: str = ""
    trace_id: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """Canonical JSON; what is not set is left out."""
        return canonical({name: value for name, value in vars(self).items() if _told(value)})


def _told(value: Any) -> bool:
    return value is not None and value != "" and (not isinstance(value, dict) or bool(value))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line with its place in the chain. ``fields`` is the body as it was read."""

    seq: int
    at: datetime
    prev: str
    hash: str
    fields: Mapping[str, Any]

    def shown(self) -> dict[str, Any]:
        """As JSON, on one level."""
        chain = {"seq": self.seq, "at": self.at.isoformat(), "prev": self.prev, "hash": self.hash}
        return {**chain, **{name: one for name, one in self.fields.items() if name not in CHAIN}}


def read(shown: Mapping[str, Any]) -> Entry:
    """The reverse of ``Entry.shown``. Raises ValueError for what is no entry."""
    try:
        return Entry(
            seq=int(shown["seq"]),
            at=datetime.fromisoformat(shown["at"]),
            prev=str(shown["prev"]),
            hash=str(shown["hash"]),
            fields={name: value for name, value in shown.items() if name not in CHAIN},
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no entry of an audit log: {error}") from None


def canonical(body: Mapping[str, Any]) -> str:
    """One text for the same fields, whoever writes it."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(body: str) -> str:
    """SHA-256 (hex) of a body."""
    return hashlib.sha256(body.encode()).hexdigest()


def link(*, prev: str, seq: int, at: datetime, body: str) -> str:
    """The hash of an entry."""
    text = f"{prev}\n{seq}\n{microseconds(at)}\n{digest(body)}"
    return hashlib.sha256(text.encode()).hexdigest()
