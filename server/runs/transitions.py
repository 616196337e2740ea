"""Which state of a run may follow which: pure, and the only place that says so."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run is. Stored names are forever."""

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"

    @property
    def is_terminal(self) -> bool:
        return not _FOLLOWERS[self]


_FOLLOWERS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.ERROR, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset(
        {
            # Given back by a worker that stops, or taken from one that died.
            RunStatus.PENDING,
            RunStatus.INTERRUPTED,
            RunStatus.SUCCESS,
            RunStatus.ERROR,
            RunStatus.CANCELLED,
            RunStatus.TIMEOUT,
        }
    ),
    RunStatus.INTERRUPTED: frozenset({RunStatus.PENDING, RunStatus.ERROR, RunStatus.CANCELLED}),
    RunStatus.SUCCESS: frozenset(),
    RunStatus.ERROR: frozenset(),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.TIMEOUT: frozenset(),
}


def may_follow(status: RunStatus) -> frozenset[RunStatus]:
    """The states that a run may go to from this one; none from a terminal one."""
    return _FOLLOWERS[status]


def is_legal(*, before: RunStatus, after: RunStatus) -> bool:
    return after in _FOLLOWERS[before]
