"""Why a run is where it is: facts from its record and all indexes, and a sentence in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.runs.lease_scripts import EXPLAIN
from server.runs.record import RunNotFoundError, RunRecord, decoded, moment
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where a run stands. Places count from 0 and are None where it stands in no such line.

    ``dispatched`` says since when it is let in to the workers; ``thread_head`` is the run that its
    thread works on or begins next; ``at`` is Redis' clock.
    """

    record: RunRecord
    sentence: str
    at: datetime
    place_in_thread: int | None
    thread_head: str
    place_in_tenant: int | None
    dispatched: datetime | None
    parked: bool
    untold: bool
    given_up: bool
    tenant_under_way: int
    under_way: int
    slots: int
    workers: int
    lease_seconds_left: float | None


async def explain(records: RunRecords, run_id: str) -> Explanation:
    """Raises RunNotFoundError."""
    script = records.redis.register_script(EXPLAIN)
    reply = await records.call(script, run_id)
    if not reply:
        raise RunNotFoundError(f"no run {run_id}")
    flat = reply[0]
    record = decoded(run_id, dict(zip(flat[::2], flat[1::2], strict=True)))
    at = moment(reply[12])
    found: dict[str, Any] = {
        "record": record,
        "at": at,
        "place_in_thread": _place(reply[1]),
        "place_in_tenant": _place(reply[2]),
        "dispatched": moment(reply[3]) if reply[3] else None,
        "parked": bool(reply[4]),
        "untold": bool(reply[6]),
        "given_up": bool(reply[7]),
        "tenant_under_way": int(reply[8]),
        "under_way": int(reply[9]),
        "slots": int(reply[10]),
        "workers": int(reply[11]),
        "thread_head": reply[13].decode(),
        "lease_seconds_left": (
            (record.lease_until - at).total_seconds() if record.lease_until else None
        ),
    }
    draft = Explanation(sentence="", **found)
    limit = records.admission.tenant_concurrency
    sentence = why(draft, tenant_concurrency=limit, most_attempts=records.max_attempts)
    return Explanation(sentence=sentence, **found)


def why(found: Explanation, *, tenant_concurrency: int, most_attempts: int) -> str:
    """One sentence for an operator: what the run does or waits for, and what to do about it."""
    record = found.record
    match record.status:
        case RunStatus.RUNNING:
            return _running(found)
        case RunStatus.PENDING:
            tried = f" It was begun {record.attempts} of {most_attempts} times before."
            waits = _waiting(found, tenant_concurrency=tenant_concurrency)
            return waits + (tried if record.attempts else "")
        case RunStatus.INTERRUPTED:
            return "It is paused and waits for a person's decision; it holds no worker."
        case _:
            untold = " Its end is not yet in the event log." if found.untold else ""
            undo = " Its steps are still to be taken back." if record.undo else ""
            given_up = " It was given up; requeue makes a new run of it." if found.given_up else ""
            said = f": {record.error}" if record.error else "."
            return f"It ended with {record.status}{said}{given_up}{untold}{undo}"


def _running(found: Explanation) -> str:
    record, left = found.record, found.lease_seconds_left
    if left is not None and left < 0:
        return f"Worker {record.worker} let its lease run out {-left:.0f} s ago; " + (
            "another worker takes it up in a moment."
            if found.workers
            else "no worker is there to take it up: start one."
        )
    asked = "; its end was asked for" if record.cancel_requested else ""
    return (
        f"Worker {record.worker or '(unnamed)'} works on it, attempt {record.attempts}, "
        f"lease for {left or 0:.0f} s more{asked}."
    )


def _waiting(found: Explanation, *, tenant_concurrency: int) -> str:
    record = found.record
    if found.parked:
        return "It was stored by a newer version and waits for a worker of that version: update."
    if record.due_at is not None and record.due_at > found.at and found.place_in_thread is None:
        return f"It begins in {(record.due_at - found.at).total_seconds():.0f} s, as asked."
    if found.place_in_thread is None:
        return "It stands in no line; requeue it."
    if found.place_in_thread > 0:
        return (
            f"Run {found.thread_head} of its thread comes first, and {found.place_in_thread - 1} "
            "more after that."
            if found.place_in_thread > 1
            else f"Run {found.thread_head} of its thread comes first."
        )
    if not found.workers:
        return "No worker is there: start one."
    if found.dispatched is not None:
        return "It is let in and a worker takes it in a moment."
    if tenant_concurrency and found.tenant_under_way >= tenant_concurrency:
        return (
            f"Its tenant has {found.tenant_under_way} runs under way, as many as it may; "
            f"{found.place_in_tenant or 0} of its others come first."
        )
    return (
        f"All {found.slots} slots are taken by {found.under_way} runs; "
        f"{found.place_in_tenant or 0} of its tenant's come first."
    )


def _place(rank: int) -> int | None:
    return None if rank < 0 else rank
