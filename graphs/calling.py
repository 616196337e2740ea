"""One call of a tool, and the check that counts: whoever led here, nothing runs without it.

The policy is asked again with the arguments that would run; a call that needs a person uses up an
approval of exactly this tool and these arguments, or does not run.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from langgraph.runtime import Runtime
from pydantic import ValidationError

from graphs import effects, events, guarding, making, retrieving
from graphs.branches import clip
from graphs.context import TeamContext, now
from graphs.node import emit, in_time
from graphs.state import Branch, Wanted
from guardrails import arguments
from guardrails.policy import Decision
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

REFUSED = "refused"
"""Key in ``ToolResult.data``: the call was not made, and why in a word."""


class UnknownEffectError(Exception):
    """The call was begun before, may have happened, and may not be made again unasked."""


async def run_call(
    call: Wanted, branch: Branch, runtime: Runtime[TeamContext], *, asked: bool = False
) -> ToolResult:
    """Make a call if it may be made; a failure is told to the model, not to the run.

    ``asked``: a person had to be, so only an approval lets it run. Raises LimitExceededError,
    UnknownEffectError, FencedError.
    """
    context = runtime.context
    agent = context.agents[branch["task"]["agent"]]
    tool = context.tools.get(call["name"])
    if tool is None or call["name"] not in agent.tools:
        return refused(f"{agent.name} has no tool {call['name']}", why="unknown")
    if (problem := problem_with(call, tool)) is not None:
        return own(problem)
    verdict = context.judge(call["name"], call["args"], agent=agent.name)
    if verdict.decision is Decision.DENY:
        return _not_made(f"{tool.name} was refused: {verdict.reason}", call, branch, runtime)
    key = key_of(call, branch)
    if asked or verdict.decision is Decision.ASK:
        permit = await context.permits.consume(call["name"], call["args"], call_id=key)
        if permit is None:
            said = f"{tool.name} was not run: no approval of these arguments is there to be used."
            return _not_made(said, call, branch, runtime)
    context.ledger.tool_call()
    where: dict[str, Any] = {
        "agent": agent.name,
        "task_id": branch["task"]["id"],
        "call_id": call["id"],
    }
    emit(runtime, events.ToolStarted(**where, tool=tool.name, args=call["args"], rule=verdict.name))
    started = now()
    result = await _noted(call, tool, key=key, runtime=runtime)
    retrieving.tell(result, call, branch, runtime)
    making.tell(result, call, branch, runtime)
    guarding.flag(
        result,
        agent=agent.name,
        task_id=branch["task"]["id"],
        tool=tool.name,
        runtime=runtime,
    )
    emit(
        runtime,
        events.ToolFinished(
            **where,
            tool=tool.name,
            ok=result.ok,
            summary=_summary(result),
            seconds=max(0.0, now() - started),
        ),
    )
    return result


def problem_with(call: Wanted, tool: Tool) -> str | None:
    """What is wrong with the arguments, for the model; None where nothing is."""
    try:
        arguments.digest(call["name"], call["args"])
        tool.parameters.model_validate(call["args"])
    except arguments.ArgumentsError as error:
        return f"{tool.name}: {error}"
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "arguments"
        return f"{tool.name}: {where}: {problem['msg']}"
    return None


def refused(words: str, *, why: str) -> ToolResult:
    """What the model is told of a call that was not made."""
    return own(words, **{REFUSED: why})


def own(words: str, **data: Any) -> ToolResult:
    """A failure in words of our own, which a model may go by."""
    return ToolResult(content=words, ok=False, data={guarding.OWN: True, **data})


def key_of(call: Wanted, branch: Branch) -> str:
    """One name for a call through all attempts at its run."""
    return f"{branch['task']['id']}:{branch['steps']}:{call['id']}:{call.get('again', 0)}"


async def _noted(
    call: Wanted, tool: Tool, *, key: str, runtime: Runtime[TeamContext]
) -> ToolResult:
    """The call, its intention noted before it and its result behind it, where it writes."""
    context = runtime.context
    if tool.effect is Effect.READS:
        return await _made(call, tool, key=key, runtime=runtime)
    intent = await context.effects.intend(
        key,
        tool=tool.name,
        digest=arguments.digest(tool.name, call["args"]),
        effect=tool.effect,
    )
    match intent.state:
        case effects.Intention.DONE if intent.result is not None:
            return intent.result
        case effects.Intention.UNKNOWN:
            raise UnknownEffectError(f"{tool.name} was begun and may have happened")
    result = await _made(call, tool, key=key, runtime=runtime)
    if not result.data.get("unsure"):
        await context.effects.done(key, result)
    return result


async def _made(call: Wanted, tool: Tool, *, key: str, runtime: Runtime[TeamContext]) -> ToolResult:
    context = runtime.context
    place = f"{context.tenant}:{context.thread_id}:{key}"
    told = ToolContext(
        tenant=context.tenant,
        collection=context.collection,
        run_id=context.run_id,
        call_id=call["id"],
        user=context.user,
        roles=context.roles,
        thread_id=context.thread_id,
        idempotency_key=hashlib.sha256(place.encode()).hexdigest()[:32],
    )
    try:
        async with in_time(context.ledger):
            async with asyncio.timeout(context.tool_seconds) as timer:
                return await tool.call(tool.parameters.model_validate(call["args"]), told)
    except ToolError as error:
        return own(str(error)) if error.own else ToolResult(content=str(error), ok=False)
    except TimeoutError:
        if not timer.expired():
            raise
        late = f"{tool.name} did not answer within {context.tool_seconds:g} s."
        if tool.effect is Effect.READS:
            return own(late)
        unsure = f"{late} Whether it happened is not known; do not call it again."
        return own(unsure, unsure=True)


def tell_refused(call: Wanted, why: str, branch: Branch, runtime: Runtime[TeamContext]) -> None:
    """Tell the world of a call that is not made."""
    task = branch["task"]
    emit(
        runtime,
        events.ToolRefused(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            call_id=call["id"],
            tool=call["name"],
            reason=why,
        ),
    )


def _not_made(
    words: str, call: Wanted, branch: Branch, runtime: Runtime[TeamContext]
) -> ToolResult:
    tell_refused(call, words, branch, runtime)
    return refused(words, why="policy")


def _summary(result: ToolResult) -> str:
    if result.evidence:
        titles = dict.fromkeys(str(passage["title"]) for passage in result.evidence)
        return clip(f"{len(result.evidence)} passages: {', '.join(titles)}")
    return clip(result.content)
