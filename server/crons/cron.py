"""A cron: what is run when, and what can be wrong with one.

CronError
├── CronNotFoundError    404   no such cron, or another tenant's
├── CronConflictError    409   somebody else changes it at the same time
└── CronKeyError         422   the Idempotency-Key made another cron before
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from server.crons.schedule import next_fire, zone


class CronError(Exception):
    """A cron cannot do what was asked; the message names it."""


class CronNotFoundError(CronError):
    """No cron has this id, or it is another tenant's."""


class CronConflictError(CronError):
    """It was changed again and again while this change was being made."""


class CronKeyError(CronError):
    """Another cron was made under the same Idempotency-Key."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a caller asked for. ``run`` is the body of the runs, as their wire takes it.

    Without ``thread_id`` each firing has a thread of its own. ``end_time`` is the last moment at
    which it may fire, ``user`` the name of the key that asked for ``run``, with the ``roles`` that
    it had then. ``collection`` is meant where neither ``run`` nor the assistant names one; empty:
    the setting's.
    """

    schedule: str
    assistant_id: str
    timezone: str | None = None
    enabled: bool = True
    end_time: datetime | None = None
    thread_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    user: str = ""
    roles: Sequence[str] = ()
    collection: str = ""

    def next(self, after: datetime) -> datetime | None:
        """When it fires next; None for never. Raises ScheduleError."""
        if not self.enabled:
            return None
        found = next_fire(self.schedule, zone(self.timezone), after)
        ended = found is None or (self.end_time is not None and found > self.end_time)
        return None if ended else found

    def stored(self) -> dict[str, Any]:
        """It as plain JSON."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**told, "end_time": self.end_time.isoformat() if self.end_time else None}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The reverse of ``stored``; fields that a newer version added are left out."""
        known = {one.name: stored[one.name] for one in fields(cls) if one.name in stored}
        end = known.get("end_time")
        return cls(**{**known, "end_time": datetime.fromisoformat(end) if end else None})


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A cron as stored. ``next_at`` is when it fires next, ``error`` why it last did not.

    ``version`` counts its changes.
    """

    cron_id: str
    tenant: str
    definition: Definition
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None
    version: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Due:
    """A firing that this process has claimed. ``again``: another had, and may have fired it."""

    cron: Cron
    at: datetime
    again: bool
