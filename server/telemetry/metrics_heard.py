"""Metrics out of a run's events, as the worker that works on it hears them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphs import circling, events, team
from guardrails.limits import Limit
from models import errors
from server.runs.asked import TEAM
from server.runs.endings import TIMEOUT, status_of
from server.runs.record import RunRecord
from server.telemetry import metric_names as names
from server.telemetry.hearing import Heard, Left
from server.telemetry.metrics import NOT_TOLD, Bounds, Metrics

_LIMITS = frozenset(limit.value for limit in Limit)
_FAILURES = frozenset(
    {
        *("attempts_spent", "cancelled", "checkpoint_gone", "internal", "overtaken", "stopped"),
        TIMEOUT,
        *(name for name in dir(errors) if name[0].isupper()),
        *_LIMITS,
    }
)
_DECISIONS = frozenset({"approve", "edit", "reject", "respond", "expired"})
_REASONS = frozenset({team.ANSWERED, team.ASKED_BACK, team.NOT_FOUND, circling.STOPPED, *_LIMITS})
_BRIEF = 0.01
"""Seconds of writing below which a speed says nothing."""


@dataclass(kw_only=True)
class _Under:
    """An attempt at a run that is under way: its thoughts that are not over, by task."""

    thoughts: dict[str, tuple[int, float]] = field(default_factory=dict)


class MetricsListener:
    """Counts what runs tell. Names that are not configured are counted as ``other``.

    ``tenants`` are told apart where that is wanted; otherwise their label stays empty.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        models: Collection[str] = (),
        tools: Collection[str] = (),
        agents: Collection[str] = (),
        tenants: Collection[str] = (),
    ) -> None:
        self._metrics = metrics
        self._tenants = bool(tenants)
        self._bounds = Bounds(
            {
                "model": models,
                "tool": tools,
                "agent": agents,
                "tenant": tenants,
                "error": _FAILURES,
                "limit": _LIMITS,
                "decision": _DECISIONS,
                "reason": _REASONS,
            }
        )
        self._under: dict[str, _Under] = {}
        self._of: dict[type[Any], Callable[[RunRecord, Any, float], None]] = {
            events.RunStarted: self._started,
            events.AgentFinished: self._agent,
            events.ModelCalled: self._model,
            events.ToolStarted: self._acting,
            events.ToolFinished: self._tool,
            events.ToolRefused: self._refused,
            events.ApprovalRequested: self._asked,
            events.ApprovalDecided: self._decided,
            events.DocumentSuspicious: self._suspicious,
            events.LoopNoticed: self._loop,
            events.Verdict: self._verdict,
            events.LimitNear: self._near,
            events.RunFinished: self._finished,
            events.RunFailed: self._failed,
            events.RunInterrupted: self._interrupted,
            Left: self._left,
        }

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        """Count one event. Most are pieces of text, of which nothing is counted."""
        count = self._of.get(type(event))
        if count is not None:
            count(record, event, at)

    def _name(self, label: str, value: str) -> str:
        return self._bounds.of(label, value)

    def _tenant(self, record: RunRecord) -> str:
        return self._name("tenant", record.tenant) if self._tenants else NOT_TOLD

    def _started(self, record: RunRecord, event: events.RunStarted, at: float) -> None:
        metrics = self._metrics
        if record.run_id not in self._under:
            metrics.add(names.RUNS_ACTIVE)
        self._under[record.run_id] = _Under()
        if event.attempt > 1:
            metrics.add(names.REDELIVERIES)
        elif record.resumes == 0 and (begun := _latest(record.created_at, record.due_at)):
            metrics.observe(names.RUN_QUEUE_SECONDS, max(0.0, at - begun.timestamp()))

    def _agent(self, record: RunRecord, event: events.AgentFinished, _: float) -> None:
        self._thought(record, event.task_id)
        agent = self._name("agent", event.agent)
        self._metrics.observe(names.AGENT_SECONDS, event.seconds, agent)

    def _model(self, record: RunRecord, event: events.ModelCalled, _: float) -> None:
        metrics, model = self._metrics, self._name("model", event.model)
        metrics.observe(names.MODEL_SECONDS, event.seconds, model, _word(event.ok))
        if not event.ok:
            metrics.add(names.MODEL_FAILURES, 1.0, model, self._name("error", event.error))
        if (first := event.first_token_seconds) is not None:
            metrics.observe(names.FIRST_TOKEN_SECONDS, first, model)
            writing = event.seconds - first
            # The first token is what the wait was for.
            if event.ok and event.output_tokens > 1 and writing > _BRIEF:
                speed = (event.output_tokens - 1) / writing
                metrics.observe(names.TOKENS_PER_SECOND, speed, model)
        tenant = self._tenant(record)
        metrics.add(names.TOKENS, event.input_tokens, model, "in", tenant)
        metrics.add(names.TOKENS, event.output_tokens, model, "out", tenant)
        metrics.add(names.COST, event.cost, model, tenant)
        if event.cached_tokens is not None:
            cached = min(event.cached_tokens, event.input_tokens)
            metrics.add(names.PREFIX_TOKENS, cached, model, "true")
            metrics.add(names.PREFIX_TOKENS, event.input_tokens - cached, model, "false")
        self._think(record, event)

    def _think(self, record: RunRecord, event: events.ModelCalled) -> None:
        """The attempts of one thought are one step."""
        under = self._under.get(record.run_id)
        if under is None:
            return
        step, seconds = under.thoughts.get(event.task_id, (event.step, 0.0))
        if step != event.step:
            self._metrics.observe(names.STEP_SECONDS, seconds, "thought")
            seconds = 0.0
        under.thoughts[event.task_id] = (event.step, seconds + event.seconds)

    def _thought(self, record: RunRecord, task_id: str) -> None:
        under = self._under.get(record.run_id)
        if under is not None and (over := under.thoughts.pop(task_id, None)):
            self._metrics.observe(names.STEP_SECONDS, over[1], "thought")

    def _acting(self, record: RunRecord, event: events.ToolStarted, _: float) -> None:
        self._thought(record, event.task_id)

    def _tool(self, _: RunRecord, event: events.ToolFinished, __: float) -> None:
        tool = self._name("tool", event.tool)
        self._metrics.observe(names.TOOL_SECONDS, event.seconds, tool, _word(event.ok))
        self._metrics.observe(names.STEP_SECONDS, event.seconds, "tool")

    def _refused(self, _: RunRecord, event: events.ToolRefused, __: float) -> None:
        self._metrics.add(names.TOOL_REFUSALS, 1.0, self._name("tool", event.tool))

    def _asked(self, _: RunRecord, event: events.ApprovalRequested, __: float) -> None:
        self._metrics.add(names.APPROVALS_REQUESTED, 1.0, self._name("tool", event.tool))

    def _decided(self, _: RunRecord, event: events.ApprovalDecided, __: float) -> None:
        kind = self._name("decision", event.decision)
        self._metrics.add(names.APPROVALS_DECIDED, 1.0, kind)

    def _suspicious(self, _: RunRecord, event: events.DocumentSuspicious, __: float) -> None:
        self._metrics.add(names.SUSPICIOUS, 1.0, self._name("tool", event.tool))

    def _loop(self, _: RunRecord, event: events.LoopNoticed, __: float) -> None:
        self._metrics.add(names.LOOPS, 1.0, _word(event.stopped))

    def _verdict(self, _: RunRecord, event: events.Verdict, __: float) -> None:
        self._metrics.add(names.VERDICTS, 1.0, _word(event.supported))

    def _near(self, _: RunRecord, event: events.LimitNear, __: float) -> None:
        self._metrics.add(names.LIMIT_WARNINGS, 1.0, self._name("limit", event.limit))

    def _finished(self, record: RunRecord, event: events.RunFinished, at: float) -> None:
        metrics = self._metrics
        self._ended(record, event, at)
        reason = self._name("reason", event.stop_reason)
        metrics.add(names.ANSWERS, 1.0, reason, _word(bool(event.sources)))
        if event.unsupported_share is not None:
            metrics.observe(names.UNSUPPORTED, event.unsupported_share)
        if event.stop_reason in _LIMITS:
            metrics.add(names.LIMIT_STOPS, 1.0, event.stop_reason)

    def _failed(self, record: RunRecord, event: events.RunFailed, at: float) -> None:
        metrics = self._metrics
        self._ended(record, event, at)
        metrics.add(names.RUN_FAILURES, 1.0, self._name("error", event.error))
        if event.error in _LIMITS:
            metrics.add(names.LIMIT_STOPS, 1.0, event.error)
        if event.error == "attempts_spent":
            metrics.add(names.RUNS_GIVEN_UP)

    def _interrupted(self, record: RunRecord, event: events.RunInterrupted, at: float) -> None:
        del at
        agent = self._name("agent", _asked_of(record))
        self._metrics.add(names.RUNS, 1.0, agent, status_of(event).value, self._tenant(record))

    def _ended(
        self, record: RunRecord, event: events.RunFinished | events.RunFailed, at: float
    ) -> None:
        metrics, agent = self._metrics, self._name("agent", _asked_of(record))
        metrics.add(names.RUNS, 1.0, agent, status_of(event).value, self._tenant(record))
        if record.created_at is not None:
            waited = max(0.0, at - record.created_at.timestamp())
            metrics.observe(names.RUN_SECONDS, waited, agent)
        metrics.observe(names.RUN_ACTIVE_SECONDS, event.usage.seconds, agent)
        metrics.observe(names.RUN_COST, event.usage.cost, agent)

    def _left(self, record: RunRecord, event: Left, _: float) -> None:
        under = self._under.pop(record.run_id, None)
        if under is None:
            return
        for _, seconds in under.thoughts.values():
            self._metrics.observe(names.STEP_SECONDS, seconds, "thought")
        self._metrics.take(names.RUNS_ACTIVE)
        if not event.ended:
            self._metrics.add(names.RUNS_FENCED if event.lost else names.RUNS_GIVEN_BACK)


def _asked_of(record: RunRecord) -> str:
    """Who of the team was asked, or which other graph."""
    return record.asked.agent if record.asked.graph == TEAM else record.asked.graph


def _latest(*moments: datetime | None) -> datetime | None:
    return max((one for one in moments if one is not None), default=None)


def _word(value: bool) -> str:  # noqa: FBT001 - the value of a label
    return "true" if value else "false"
