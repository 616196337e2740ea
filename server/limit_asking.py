"""A limit that has stopped a run, asked about: an operator raises it, or the answer stands. Pure.

The run waits like one with an interrupt, though its graph is at its end; what it has is in its
state already. Raised, it goes on from the checkpoint before the step that the limit stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphs import approving, dialects, events
from guardrails.arguments import digest
from guardrails.limits import Limit
from guardrails.policy import Choice, Terms
from server.runs.record import RunRecord
from server.sections import CallerRole
from server.settings import Settings

TOOL = "raise_limit"
_PREFIX = "limit-"
_CHOICES = frozenset({Choice.APPROVE, Choice.EDIT, Choice.REJECT})
_WHOLE = frozenset({Limit.STEPS, Limit.TOKENS, Limit.MODEL_CALLS, Limit.TOOL_CALLS})


def terms_of(settings: Settings) -> Terms | None:
    """How raising a limit is decided; None where nobody is asked."""
    asks = settings.ask_on_limit
    if asks is None:
        asks = any({CallerRole.OPERATOR, CallerRole.ADMIN} & {*key.roles} for key in settings.keys)
    return Terms(self_approval=not settings.has_keys) if asks else None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What was decided about the limit of ``interrupt``; ``raised`` is None: it stays; empty:
    it is raised as proposed."""

    interrupt: str
    raised: Mapping[str, Any] | None

    @property
    def checkpoint_id(self) -> str:
        """Where the run goes on."""
        return self.interrupt.removeprefix(_PREFIX)


def paused(
    finished: events.RunFinished, record: RunRecord, *, terms: Terms
) -> events.RunInterrupted | None:
    """The end of a stopped run as a pause; None where no limit of its own has stopped it."""
    stopped = finished.stopped
    if stopped is None or stopped.limit not in {one.value for one in Limit if one in _RAISABLE}:
        return None
    args = proposed(stopped)
    terms = replace(terms, choices=_CHOICES, remember=False)
    words = f"{stopped.limit} is reached: {stopped.used:g} of {stopped.maximum:g}"
    value = {
        "action_requests": [{"name": TOOL, "args": args, "arguments": args, "description": words}],
        "review_configs": [
            {
                "action_name": TOOL,
                "allowed_decisions": [one.value for one in Choice if one in _CHOICES],
                "args_schema": {
                    "type": "object",
                    "properties": {
                        stopped.limit: {
                            "type": "integer" if stopped.limit in _WHOLE else "number",
                            "exclusiveMinimum": stopped.maximum,
                        }
                    },
                    "required": [stopped.limit],
                    "additionalProperties": False,
                },
            }
        ],
        approving.OURS: {
            "kind": "limit",
            "agent": record.asked.agent,
            "run_id": record.run_id,
            "rule": f"limit {stopped.limit}",
            "reason": words,
            "terms": approving.written(terms),
            "args_sha256": digest(TOOL, args),
            "requested_by": record.asked.user,
            "context": {
                "answer": finished.answer,
                "usage": finished.usage.model_dump(mode="json"),
                "limit": stopped.model_dump(mode="json"),
            },
        },
    }
    return events.RunInterrupted(
        interrupts=[events.Interrupt(id=f"{_PREFIX}{stopped.at}", value=value)],
        checkpoint_id=finished.checkpoint_id,
        values=finished.values,
        usage=finished.usage,
    )


def answered(record: RunRecord) -> Answered | None:
    """What this attempt was told about a limit; None where it goes on for another reason."""
    told = record.resume if record.resumes else (record.asked.command or {}).get("resume")
    if not isinstance(told, Mapping) or len(told) != 1:
        return None
    ((interrupt, raw),) = told.items()
    if not isinstance(interrupt, str) or not interrupt.startswith(_PREFIX):
        return None
    reading = dialects.Reading(
        dialect=dialects.Dialect.HITL,
        requests=(dialects.Requested(tool=TOOL, choices=_CHOICES),),
    )
    try:
        given = dialects.parse(reading, raw)[0]
    except dialects.DialectError:
        given = dialects.Given(choice=Choice.REJECT)
    match given.choice:
        case Choice.APPROVE:
            return Answered(interrupt=interrupt, raised={})
        case Choice.EDIT:
            return Answered(interrupt=interrupt, raised=given.args)
        case _:
            return Answered(interrupt=interrupt, raised=None)


def proposed(stopped: events.Stopped) -> dict[str, Any]:
    """What is asked for: twice as much."""
    most = 2 * max(stopped.maximum, stopped.used)
    return {stopped.limit: int(most) if stopped.limit in _WHOLE else float(most)}


def goes_on(record: RunRecord, answer: Answered) -> RunRecord:
    """The run as one that begins at the checkpoint that its limit stopped it at."""
    checkpoint = {"checkpoint_id": answer.checkpoint_id, "checkpoint_ns": ""}
    asked = replace(record.asked, input=None, command=None, checkpoint=checkpoint)
    return replace(record, asked=asked, resume=None)


_RAISABLE = frozenset(
    {
        Limit.STEPS,
        Limit.MODEL_CALLS,
        Limit.TOOL_CALLS,
        Limit.TOKENS,
        Limit.COST,
        Limit.SECONDS,
        Limit.STEP_SECONDS,
    }
)
