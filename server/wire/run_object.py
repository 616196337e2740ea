"""LangGraph's wire for runs: a run as it is shown, where it is, and what it came to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.wire.rendering import wire_status

FIELDS = frozenset(
    "run_id thread_id assistant_id created_at updated_at status metadata kwargs"
    " multitask_strategy cancel_reason attempts error result".split()
)


def run_object(record: RunRecord, *, select: Sequence[str] | None = None) -> dict[str, Any]:
    """The run as this wire shows it, or some fields of it."""
    asked = record.asked
    whole = {
        "run_id": record.run_id,
        "thread_id": record.thread_id,
        "assistant_id": asked.assistant_id,
        "created_at": record.created_at.isoformat() if record.created_at else None,
        "updated_at": record.updated_at.isoformat() if record.updated_at else None,
        "status": wire_status(record.status),
        "cancel_reason": "cancelled" if record.status is RunStatus.CANCELLED else None,
        "metadata": dict(asked.metadata),
        "kwargs": {**asked.kwargs, "config": dict(asked.config), "context": asked.context},
        "multitask_strategy": asked.multitask.value,
        "attempts": record.attempts,
        "error": record.error,
        "result": record.result,
    }
    return {name: whole[name] for name in select} if select else whole


def statuses(asked: str) -> tuple[RunStatus, ...]:
    """The states of ours that this wire's word means. Raises ValueError."""
    found = tuple(status for status in RunStatus if wire_status(status) == asked)
    if not found:
        words = sorted({wire_status(status) for status in RunStatus})
        raise ValueError(f"must be one of {', '.join(words)}")
    return found


def path(record: RunRecord) -> str:
    return f"/threads/{record.thread_id}/runs/{record.run_id}"


def place(
    record: RunRecord, *, again: str = "", query: Mapping[str, str | Sequence[str]] | None = None
) -> dict[str, str]:
    """Headers that say where the run is, and where a cut answer is to be had again.

    ``again`` is ``stream`` or ``join``. Clients follow it only on the same origin.
    """
    here = path(record)
    if not again:
        return {"Content-Location": here}
    return {"Content-Location": here, "Location": f"{here}/{again}{query_string(query or {})}"}


def query_string(query: Mapping[str, str | Sequence[str]]) -> str:
    """What stands behind a path, with its question mark; empty for nothing."""
    return f"?{urlencode(query, doseq=True)}" if query else ""


def error(record: RunRecord) -> dict[str, Any]:
    """What a failed run answers to who waited; clients raise it."""
    end = record.result or {}
    return {
        "__error__": {
            "error": end.get("error") or record.status.value,
            "message": end.get("message") or record.error or "The run did not come to its end.",
        }
    }


def interrupts(record: RunRecord) -> dict[str, Any]:
    """What a run that waits for a person answers to who waited."""
    return {"__interrupt__": list((record.result or {}).get("interrupts") or ())}
