"""What is counted of a run, from the events that it tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graphs import events
from guardrails.limits import Limit
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.telemetry import metric_names as names
from server.telemetry.hearing import Heard, Left
from server.telemetry.metrics import Metrics
from server.telemetry.metrics_heard import MetricsListener

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = RunRecord(run_id="run-1", thread_id="thread-1", asked=Asked(), created_at=CREATED, token=1)
STARTED = events.RunStarted(run_id="run-1", thread_id="thread-1")
CALLED = events.ModelCalled(
    agent="researcher",
    task_id="t1",
    model="big",
    input_tokens=100,
    output_tokens=41,
    cost=0.5,
    seconds=3.0,
    first_token_seconds=1.0,
    step=1,
)


class Heart:
    """A listener with its metrics; events come a second after each other."""

    def __init__(self, **known: Any) -> None:
        self.metrics = Metrics(process=False)
        given = {"models": {"big"}, "tools": {"run_python"}, "agents": {"team", "researcher"}}
        self._listener = MetricsListener(self.metrics, **{**given, **known})
        self._at = CREATED.timestamp() + 2

    def hear(self, *told: Heard, record: RunRecord = RECORD) -> Heart:
        for event in told:
            self._listener.hear(record, event, at=self._at)
            self._at += 1
        return self

    def value(self, metric: names.Metric, *labels: str) -> float:
        return self.metrics.value(metric, *labels)


def finished(**changed: Any) -> events.RunFinished:
    usage = events.Usage(seconds=4.0, cost=0.5)
    return events.RunFinished(
        **{"answer": "Yes.", "stop_reason": "answered", "usage": usage, **changed}
    )


def test_an_answered_run_is_counted_once_with_its_times_tokens_and_cost() -> None:
    heart = Heart().hear(STARTED, CALLED, finished(unsupported_share=0.2), Left(ended=True))
    assert heart.value(names.RUNS, "team", "success", "") == 1
    assert heart.value(names.RUN_QUEUE_SECONDS) == 2
    assert heart.value(names.RUN_SECONDS, "team") == 4
    assert heart.value(names.RUN_ACTIVE_SECONDS, "team") == 4
    assert heart.value(names.RUN_COST, "team") == 0.5
    assert heart.value(names.TOKENS, "big", "in", "") == 100
    assert heart.value(names.TOKENS, "big", "out", "") == 41
    assert heart.value(names.COST, "big", "") == 0.5
    assert heart.value(names.ANSWERS, "answered", "false") == 1
    assert heart.value(names.UNSUPPORTED) == 0.2
    assert heart.value(names.RUNS_ACTIVE) == 0
    assert heart.value(names.RUNS_GIVEN_BACK) == 0


@pytest.mark.parametrize("reason", ["asked_back", "not_found", "loop", "max_steps"])
def test_an_answer_is_counted_by_why_the_team_stopped(reason: str) -> None:
    heart = Heart().hear(STARTED, finished(stop_reason=reason), Left(ended=True))
    assert heart.value(names.ANSWERS, reason, "false") == 1


def test_a_reply_tells_when_it_began_and_how_fast_it_was_written() -> None:
    heart = Heart().hear(STARTED, CALLED)
    assert heart.value(names.FIRST_TOKEN_SECONDS, "big") == 1
    assert heart.value(names.TOKENS_PER_SECOND, "big") == 20  # 40 tokens in 2 s


def test_the_providers_cache_is_counted_where_it_says_so() -> None:
    heart = Heart().hear(STARTED, CALLED, CALLED.model_copy(update={"cached_tokens": 64}))
    assert heart.value(names.PREFIX_TOKENS, "big", "true") == 64
    assert heart.value(names.PREFIX_TOKENS, "big", "false") == 36


def test_a_thought_with_its_retries_is_one_step_and_a_tool_call_another() -> None:
    failed = CALLED.model_copy(update={"error": "RateLimited", "ok": False, "attempt": 1})
    where: dict[str, Any] = {
        "agent": "coder",
        "task_id": "t1",
        "call_id": "c",
        "tool": "run_python",
    }
    heart = Heart().hear(
        STARTED,
        failed,
        CALLED.model_copy(update={"attempt": 2}),
        events.ToolStarted(**where, args={}),
        events.ToolFinished(**where, ok=True, summary="", seconds=7.0),
        CALLED.model_copy(update={"step": 2, "seconds": 5.0}),
        CALLED.model_copy(update={"step": 3, "seconds": 1.0}),
        Left(ended=False),
    )
    assert heart.metrics.count(names.STEP_SECONDS, "thought") == 3
    assert heart.value(names.STEP_SECONDS, "thought") == 3.0 + 3.0 + 5.0 + 1.0
    assert heart.value(names.STEP_SECONDS, "tool") == 7
    assert heart.value(names.TOOL_SECONDS, "run_python", "true") == 7
    assert heart.value(names.MODEL_FAILURES, "big", "RateLimited") == 1
    assert heart.value(names.RUNS_GIVEN_BACK) == 1


def test_a_second_attempt_is_a_redelivery_and_no_wait_in_the_queue() -> None:
    again = events.RunStarted(run_id="run-1", thread_id="thread-1", attempt=2)
    heart = Heart().hear(again, Left(ended=False, lost=True))
    assert heart.value(names.REDELIVERIES) == 1
    assert heart.metrics.count(names.RUN_QUEUE_SECONDS) == 0
    assert heart.value(names.RUNS_FENCED) == 1
    assert heart.value(names.RUNS_GIVEN_BACK) == 0


def test_a_delayed_run_waits_from_when_it_is_due() -> None:
    late = replace(RECORD, due_at=CREATED + timedelta(seconds=1.5))
    assert Heart().hear(STARTED, record=late).value(names.RUN_QUEUE_SECONDS) == 0.5


def test_what_a_limit_ended_is_counted_by_limit() -> None:
    heart = Heart().hear(
        STARTED,
        finished(stop_reason=Limit.COST.value),
        STARTED,
        events.RunFailed(error=Limit.TENANT_DAY.value, message=""),
    )
    assert heart.value(names.LIMIT_STOPS, "max_cost") == 1
    assert heart.value(names.LIMIT_STOPS, "tenant_day") == 1
    assert heart.value(names.RUNS, "team", "error", "") == 1


def test_a_run_that_is_given_up_is_a_dead_letter() -> None:
    heart = Heart().hear(events.RunFailed(error="attempts_spent", message=""))
    assert heart.value(names.RUNS_GIVEN_UP) == 1
    assert heart.value(names.RUN_FAILURES, "attempts_spent") == 1


def test_names_that_are_not_configured_make_no_series_of_their_own() -> None:
    heart = Heart().hear(
        STARTED,
        CALLED.model_copy(update={"model": "stranger", "ok": False, "error": "Weird"}),
        events.RunFailed(error="SomethingOfAUsersGraph", message=""),
        record=replace(RECORD, asked=Asked(graph="whoever"), tenant="acme"),
    )
    assert heart.value(names.TOKENS, "other", "in", "") == 100
    assert heart.value(names.MODEL_FAILURES, "other", "other") == 1
    assert heart.value(names.RUN_FAILURES, "other") == 1
    told = heart.metrics.text().decode()
    for word in ("stranger", "Weird", "SomethingOfAUsersGraph", "whoever", "acme", "run-1"):
        assert word not in told


def test_tenants_are_told_apart_only_where_that_is_wanted() -> None:
    heart = Heart(tenants={"acme"})
    for tenant in ("acme", "nobody"):
        heart.hear(STARTED, CALLED, record=replace(RECORD, tenant=tenant))
    assert heart.value(names.COST, "big", "acme") == 0.5
    assert heart.value(names.COST, "big", "other") == 0.5


def test_approvals_and_refusals_are_counted_by_tool_and_kind() -> None:
    where: dict[str, Any] = {"agent": "coder", "task_id": "t", "call_id": "c", "tool": "run_python"}
    heart = Heart().hear(
        STARTED,
        events.ApprovalRequested(**where, args={}, args_sha256=""),
        events.ApprovalDecided(**where, decision="edit"),
        events.ToolRefused(**where, reason="no"),
    )
    assert heart.value(names.APPROVALS_REQUESTED, "run_python") == 1
    assert heart.value(names.APPROVALS_DECIDED, "edit") == 1
    assert heart.value(names.TOOL_REFUSALS, "run_python") == 1
