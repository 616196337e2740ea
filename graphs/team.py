"""The team as one flat graph: coordinate, agents at work, write, criticise, finish.

Calls of one run: a plan, then each task's own loop, then one to write where there are several
findings, one to criticise. Small talk costs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from agents import coder, coordinator, critic, researcher
from graphs import (
    answers,
    events,
    filing,
    guarding,
    judging,
    making,
    planning,
    summarising,
    understanding,
)
from graphs.acting import act, approve, check, settle
from graphs.branches import ACT, APPROVE, CHECK, GATHER, SETTLE, SUMMARISE, THINK, branch_for
from graphs.context import TeamContext, usage_of
from graphs.loop import think
from graphs.node import ask, emit, spending, stopped, tell_limit
from graphs.state import Asking, Branch, Finding, Task, TeamState
from guardrails import citations, limits
from models.errors import MalformedStep
from tools.uploads import Upload

COORDINATE, WRITE, CRITICISE, FINISH = "coordinate", "write", "criticise", "finish"
TEAM = "team"
ANSWERED, ASKED_BACK, NOT_FOUND = "answered", "asked_back", "not_found"
_NOTHING = "I have nothing to answer yet. What would you like to know?"


def build(checkpointer: BaseCheckpointSaver[str] | None = None) -> CompiledStateGraph[Any, Any]:
    """The compiled graph ``team``; runs are given a TeamContext."""
    graph = StateGraph(TeamState, context_schema=TeamContext)
    graph.add_node(COORDINATE, coordinate)
    graph.add_node(THINK, think, input_schema=Branch)
    graph.add_node(CHECK, check, input_schema=Branch)
    graph.add_node(ACT, act, input_schema=Branch)
    graph.add_node(APPROVE, approve, input_schema=Asking)
    graph.add_node(SETTLE, settle)
    graph.add_node(SUMMARISE, summarising.summarise, input_schema=Branch)
    graph.add_node(GATHER, gather)
    graph.add_node(WRITE, write)
    graph.add_node(CRITICISE, criticise)
    graph.add_node(FINISH, finish)
    graph.add_edge(START, COORDINATE)
    return graph.compile(checkpointer=checkpointer, name=TEAM)


async def coordinate(state: TeamState, runtime: Runtime[TeamContext]) -> Command[str]:
    """Decide what happens with the last message; what the critic sent back goes out again."""
    context = runtime.context
    question = _last_question(state["messages"])
    fresh: dict[str, Any] = {
        "findings": None,
        "verdict": {},
        "cited": [],
        "citations": [],
        "draft": "",
        "tasks": [],
        "round": 0,
        "wave": 0,
        "stop_reason": "",
        "stopped": None,
        "held": None,
        "settled": None,
        "task": question,
    }
    if not question:
        ended = {**fresh, "draft": _NOTHING, "stop_reason": ASKED_BACK}
        return await _ended(state, ended, runtime)
    conversation = planning.conversation(state["messages"])
    try:
        if len(conversation) > 1 and _needs_rewriting(context):
            message = question
            if not understanding.stands_alone(message):
                question = await _complete(conversation, runtime)
                tell_understood(runtime, message=message, question=question, calls=1)
            conversation = [HumanMessage(question)]
            fresh["task"] = question
        if context.agent in (researcher.NAME, coder.NAME, critic.NAME):
            # Asked alone, the critic holds the message itself against what can be found.
            voice = critic.CHECKER if context.agent == critic.NAME else context.agent
            # The coder alone works with what it is told; passages would only distract it.
            queries = [] if context.agent == coder.NAME else [question]
            tasks = [planning.task(voice, question, queries)]
            return await _send(
                runtime,
                {**fresh, "tasks": tasks},
                tasks,
                state=cast("TeamState", {**state, **fresh}),
            )
        files = await filing.given(context)
        if len(conversation) == 1 and filing.is_about(question, files):
            plan: coordinator.Plan = filing.PlanWithFiles(move="data")
        elif context.agent == TEAM and summarising.wanted(question, context):
            tasks = [planning.task(researcher.SUMMARISER, question, [question])]
            return await _send(
                runtime,
                {**fresh, "tasks": tasks},
                tasks,
                state=cast("TeamState", {**state, **fresh}),
            )
        else:
            question = filing.without_names(question)
            conversation = [*conversation[:-1], HumanMessage(question)]
            plan = await _plan(conversation, runtime, files=files)
    except limits.LimitExceededError as reached:
        tell_limit(runtime, reached)
        return await _ended(state, {**fresh, **stopped(runtime, reached)}, runtime)
    if plan.move == "reply" and plan.text:
        ended = {**fresh, "draft": plan.text, "stop_reason": ANSWERED}
        return await _ended(state, ended, runtime)
    message = question
    if len(conversation) > 1 and not plan.tasks and not understanding.stands_alone(message):
        question = understanding.kept(message, "", before=_before(conversation))
    if plan.move == filing.DATA:
        if len(conversation) > 1 and plan.tasks:
            question = " ".join(plan.tasks)
        tasks = [planning.task(coder.NAME, question, [])]
    else:
        alone = len(conversation) == 1
        question, tasks = planning.tasks_of(plan, question=question, alone=alone)
    parts = [task["instruction"] for task in tasks if task["agent"] == researcher.NAME]
    tell_understood(runtime, message=message, question=question, parts=parts)
    tasks = planning.narrow(tasks, most=context.ledger.limits.branches)
    fresh |= {"task": question, "tasks": tasks}
    first = [task for task in tasks if task["wave"] == 0]
    return await _send(runtime, fresh, first, state=cast("TeamState", {**state, **fresh}))


async def _plan(
    conversation: list[AnyMessage], runtime: Runtime[TeamContext], *, files: Sequence[Upload]
) -> coordinator.Plan:
    """One model call; a reply that cannot be read means research, the usual case."""
    agent = runtime.context.agents[coordinator.NAME]
    shape: type[coordinator.Plan] = coordinator.Plan
    if files and not runtime.context.model_for(agent).plain:
        shape, conversation = filing.PlanWithFiles, filing.with_files(conversation, files)
    try:
        reply = await ask(agent, conversation, runtime, answer=shape)
    except MalformedStep:
        return coordinator.Plan(move="research")
    return shape.model_validate(reply.answer)


def _needs_rewriting(context: TeamContext) -> bool:
    """A single agent sees its instruction alone; a small model plans badly and reads worse when
    it has to understand a follow-up in the same call.
    """
    agent = context.agents[coordinator.NAME]
    return context.agent not in (TEAM, coordinator.NAME) or context.model_for(agent).plain


async def _complete(conversation: list[AnyMessage], runtime: Runtime[TeamContext]) -> str:
    """The last message made complete by what stands before it. Raises LimitExceededError."""
    agent = runtime.context.agents[coordinator.REWRITER]
    try:
        reply = await ask(agent, [HumanMessage(planning.transcript(conversation))], runtime)
    except MalformedStep:
        rewritten = ""
    else:
        rewritten = reply.message.text.strip()
    return understanding.kept(conversation[-1].text, rewritten, before=_before(conversation))


def _before(conversation: Sequence[AnyMessage]) -> str:
    """What the user said before the last message."""
    return [one.text for one in conversation[:-1] if isinstance(one, HumanMessage)][-1]


def tell_understood(
    runtime: Runtime[TeamContext],
    *,
    message: str,
    question: str,
    parts: Sequence[str] = (),
    calls: int = 0,
) -> None:
    """Tell how a message was understood, where that is not how it was put."""
    if question != message or len(parts) > 1:
        emit(
            runtime,
            events.QuestionUnderstood(
                message=message, question=question, parts=list(parts), calls=calls
            ),
        )


async def gather(state: TeamState, runtime: Runtime[TeamContext]) -> Command[str]:
    """Wait for all tasks of a wave; then start the next one, or hand on what was found."""
    here = _findings(state)
    done = {finding["task_id"] for finding in here}
    left = [task for task in state["tasks"] if task["id"] not in done]
    if any(task["wave"] <= state["wave"] for task in left):
        return Command()
    if reason := state.get("stop_reason"):
        # Branches may have ended for several limits at once; the first is the one to be raised.
        limit = (state.get("stopped") or {}).get("limit")
        return await _ended(state, {"stop_reason": limit or reason}, runtime)
    found = [finding for finding in here if finding["found"]]
    following = [task for task in left if task["wave"] == state["wave"] + 1]
    if following:
        return await _send(runtime, {"wave": state["wave"] + 1}, following, state=state)
    if not found:
        return await _ended(state, {"draft": "", "stop_reason": NOT_FOUND}, runtime)
    return Command(goto=WRITE) if runtime.context.apart else await write(state, runtime)


async def write(state: TeamState, runtime: Runtime[TeamContext]) -> Command[str]:
    """Make one draft of the findings; what needs no words of its own asks no model."""
    context = runtime.context
    here = _findings(state)
    agent = context.agents[coordinator.WRITER]
    draft = answers.joined(here)
    if draft is None and context.model_for(agent).plain:
        # Measured: a small writer loses numbers; the findings read well one after another.
        draft = answers.in_a_row(here)
    if draft is None:
        try:
            findings = answers.for_writer(here, question=state["task"])
            reply = await ask(agent, [HumanMessage(findings)], runtime)
        except limits.LimitExceededError as reached:
            tell_limit(runtime, reached)
            return await _ended(state, stopped(runtime, reached), runtime)
        except MalformedStep:
            draft = answers.in_a_row(here)
        else:
            draft = reply.message.text.strip()
    update = {"draft": citations.marks_inside(draft), **spending(runtime)}
    if context.agent != TEAM:
        return await _ended(state, update, runtime)
    return Command(update=update, goto=CRITICISE)


async def criticise(state: TeamState, runtime: Runtime[TeamContext]) -> Command[str]:
    """Hold the draft against the evidence: what can be counted first, then the model critic."""
    context = runtime.context
    findings = [finding for finding in _findings(state) if finding["found"]]
    try:
        verdict = await judging.judge(
            state["draft"], question=state["task"], findings=findings, runtime=runtime
        )
    except limits.LimitExceededError as reached:
        tell_limit(runtime, reached)
        return await _ended(state, stopped(runtime, reached), runtime)
    problems = [f"{problem.claim}: {problem.reason}" for problem in verdict.problems]
    claims = [problem.claim for problem in verdict.problems]
    share = guarding.unsupported_share(state["draft"], claims)
    told = {"supported": verdict.supported, "problems": problems, "unsupported_share": share}
    emit(runtime, events.Verdict.model_validate(told))
    update: dict[str, Any] = {
        "verdict": told,
        **spending(runtime),
    }
    if verdict.supported:
        return await _ended(state, {**update, "stop_reason": ANSWERED}, runtime)
    kept = answers.without_claims(state["draft"], claims)
    update["draft"] = kept
    if state["round"] + 1 < context.max_rounds:
        tasks = planning.again(state["tasks"])
        first = [task for task in tasks if task["wave"] == 0]
        started = {**update, "tasks": tasks, "round": state["round"] + 1, "wave": 0}
        return await _send(runtime, started, first, state=cast("TeamState", {**state, **started}))
    return await _ended(state, {**update, "stop_reason": ANSWERED if kept else NOT_FOUND}, runtime)


async def _ended(
    state: TeamState, update: Mapping[str, Any], runtime: Runtime[TeamContext]
) -> Command[str]:
    """The end of the run, in the step that leads to it: a step of its own asks no model."""
    if runtime.context.apart:
        return Command(update=update, goto=FINISH)
    last = await finish(cast("TeamState", {**state, **update}), runtime)
    return Command(update={**update, **cast("dict[str, Any]", last.update)})


async def finish(state: TeamState, runtime: Runtime[TeamContext]) -> Command[str]:
    """The answer as a message, with its sources and what it cost; no model is asked."""
    context = runtime.context
    findings = list(state.get("findings") or [])
    composed = answers.compose(
        draft=state.get("draft", ""),
        question=state.get("task", ""),
        findings=findings,
        stop_reason=state.get("stop_reason") or ANSWERED,
        round_number=state.get("round", 0),
    )
    made = making.of_findings(findings)
    text = guarding.disarmed(making.linked(composed.text, made), context=context)
    usage = usage_of(context.ledger.spent)
    sources = [source.model_dump(mode="json") for source in composed.sources]
    cited = [one.model_dump(mode="json") for one in answers.citations_of(text, composed.sources)]
    message = AIMessage(
        text,
        id=answer_id(context.run_id),
        name=TEAM if context.agent == TEAM else context.agent,
        additional_kwargs={
            "sources": sources,
            "citations": cited,
            "stop_reason": state.get("stop_reason") or ANSWERED,
            "usage": usage.model_dump(mode="json"),
            "code": composed.code,
            "cells": making.cells_of(findings),
            "artifacts": [{**one, "url": making.path_of(one)} for one in made],
        },
    )
    return Command(
        update={
            "messages": [message],
            "draft": text,
            "cited": sources,
            "citations": cited,
        }
    )


def answer_id(run_id: str) -> str:
    """Which message is a run's answer: with it the run has ended."""
    return f"answer-{run_id}"


async def _send(
    runtime: Runtime[TeamContext],
    update: dict[str, Any],
    tasks: list[Task],
    *,
    state: TeamState,
) -> Command[str]:
    """Start tasks side by side, each told what it needs to know of what came before."""
    findings = _findings(state)
    codes = any(task["agent"] == coder.NAME for task in tasks)
    files = await filing.briefing(runtime.context) if codes else ""
    objections = (state.get("verdict") or {}).get("problems") or []
    branches = []
    for task in tasks:
        parts = [planning.briefing(task, findings)]
        if task["agent"] == coder.NAME:
            parts.append(files)
        if objections:
            parts.append("A first answer did not hold: " + "; ".join(objections))
        branch = branch_for(
            task, briefing="\n".join(filter(None, parts)), round_number=state["round"]
        )
        reads = task["agent"] == researcher.SUMMARISER
        branches.append(Send(SUMMARISE if reads else THINK, branch))
    return Command(update={**update, **spending(runtime)}, goto=branches)


def _findings(state: TeamState) -> list[Finding]:
    """What this round's tasks have brought so far, in the order in which they were asked."""
    brought = {finding["task_id"]: finding for finding in state.get("findings") or []}
    return [brought[task["id"]] for task in state["tasks"] if task["id"] in brought]


def _last_question(messages: list[AnyMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return message.text.strip()
    return ""


__all__ = ["ANSWERED", "ASKED_BACK", "NOT_FOUND", "TEAM", "build"]
