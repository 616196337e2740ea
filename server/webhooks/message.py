"""What a webhook is told, when it is tried again, and when no more. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.wire import run_object

MOST_ATTEMPTS = 10
OLDEST_SECONDS = 24 * 3600.0
_FIRST_SECONDS = 5.0
_FACTOR = 4.0
_LONGEST_SECONDS = 4 * 3600.0
_HIDDEN = ("attempts", "result", "error")


def body(record: RunRecord, *, values: Any, sent_at: datetime) -> dict[str, Any]:
    """The run with its last state: for a pause with its questions, for a failure with its error."""
    told = run_object.run_object(record)
    for name in _HIDDEN:
        del told[name]
    if record.status is RunStatus.INTERRUPTED:
        values = {**(values if isinstance(values, dict) else {}), **run_object.interrupts(record)}
    return {
        **told,
        "run_started_at": record.created_at.isoformat() if record.created_at else None,
        "run_ended_at": record.updated_at.isoformat() if record.updated_at else None,
        "webhook_sent_at": sent_at.isoformat(),
        "values": values,
        **({"error": record.error} if record.error else {}),
    }


def pause(attempts: int, *, roll: float) -> float:
    """Seconds until the next attempt after so many: 5, 20, 80 ... four hours, a quarter more or
    less as ``roll`` (0 to 1) says."""
    usual: float = min(_FIRST_SECONDS * _FACTOR ** (attempts - 1), _LONGEST_SECONDS)
    return usual * (0.75 + roll / 2)


def is_over(attempts: int, *, age_seconds: float) -> bool:
    """Whether it is given up after so many attempts and such a time."""
    return attempts >= MOST_ATTEMPTS or age_seconds >= OLDEST_SECONDS
