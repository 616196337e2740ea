"""The agent loop's hands: check what an agent wants, act on it, and take in what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from graphs import approving, circling, effects, evidence, guarding, making, phrases, retrieving
from graphs.branches import ACT, SETTLE, THINK, changed, finish, stop, to
from graphs.calling import REFUSED, UnknownEffectError, problem_with, run_call, tell_refused
from graphs.context import TeamContext
from graphs.node import spending
from graphs.state import Asking, Branch, TeamState, Wanted
from guardrails import limits
from guardrails.policy import Decision, PolicyVerdict
from tools.tool import Effect, ToolResult

_PLAIN_PASSAGES = 3
_LARGER = 4


async def check(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """Which of the wanted calls may run, which a person is asked about, and which are refused."""
    branch, goes_round = circling.watched(state, runtime)
    if goes_round:
        ending = {"stop_reason": circling.STOPPED}
        return finish(branch, runtime, text="", found=False, ending=ending)
    context = runtime.context
    agent = context.agents[branch["task"]["agent"]]
    left: list[Wanted] = []
    asked: dict[str, PolicyVerdict] = {}
    history, done = list(branch["history"]), list(branch["done"])
    for call in branch["calls"]:
        name, args = call["name"], call["args"]
        verdict = context.judge(name, args, agent=agent.name)
        if name not in agent.tools or name not in context.tools:
            refusal = f"{agent.name} has no tool {name}"
        elif verdict.decision is Decision.DENY:
            refusal = f"{name} was refused: {verdict.reason}"
        elif circling.call_key(call) in done:
            refusal = "This was done before with the same arguments; go on from its result."
        elif verdict.decision is Decision.ASK and (
            found := problem_with(call, context.tools[name])
        ):
            # A person is not asked about what cannot run.
            refusal = found
        else:
            if verdict.decision is Decision.ASK and not (
                verdict.terms.remember and await context.permits.remembered(name, args)
            ):
                asked[call["id"]] = verdict
            left.append(call)
            done.append(circling.call_key(call))
            continue
        tell_refused(call, refusal, branch, runtime)
        history.append(_told(call, refusal))
        if call["opening"]:
            branch = changed(branch, unsearched=refusal)
    branch = changed(branch, calls=left, history=history, done=done or ["nothing"])
    if not left:
        told = circling.told(branch, history)
        return to(runtime, THINK, branch, history=told, nudge="")
    if not asked:
        reads = all(context.tools[call["name"]].effect is Effect.READS for call in left)
        if reads and not context.apart:
            return await act(branch, runtime)
        return to(runtime, ACT, branch)
    sends = []
    for call in left:
        if (found_verdict := asked.get(call["id"])) is not None:
            sends.append(approving.ask(call, found_verdict, branch, runtime))
        else:
            sends.append(Send(ACT, changed(branch, calls=[call], apart=True)))
    return Command(update={"held": {branch["task"]["id"]: branch}, **spending(runtime)}, goto=sends)


async def act(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """Run the allowed calls side by side; a failure is told to the model, not to the run."""
    branch = state
    # All are awaited, so that none goes on behind a run that a limit has ended.
    outcomes = await asyncio.gather(
        *(run_call(call, branch, runtime) for call in branch["calls"]), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(
            outcome, limits.LimitExceededError | UnknownEffectError
        ):
            raise outcome
    reached = [one for one in outcomes if isinstance(one, limits.LimitExceededError)]
    unknown = any(isinstance(one, UnknownEffectError) for one in outcomes)
    if not branch.get("apart") and not unknown:
        if reached:
            return stop(branch, runtime, reached[0])
        results = [outcome for outcome in outcomes if isinstance(outcome, ToolResult)]
        return observed(branch, results, runtime)
    # Others of its calls wait for a person, or have to: their results are put together later.
    settled: dict[str, Any] = {}
    sends: list[str | Send] = [SETTLE]
    for call, outcome in zip(branch["calls"], outcomes, strict=True):
        if isinstance(outcome, UnknownEffectError):
            sends.append(approving.ask_again(call, branch, runtime))
        elif isinstance(outcome, limits.LimitExceededError):
            settled[approving.place_of(call, branch)] = approving.limited(outcome, runtime)
        elif isinstance(outcome, ToolResult):
            settled[approving.place_of(call, branch)] = effects.stored(outcome)
    update = {"settled": settled, **spending(runtime)}
    if not branch.get("apart"):
        update["held"] = {branch["task"]["id"]: branch}
    return Command(update=update, goto=sends)


async def approve(state: Asking, runtime: Runtime[TeamContext]) -> Command[str]:
    """Wait for a person's word on one call, and do it: nothing has an effect before the pause."""
    question = approving.asked(state, runtime)
    decision = approving.wait(question)
    branch, call = state["branch"], state["call"]
    call, result = approving.read(state, question, decision, runtime)
    place = approving.place_of(call, branch)
    if result is not None:
        return Command(
            update={"settled": {place: effects.stored(result)}, **spending(runtime)}, goto=SETTLE
        )
    try:
        made = await run_call(call, branch, runtime, asked=True)
    except limits.LimitExceededError as reached:
        settled = approving.limited(reached, runtime)
    except UnknownEffectError:
        return Command(
            update=spending(runtime), goto=[approving.ask_again(call, branch, runtime), SETTLE]
        )
    else:
        settled = effects.stored(approving.with_edit(made, call=call, asked=state["call"]))
    return Command(update={"settled": {place: settled}, **spending(runtime)}, goto=SETTLE)


async def settle(state: TeamState, runtime: Runtime[TeamContext]) -> list[Command[str]]:
    """Let those branches go on whose calls are all settled, with results in the calls' order."""
    settled = state.get("settled") or {}
    commands: list[Command[str]] = []
    over: dict[str, dict[str, None]] = {"held": {}, "settled": {}}
    for task_id, branch in (state.get("held") or {}).items():
        places = [approving.place_of(call, branch) for call in branch["calls"]]
        if not all(place in settled for place in places):
            continue
        over["held"][task_id] = None
        over["settled"] |= dict.fromkeys(places)
        found = [settled[place] for place in places]
        if reached := [one for one in found if "limit" in one]:
            one = reached[0]
            commands.append(stop(branch, runtime, approving.reached(one), at=one["at"]))
            continue
        results = [effects.restored(one) for one in found]
        commands.append(observed(branch, results, runtime))
    return [Command(update=over), *commands]


def observed(
    branch: Branch, results: Sequence[ToolResult], runtime: Runtime[TeamContext]
) -> Command[str]:
    """The branch with what its calls brought, one result for each call in their order."""
    agent = runtime.context.agents[branch["task"]["agent"]]
    found = evidence.interleave([result.evidence for result in results])
    code, output = branch["code"], branch["output"]
    for result in results:
        if "code" in result.data:
            printed = making.printed(result) if result.ok else ""
            # A figure drawn from an output takes nothing of it back.
            if printed or not result.ok or not output:
                code, output = str(result.data["code"]), printed
    new = making.made(results)
    branch = changed(
        branch,
        cells=[*branch.get("cells", []), *making.cells(results)][-making.MOST :],
        artifacts=making.joined(branch.get("artifacts", []), new),
        unsearched=_unsearched(branch["calls"], results) or branch.get("unsearched", ""),
        refused=[*branch.get("refused", []), *_refused(branch["calls"], results)],
    )
    if runtime.context.model_for(agent).plain and (output or new) and not branch["output"]:
        # Measured: asked to put the result into words, a small model retells its examples.
        worked = changed(branch, code=code, output=output)
        files = phrases.of(branch["task"]["instruction"]).files
        text = _working(branch) or ("" if output else files)
        return finish(worked, runtime, text=text, found=True)
    others = {name for name in agent.tools if name in runtime.context.tools} - {agent.opening}
    empty = retrieving.nothing_there(results)
    if not others and empty and not found and _only_searches(branch):
        return finish(branch, runtime, text="", found=False)
    known = {passage["chunk_id"] for passage in branch["evidence"]}
    read = branch["retried"] and branch.get("why") != retrieving.THIN
    if read and found and all(one["chunk_id"] in known for one in found):
        return finish(branch, runtime, text="", found=False)
    searched = any(retrieving.RETRIEVAL in result.data for result in results)
    # Where there is nothing at all, other words find no more.
    thin = searched and not empty and retrieving.too_thin(branch, found, branch["calls"])
    passages = evidence.merge(branch["evidence"], found, first=branch["retried"])
    shown = _shown(passages, branch, runtime=runtime)
    history = list(branch["history"])
    for call, result in zip(branch["calls"], results, strict=True):
        if call["native"]:
            # A native call is never a plain model's.
            told = guarding.brought(result, plain=False)
            if result.evidence:
                told = guarding.passages(shown, plain=False)
            elif not result.ok and not result.data.get(guarding.OWN):
                told = f"{call['name']} failed:\n{told}"
            history.append(_told(call, told))
        elif not result.evidence and not call["opening"]:
            plain = runtime.context.model_for(agent).plain
            history.append(_told(call, _in_words(result, plain=plain)))
    return to(
        runtime,
        THINK,
        branch,
        calls=[],
        history=circling.told(branch, history),
        nudge="",
        evidence=shown,
        code=code,
        output=output,
        looking=thin,
        retried=branch["retried"] or thin,
        why=retrieving.THIN if thin else "",
        fields=retrieving.fields_in(results) or branch.get("fields", ""),
    )


def _unsearched(calls: Sequence[Wanted], results: Sequence[ToolResult]) -> str:
    pairs = zip(calls, results, strict=True)
    return next((one.content for call, one in pairs if call["opening"] and not one.ok), "")


def _refused(calls: Sequence[Wanted], results: Sequence[ToolResult]) -> list[str]:
    pairs = zip(calls, results, strict=True)
    return [circling.call_key(call) for call, one in pairs if one.data.get(REFUSED)]


def _only_searches(branch: Branch) -> bool:
    return not branch["steps"] and all(call["opening"] for call in branch["calls"])


def _working(branch: Branch) -> str:
    """What the agent said before its last program: how it came to the result."""
    said = next((m.text for m in reversed(branch["history"]) if isinstance(m, AIMessage)), "")
    return said.partition("```")[0].strip()


def _shown(
    passages: Sequence[evidence.Passage], branch: Branch, *, runtime: Runtime[TeamContext]
) -> list[dict[str, Any]]:
    """What goes into the prompt. Measured: a small model reads three passages well, five badly."""
    agent = runtime.context.agents[branch["task"]["agent"]]
    if runtime.context.model_for(agent).plain:
        most = max(_PLAIN_PASSAGES, 2 * len(branch["task"]["queries"]))
        return evidence.fit(passages, characters=agent.evidence, most=most)
    return evidence.fit(passages, characters=_LARGER * agent.evidence)


def _told(call: Wanted, text: str) -> AnyMessage:
    if call["native"]:
        return ToolMessage(text, tool_call_id=call["id"])
    return HumanMessage(text)


def _in_words(result: ToolResult, *, plain: bool) -> str:
    if result.data.get(REFUSED):
        return result.content
    text = guarding.brought(result, plain=plain)
    if result.ok:
        return (
            f"The program printed:\n{text}\n\n"
            "Now answer the question with this result, in one sentence without code."
        )
    return f"That failed:\n{text}\n\nCorrect it."
