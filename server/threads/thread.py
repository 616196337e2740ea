"""What a thread is: its record, its errors, and how threads are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from graphs.keys import thread_name
from server.threads.matching import scalar

SOURCE = "source"
"""The key of a thread's metadata that says what made it, where that was no client of threads."""
CHAT = "chat_completions"


class ThreadError(Exception):
    """A thread cannot do what was asked; the message names the thread."""


class ThreadNotFoundError(ThreadError):
    """No thread has this id."""


class ThreadExistsError(ThreadError):
    """The id is taken."""


class ThreadBusyError(ThreadError):
    """A run holds the thread, or waits for it."""


class ThreadStatus(StrEnum):
    """What a thread is doing."""

    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class Strategy(StrEnum):
    """What pruning leaves of a thread: nothing, or its latest state."""

    DELETE = "delete"
    KEEP_LATEST = "keep_latest"


class SortBy(StrEnum):
    """What threads are listed by."""

    THREAD_ID = "thread_id"
    STATUS = "status"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    STATE_UPDATED_AT = "state_updated_at"


@dataclass(frozen=True, kw_only=True)
class TimeToLive:
    """How many minutes after its last change a thread is pruned, and how."""

    minutes: float
    strategy: Strategy = Strategy.DELETE

    @property
    def microseconds(self) -> int:
        """The same in Redis' unit of time."""
        return round(self.minutes * 60_000_000)


@dataclass(frozen=True, kw_only=True)
class ThreadRecord:
    """A thread as stored; metadata and config are plain JSON, times in UTC.

    ``paused`` is the run that waits for a person.
    """

    thread_id: str
    tenant: str
    status: ThreadStatus
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    paused: str = ""
    error: str | None = None
    ttl: TimeToLive | None = None

    @property
    def checkpoint_thread(self) -> str:
        """The thread's name among checkpoints, which knows no tenants."""
        return thread_name(self.tenant, self.thread_id)

    @property
    def expires_at(self) -> datetime | None:
        """When the time to live is over, if nothing changes before."""
        return self.updated_at + timedelta(minutes=self.ttl.minutes) if self.ttl else None


@dataclass(frozen=True, kw_only=True)
class NewThread:
    """What a thread is given that a run makes."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    ttl: TimeToLive | None = None

    def told(self) -> list[str | bytes | int]:
        """What scripts are told of it: how it lives, then keys and values of its metadata."""
        words: list[str | bytes | int] = ["", ""]
        if self.ttl is not None:
            lives = [self.ttl.minutes, self.ttl.strategy.value]
            words = [orjson.dumps(lives), self.ttl.microseconds]
        for key, value in self.metadata.items():
            words += [key, scalar(value) or orjson.dumps(value)]
        return words


@dataclass(frozen=True, kw_only=True)
class ThreadQuery:
    """Which threads are meant: all that hold ``metadata``, have the status, are among ``ids``, and
    do not hold ``without``, a scalar of the metadata by its key."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, Any] | None = None
    status: ThreadStatus | None = None
    ids: Sequence[str] | None = None
    sort_by: SortBy = SortBy.CREATED_AT
    descending: bool = True


def _time(microseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, tz=UTC)


def of_stored(thread_id: str, tenant: str, stored: Mapping[bytes, bytes]) -> ThreadRecord:
    """A record as its hash holds it."""
    created = stored[b"created_at"]
    updated = stored.get(b"updated_at") or created
    ttl = orjson.loads(stored.get(b"ttl") or b"null")
    return ThreadRecord(
        thread_id=thread_id,
        tenant=tenant,
        status=ThreadStatus(stored.get(b"status", b"idle").decode()),
        created_at=_time(created),
        updated_at=_time(updated),
        state_updated_at=_time(stored.get(b"state_updated_at") or updated),
        metadata={
            name.decode()[2:]: orjson.loads(value)
            for name, value in stored.items()
            if name.startswith(b"m:")
        },
        config=orjson.loads(stored.get(b"config") or b"{}"),
        paused=stored.get(b"paused", b"").decode(),
        error=(stored.get(b"error") or b"").decode() or None,
        ttl=TimeToLive(minutes=ttl[0], strategy=Strategy(ttl[1])) if ttl else None,
    )
