"""How a run ends when its own work does not say so, and which state an end is."""

from __future__ import annotations

from typing import assert_never

from graphs import events
from graphs.keys import Keys
from graphs.saver_codec import stands_at
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus

CANCELLED = "cancelled"
TIMEOUT = "timeout"

Outcome = events.RunFinished | events.RunFailed | events.RunInterrupted


def cancelled(*, usage: events.Usage | None = None) -> events.RunFailed:
    return events.RunFailed(
        error=CANCELLED, message="The run was cancelled.", usage=usage or events.Usage()
    )


def overtaken() -> events.RunFailed:
    """The end of a paused run whose thread goes on without it."""
    return events.RunFailed(
        error="overtaken", message="Another run took the thread over while this one was paused."
    )


def answered(by: str) -> events.RunFailed:
    """The end of a paused run whose question the next run of its thread has answered."""
    return events.RunFailed(
        error="answered",
        message=f"Run {by} has answered what this one asked, and goes on in its place.",
    )


def attempts_spent(attempts: int) -> events.RunFailed:
    return events.RunFailed(
        error="attempts_spent",
        message=f"The run was begun {attempts} times and its worker ended each time before the run "
        "did; it is not begun again.",
    )


def failed_by(reason: str) -> events.RunFailed:
    """The end that an operator gives a run."""
    return events.RunFailed(error="stopped", message=reason)


def failed_inside(run_id: str, *, usage: events.Usage) -> events.RunFailed:
    return events.RunFailed(
        error="internal",
        message=f"The run failed inside the server; the server's log says why under run {run_id}.",
        usage=usage,
    )


def last_step(end: Outcome, record: RunRecord, *, keys: Keys) -> tuple[str, str]:
    """Where the checkpoint that a run ended or paused on stands; empty where it had none.

    A replica that became the primary may not have it.
    """
    if isinstance(end, events.RunFailed) or not end.checkpoint_id:
        return "", ""
    return stands_at(keys.checkpoints(record.checkpoint_thread), end.checkpoint_id)


def status_of(outcome: Outcome) -> RunStatus:
    """The state that an outcome brings a run to."""
    match outcome:
        case events.RunFinished():
            return RunStatus.SUCCESS
        case events.RunInterrupted():
            return RunStatus.INTERRUPTED
        case events.RunFailed(error="cancelled"):
            return RunStatus.CANCELLED
        case events.RunFailed(error="timeout"):
            return RunStatus.TIMEOUT
        case events.RunFailed():
            return RunStatus.ERROR
        case _:
            assert_never(outcome)
