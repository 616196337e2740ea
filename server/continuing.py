"""A run that a limit has stopped goes on, where an operator raises the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphs import events
from guardrails.limits import Limit, is_fitting
from server.audit.entry import Kind, Line
from server.audit.log import Audit
from server.auth import Caller
from server.runs.record import RunConflictError, RunRecord
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.sections import CallerRole


class NothingRaisedError(ValueError):
    """What was given raises no limit that has stopped the run; names the field."""


def stopped(record: RunRecord) -> events.Stopped:
    """The limit that ended a run. Raises RunConflictError where none did."""
    found = (record.result or {}).get("stopped") if record.status is RunStatus.SUCCESS else None
    if not found:
        raise RunConflictError(
            f"run {record.run_id} is {record.status} and was not stopped by a limit; only one that "
            "was goes on with a higher one"
        )
    return events.Stopped.model_validate(found)


async def go_on(
    record: RunRecord, raised: Mapping[str, float], *, runs: Runs, audit: Audit, caller: Caller
) -> RunRecord:
    """A new run that goes on where this one was stopped, its spending counted on.

    ``raised`` are new maxima by the limits' names. Raises RunConflictError, NothingRaisedError.
    """
    at = stopped(record)
    _check(at, raised)
    latest = await runs.of_thread(record.thread_id, tenant=record.tenant, limit=1)
    if latest and latest[0].run_id != record.run_id:
        raise RunConflictError(
            f"run {record.run_id}: its thread has gone on with run {latest[0].run_id}; ask anew"
        )
    asked = replace(
        record.asked,
        input=None,
        command=None,
        checkpoint={"checkpoint_id": at.at, "checkpoint_ns": ""},
        metadata={**record.asked.metadata, "continues": record.run_id},
        temporary=False,
        answers="",
        continues=record.run_id,
        raised={**record.asked.raised, **raised},
    )
    made = await runs.create(
        asked,
        tenant=record.tenant,
        thread_id=record.thread_id,
        idempotency_key=f"continue:{record.run_id}:{sorted(raised.items())}",
    )
    await audit.append(
        Line(
            kind=Kind.LIMIT_RAISED,
            tenant=record.tenant,
            who=caller.name,
            role=CallerRole.OPERATOR.value,
            via="api",
            run_id=made.run_id,
            thread_id=record.thread_id,
            tool=at.limit,
            args_before={at.limit: at.maximum},
            args_after=dict(raised),
            detail={"continues": record.run_id},
        )
    )
    return made


def _check(at: events.Stopped, raised: Mapping[str, float]) -> None:
    known = {limit.value for limit in Limit if limit.startswith("max_")}
    for name, most in raised.items():
        if name not in known:
            raise NothingRaisedError(
                f"limits.{name}: no limit of a run; use {', '.join(sorted(known))}"
            )
        if not is_fitting(Limit(name), most):
            raise NothingRaisedError(f"limits.{name}: {most:g} has to be a whole number")
    if at.limit not in raised:
        raise NothingRaisedError(
            f"limits.{at.limit}: is what has stopped the run ({at.used:g} of {at.maximum:g}); "
            "raise it"
        )
    if raised[at.limit] <= at.maximum:
        raise NothingRaisedError(
            f"limits.{at.limit}: {raised[at.limit]:g} is not more than {at.maximum:g}"
        )
