"""What guardrails and people said of a run's work, as spans without length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphs import events
from server.telemetry import names, span
from server.telemetry.plain_names import plain_id
from server.telemetry.span import Link, Span, Value

if TYPE_CHECKING:
    from server.telemetry.segment import Segment


def _verdict(
    segment: Segment, place: Span, guard: str, at: float, attributes: dict[str, Value]
) -> None:
    segment.add(place, names.GUARDRAIL.format(guard), start=at, end=at, attributes=attributes)


def refused(segment: Segment, event: events.ToolRefused, at: float) -> None:
    told: dict[str, Value] = {names.VERDICT: "refused", names.TOOL: segment.tool_name(event.tool)}
    segment.content.put(told, names.MESSAGE, event.reason)
    _verdict(segment, segment.place(event.agent, event.task_id, at), "policy", at, told)


def suspicious(segment: Segment, event: events.DocumentSuspicious, at: float) -> None:
    told: dict[str, Value] = {
        names.VERDICT: "flagged",
        names.TOOL: segment.tool_name(event.tool),
        names.SIGNS: list(event.signs),
    }
    segment.content.put(told, names.SOURCE, event.source)
    _verdict(segment, segment.place(event.agent, event.task_id, at), "injection", at, told)


def loop(segment: Segment, event: events.LoopNoticed, at: float) -> None:
    told: dict[str, Value] = {names.VERDICT: "stopped" if event.stopped else "warned"}
    segment.content.put(told, names.MESSAGE, event.reason)
    _verdict(segment, segment.place(event.agent, event.task_id, at), "loop", at, told)


def limit(segment: Segment, event: events.LimitReached | events.LimitNear, at: float) -> None:
    reached = isinstance(event, events.LimitReached)
    told: dict[str, Value] = {
        names.VERDICT: "stopped" if reached else "warned",
        names.LIMIT: event.limit,
        names.USED: event.used,
        names.MAXIMUM: event.maximum,
    }
    _verdict(segment, segment.root, "limit", at, told)


def critic(segment: Segment, event: events.Verdict, at: float) -> None:
    told: dict[str, Value] = {
        names.VERDICT: "passed" if event.supported else "failed",
        names.SHARE: event.unsupported_share,
    }
    segment.content.put(told, names.PROBLEMS, event.problems)
    _verdict(segment, segment.alone(at) or segment.root, "critic", at, told)


def asked(segment: Segment, event: events.ApprovalRequested, at: float) -> None:
    tool = segment.tool_name(event.tool)
    told: dict[str, Value] = {
        names.VERDICT: "asked",
        names.TOOL: tool,
        names.TOOL_CALL: plain_id(event.call_id),
    }
    if event.rule:
        told[names.RULE] = event.rule
    segment.content.put(told, names.ARGUMENTS, event.args)
    segment.add(
        segment.place(event.agent, event.task_id, at),
        names.APPROVAL_REQUEST.format(tool),
        span_id=_asked_id(segment, event),
        start=at,
        end=at,
        attributes=told,
    )


def decided(segment: Segment, event: events.ApprovalDecided, at: float) -> None:
    tool = segment.tool_name(event.tool)
    told: dict[str, Value] = {
        names.DECISION: event.decision,
        names.TOOL: tool,
        names.TOOL_CALL: plain_id(event.call_id),
    }
    segment.content.put(told, names.MESSAGE, event.message)
    trace_id = span.trace_id_of(segment.run_id)
    segment.add(
        segment.place(event.agent, event.task_id, at),
        names.APPROVAL_DECISION.format(tool),
        start=at,
        end=at,
        attributes=told,
        links=[Link(trace_id=trace_id, span_id=_asked_id(segment, event), why="asked")],
    )


def _asked_id(segment: Segment, event: events.ApprovalRequested | events.ApprovalDecided) -> str:
    return span.known_id(segment.run_id, "asked", event.task_id, event.call_id, event.again)
