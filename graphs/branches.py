"""A branch on its way: how it begins, goes on to a node, and ends with a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from graphs import events
from graphs.context import TeamContext, now
from graphs.node import emit, spending, stopped, tell_limit
from graphs.state import Branch, Finding, Task
from guardrails import limits

THINK, CHECK, ACT, GATHER = "think", "check", "act", "gather"
SUMMARISE = "summarise"
APPROVE, SETTLE = "approve", "settle"
_SUMMARY = 160


def branch_for(task: Task, *, briefing: str = "", round_number: int = 0) -> Branch:
    """A branch that has done nothing yet."""
    return Branch(
        task=task,
        briefing=briefing,
        history=[],
        evidence=[],
        calls=[],
        done=[],
        code="",
        output="",
        steps=0,
        focus=False,
        looking=False,
        retried=False,
        round=round_number,
        started=now(),
    )


def finish(
    branch: Branch,
    runtime: Runtime[TeamContext],
    *,
    text: str,
    found: bool,
    worded: bool = False,
    ending: Mapping[str, Any] | None = None,
    note: str = "",
) -> Command[str]:
    """The branch is over: what it brought, for the team. ``ending`` ends the run, too; ``worded``
    says that the text is about the output."""
    task = branch["task"]
    finding = Finding(
        task_id=task["id"],
        agent=task["agent"],
        instruction=task["instruction"],
        text=text,
        found=found,
        sources=branch["evidence"],
        code=branch["code"],
        output=branch["output"],
        round=branch["round"],
        cells=branch.get("cells") or [],
        artifacts=branch.get("artifacts") or [],
        worded=worded,
        note=note,
        unsearched=branch.get("unsearched", ""),
    )
    emit(
        runtime,
        events.AgentFinished(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            summary=clip(text) if found else "found nothing that answers it",
            seconds=max(0.0, now() - branch["started"]),
        ),
    )
    update: dict[str, Any] = {"findings": [finding], **spending(runtime), **(ending or {})}
    return Command(update=update, goto=GATHER)


def stop(
    branch: Branch,
    runtime: Runtime[TeamContext],
    reached: limits.LimitExceededError,
    *,
    at: str = "",
) -> Command[str]:
    """The branch is over because a limit was reached, ``at`` this checkpoint."""
    tell_limit(runtime, reached)
    return finish(branch, runtime, text="", found=False, ending=stopped(runtime, reached, at=at))


def changed(branch: Branch, **changes: Any) -> Branch:
    """The branch with some of its fields changed."""
    return {**branch, **changes}  # type: ignore[typeddict-item]


def to(runtime: Runtime[TeamContext], node: str, branch: Branch, **changes: Any) -> Command[str]:
    """The branch goes on at a node."""
    return Command(update=spending(runtime), goto=Send(node, changed(branch, **changes)))


def clip(text: str) -> str:
    """One short line of a text."""
    text = " ".join(text.split())
    return text if len(text) <= _SUMMARY else f"{text[: _SUMMARY - 1]}…"
