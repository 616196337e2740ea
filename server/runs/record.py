"""The run record as it is read, and what can be wrong with a run.

RunError
├── RunNotFoundError       404   no record, or another tenant's
├── ThreadNotFoundError    404   the run was to go on a thread that is not there
├── RunExistsError         409   the id is taken
├── RunConflictError       409   its state does not allow that
│   └── ThreadBusyError    409   the thread works on another run, and the caller would not wait
├── NotDurableError        503   accepted or not: the disk or a replica did not confirm in time
└── RunFencedError         –     another worker has the run: whoever gets this has to stop
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from graphs.fence import stamp
from graphs.keys import DEFAULT_TENANT
from server.runs.asked import Asked, CancelAction
from server.runs.transitions import RunStatus


class RunError(Exception):
    """A run cannot do what was asked; the message names the run."""


class RunNotFoundError(RunError):
    """No run has this id, or its record has expired, or it is another tenant's."""


class ThreadNotFoundError(RunError):
    """There is no such thread, and it was not to be made."""


class RunExistsError(RunError):
    """The id is taken."""


class RunConflictError(RunError):
    """The run is in a state from which this move is not allowed."""


class ThreadBusyError(RunConflictError):
    """The thread is busy with another run, and the caller asked not to wait."""


class NotDurableError(RunError):
    """What was asked may or may not outlive a crash: nobody confirmed it in time."""

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunUnwantedError(RunConflictError):
    """The run's end was asked for before it came to its own: it has to end as cancelled."""


class RunStepsLostError(RunError):
    """What the run stored last is gone: Redis went on without it."""


class RunFencedError(RunError):
    """Another worker has taken the run over: whoever gets this has to stop."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as stored. ``error`` is for people, ``result`` the event that ended or paused it.

    ``token`` counts the claims and fences what an attempt writes. ``due_at`` is when a delayed
    run may begin, ``lease_until`` up to when ``worker`` holds it, ``resume`` what a person
    decided last, ``resumes`` how often, ``undo`` that its steps are still to be taken back.
    """

    run_id: str
    thread_id: str
    tenant: str = DEFAULT_TENANT
    asked: Asked = field(default_factory=Asked)
    status: RunStatus = RunStatus.PENDING
    attempts: int = 0
    token: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    due_at: datetime | None = None
    lease_until: datetime | None = None
    worker: str = ""
    cancel_requested: bool = False
    cancel_action: CancelAction = CancelAction.INTERRUPT
    error: str | None = None
    result: Mapping[str, Any] | None = None
    resume: Any = None
    resumes: int = 0
    undo: bool = False

    @property
    def checkpoint_thread(self) -> str:
        """The thread's name among checkpoints, which knows no tenants."""
        return f"{self.tenant}:{self.thread_id}"

    @property
    def fence(self) -> str:
        """The stamp that every write of this attempt carries."""
        return stamp(self.run_id, self.token)


def moment(microseconds: bytes) -> datetime:
    """A stored time."""
    return datetime.fromtimestamp(int(microseconds) / 1e6, tz=UTC)


def decoded(run_id: str, stored: Mapping[bytes, bytes]) -> RunRecord:
    """A record from its fields in Redis."""

    def when(name: bytes) -> datetime | None:
        return moment(stored[name]) if stored.get(name) else None

    def text(name: bytes) -> str:
        return stored.get(name, b"").decode()

    def value(name: bytes) -> Any:
        return orjson.loads(stored[name]) if stored.get(name) else None

    return RunRecord(
        run_id=run_id,
        thread_id=text(b"thread"),
        tenant=text(b"tenant"),
        asked=Asked.of(value(b"data")),
        status=RunStatus(text(b"status")),
        attempts=int(stored[b"attempts"]),
        token=int(stored[b"token"]),
        created_at=when(b"created_at"),
        updated_at=when(b"updated_at"),
        due_at=when(b"due_at"),
        lease_until=when(b"lease"),
        worker=text(b"worker"),
        cancel_requested=b"cancel" in stored,
        cancel_action=CancelAction(text(b"action") or CancelAction.INTERRUPT),
        error=text(b"error") or None,
        result=value(b"end"),
        resume=value(b"resume"),
        resumes=int(stored.get(b"resumes", 0)),
        undo=b"undo" in stored,
    )


def not_created(what: str, record: RunRecord, *, run_id: str) -> RunError:
    """Why a run was not stored, by the word for it; ``run_id`` is the run that it is about."""
    thread = f"thread {record.thread_id}"
    match what:
        case "exists":
            return RunExistsError(f"run {run_id} exists already")
        case "busy":
            return ThreadBusyError(
                f"{thread} is busy with run {run_id}; wait for its end, cancel it, or ask with "
                "another multitask_strategy than reject"
            )
        case "leaving":
            return ThreadBusyError(f"{thread} is being deleted; try again in a moment")
        case "passing":
            return ThreadBusyError(
                f"{thread} goes with run {run_id}, which was asked without a thread; what that "
                "asks is decided in the approval queue, and with on_completion: keep it stays"
            )
        case _:
            return ThreadNotFoundError(f"no {thread}")
