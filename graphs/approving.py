"""Asking a person about one call: what is shown, how the pause is made, how the answer is read.

A call that is asked about travels in a `Send` of its own, so that each has one interrupt with
nothing before it, and each is decided by itself, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt

from graphs import circling, dialects, events, guarding
from graphs.branches import APPROVE, clip
from graphs.calling import key_of, own, problem_with, refused
from graphs.context import TeamContext, usage_of
from graphs.node import emit, stopped
from graphs.state import Asking, Branch, Wanted
from guardrails import arguments, limits
from guardrails.policy import Choice, PolicyVerdict, Terms
from tools.tool import ToolResult

OURS = "approval"
"""Key of an interrupt's value under which stands what only the team's own questions tell."""

GIVEN = "[written by the caller, not found by the run]"
"""Before what a person is shown of a run that a caller has steered."""

_EVIDENCE = 5
_UNKNOWN = (
    "It was begun before, and the process ended before its result was noted. Whether it happened "
    "is not known, and it may not be done twice: look first. Approve to do it (again), respond "
    "with its result if it has happened, reject if it should not be done."
)


def ask(
    call: Wanted, verdict: PolicyVerdict, branch: Branch, runtime: Runtime[TeamContext]
) -> Send:
    """Send a call to where a person is waited for."""
    context = runtime.context
    agent = context.agents[branch["task"]["agent"]].name
    terms = verdict.terms
    emit(
        runtime,
        events.ApprovalRequested(
            agent=agent,
            task_id=branch["task"]["id"],
            call_id=call["id"],
            tool=call["name"],
            args=call["args"],
            args_sha256=arguments.digest(call["name"], call["args"]),
            rule=verdict.name,
            reason=verdict.reason,
            expires_seconds=terms.expires_seconds,
            again=call.get("again", 0),
        ),
    )
    value = question(call, verdict, branch, context=context)
    return Send(APPROVE, Asking(branch=branch, call=call, value=value))


def ask_again(call: Wanted, branch: Branch, runtime: Runtime[TeamContext]) -> Send:
    """Ask about a call that may have happened, whatever the policy says of it."""
    anew: Wanted = {**call, "again": call.get("again", 0) + 1}
    return ask(anew, _judged(anew, branch, runtime.context), branch, runtime)


def asked(state: Asking, runtime: Runtime[TeamContext]) -> dict[str, Any]:
    """What a person is asked, made from the call and the policy when it is asked.

    What travels with the call may be a caller's own words (``command.goto``): taken from there,
    he would say himself who decides about his call.
    """
    call, branch, context = state["call"], state["branch"], runtime.context
    return question(call, _judged(call, branch, context), branch, context=context)


def _judged(call: Wanted, branch: Branch, context: TeamContext) -> PolicyVerdict:
    agent = context.agents[branch["task"]["agent"]].name
    verdict = context.judge(call["name"], call["args"], agent=agent)
    if not call.get("again"):
        return verdict
    # Whether it happened is not remembered for the next one, and only a person can know.
    terms = replace(verdict.terms, choices=frozenset(Choice), remember=False, critical=True)
    return replace(verdict, reason=_UNKNOWN, terms=terms)


def question(
    call: Wanted, verdict: PolicyVerdict, branch: Branch, *, context: TeamContext
) -> dict[str, Any]:
    """A call as a LangChain `HITLRequest` of one action, which every inbox can show."""
    # It may be gone since the call was wanted; then its executor says so.
    tool = context.tools.get(call["name"])
    agent = context.agents[branch["task"]["agent"]].name
    words = verdict.reason or f"{agent} wants to use {call['name']}"
    return {
        "action_requests": [
            {
                "name": call["name"],
                "args": call["args"],
                # agent-inbox reads the arguments under this name.
                "arguments": call["args"],
                "description": words,
            }
        ],
        "review_configs": [
            {
                "action_name": call["name"],
                "allowed_decisions": [one.value for one in Choice if one in verdict.terms.choices],
                **({"args_schema": tool.parameters.model_json_schema()} if tool else {}),
            }
        ],
        OURS: {
            "kind": "tool",
            "agent": agent,
            "task_id": branch["task"]["id"],
            "call_id": call["id"],
            "run_id": context.run_id,
            "rule": verdict.name,
            "reason": verdict.reason,
            "effect": tool.effect.value if tool else "",
            "terms": written(verdict.terms),
            "args_sha256": arguments.digest(call["name"], call["args"]),
            "requested_by": context.user,
            "context": _context(branch, context),
        },
    }


def written(terms: Terms) -> dict[str, Any]:
    """Terms as plain data."""
    return {
        "expires_seconds": terms.expires_seconds,
        "on_expiry": terms.on_expiry.value,
        "roles": sorted(terms.roles),
        "quorum": terms.quorum,
        "self_approval": terms.self_approval,
        "choices": sorted(one.value for one in terms.choices),
        "remember": terms.remember,
        "critical": terms.critical,
    }


def wait(question: Mapping[str, Any]) -> Any:
    """The one interrupt of its node."""
    return interrupt(question)


def read(
    state: Asking, question: Mapping[str, Any], decision: Any, runtime: Runtime[TeamContext]
) -> tuple[Wanted, ToolResult | None]:
    """What was decided: the call as it may run, or what the model is told instead.

    That it says so is no permission yet: the call's executor looks for the approval itself.
    """
    call, branch = state["call"], state["branch"]
    name = call["name"]
    try:
        given = dialects.parse(dialects.read(question), decision)[0]
    except dialects.DialectError as error:
        given = dialects.Given(choice=Choice.REJECT, message=f"the decision is not one: {error}")
    edited: Wanted = {**call, "args": dict(given.args or {})}
    match given.choice:
        case Choice.APPROVE:
            result = None
        case Choice.EDIT:
            tool = runtime.context.tools.get(name)
            found = problem_with(edited, tool) if tool else None
            call, result = edited, None if found is None else own(found)
        case Choice.REJECT:
            why = f", and said: {given.message}" if given.message else "."
            result = refused(f"{name} was not run: a person refused it{why}", why="rejected")
        case Choice.RESPOND:
            said = f"{name} was not run: a person answered in its place.\n{given.message}"
            result = refused(said, why="responded")
        case None:
            result = refused(f"{name} was not run: nobody decided in time.", why="expired")
    task = branch["task"]
    emit(
        runtime,
        events.ApprovalDecided(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            call_id=call["id"],
            tool=name,
            decision=given.choice.value if given.choice else "expired",
            message=given.message or "",
            args=call["args"],
            again=call.get("again", 0),
        ),
    )
    return call, result


def with_edit(result: ToolResult, *, call: Wanted, asked: Wanted) -> ToolResult:
    """A result that says so where a person changed what was called."""
    if call["args"] == asked["args"]:
        return result
    told = f"A person changed the arguments to {arguments.canonical(call['args'])}."
    return replace(result, data={**result.data, guarding.NOTE: told})


def place_of(call: Wanted, branch: Branch) -> str:
    """Where the outcome of a call waits for those of the others: the same however often asked."""
    return key_of({**call, "again": 0}, branch)


def limited(reached: limits.LimitExceededError, runtime: Runtime[TeamContext]) -> dict[str, Any]:
    """A limit that ended a call, as plain data."""
    return dict(stopped(runtime, reached)["stopped"])


def reached(stored: Mapping[str, Any]) -> limits.LimitExceededError:
    """The reverse of ``limited``."""
    return limits.LimitExceededError(
        limits.Limit(stored["limit"]), used=stored["used"], maximum=stored["maximum"]
    )


def _context(branch: Branch, context: TeamContext) -> dict[str, Any]:
    """What a person wants to know besides the call itself.

    The branch of a run that was steered may be its caller's invention.
    """

    def said(text: str) -> str:
        return f"{GIVEN} {text}" if context.steered and text else text

    # Those of this step are still to be made, and what was refused never was.
    other = {circling.call_key(one) for one in branch["calls"]} | {*branch.get("refused", [])}
    return {
        "question": said(branch["task"]["instruction"]),
        "plan": said(branch["briefing"]),
        "done": [said(clip(one)) for one in branch["done"] if one not in other | {"nothing"}],
        "evidence": [
            {
                "title": said(str(one.get("title") or "")),
                "source": said(str(one.get("source") or "")),
                "page": one.get("page"),
                "text": said(clip(str(one.get("text") or ""))),
            }
            for one in branch["evidence"][:_EVIDENCE]
        ],
        "usage": usage_of(context.ledger.spent).model_dump(mode="json"),
        **({"given_by_caller": True} if context.steered else {}),
    }
