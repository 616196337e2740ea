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
from datetime import datetime
from typing import Any

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


class RunFencedError(RunError):
    """Another worker has taken the run over: whoever gets this has to stop."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as stored. ``error`` is for people, ``result`` the event that ended or paused it.

    ``token`` counts the claims and fences what an attempt writes. ``due_at`` is when a delayed
    run may begin, ``lease_until`` up to when ``worker`` holds it, ``resume`` what a person
    decided last, ``resumes`` how often.
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

    @property
    def checkpoint_thread(self) -> str:
        """The thread's name among checkpoints, which knows no tenants."""
        return f"{self.tenant}:{self.thread_id}"

    @property
    def fence(self) -> str:
        """The stamp that every write of this attempt carries."""
        return stamp(self.run_id, self.token)
