"""The agent loop that every role shares: think (model), check (policy, repeats), act (tool).

Three nodes of the one flat graph. A branch travels in `Send`, so that several agents work side by
side and each step is a checkpoint. Nothing here knows what a role is for.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command, Send
from pydantic import ValidationError

from agents import agent as agent_module
from graphs import events, evidence
from graphs.context import TeamContext, now
from graphs.node import emit, gate_for, heard_by, in_time, opening_messages, spending, tell_limit
from graphs.state import Branch, Finding, Task, Wanted
from guardrails import grounding, limits, policy
from models.chat import Reply
from models.errors import MalformedStep
from tools.tool import ToolContext, ToolError, ToolResult

THINK, CHECK, ACT, GATHER = "think", "check", "act", "gather"
_SUMMARY = 160
_PLAIN_PASSAGES = 3
_LARGER = 4
_SEARCH_TOKENS = 120
_OTHER_WORDS = (
    "These passages do not answer it. Search once more, in other words: synonyms, the name of the "
    "rule, what a document would call it."
)


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


async def think(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """One thought of one agent: a tool call, a result, or that there is none."""
    branch, context = state, runtime.context
    agent = context.agents[branch["task"]["agent"]]
    if not branch["steps"] and not branch["done"]:
        task = branch["task"]
        emit(
            runtime,
            events.AgentStarted(
                agent=agent.name, task_id=task["id"], instruction=task["instruction"]
            ),
        )
        if task["queries"] and agent.opening in agent.tools and agent.opening in context.tools:
            return _to(runtime, CHECK, branch, calls=_opening(agent.opening, task["queries"]))
    if branch["steps"] >= agent.max_steps:
        return _finish(branch, runtime, text="", found=False)
    try:
        context.ledger.step()
        reply = await _ask(agent, branch, runtime)
    except limits.LimitExceededError as reached:
        return _stop(branch, runtime, reached)
    except MalformedStep:
        return _finish(branch, runtime, text="", found=False)
    branch = _with(branch, steps=branch["steps"] + 1, looking=False)
    text = reply.message.text.strip()
    if reply.message.tool_calls:
        wanted = [
            _native(call, plain=context.model_for(agent).plain) for call in reply.message.tool_calls
        ]
        if not context.model_for(agent).plain:
            branch = _with(branch, history=[*branch["history"], reply.message])
        return _to(runtime, CHECK, branch, calls=wanted)
    match agent.read(text):
        case agent_module.Say(text=said):
            return _finish(branch, runtime, text=said, found=True)
        case agent_module.Call(tool=tool, args=args):
            if branch["output"]:
                # It was asked for words and wrote code again: the output stands for itself.
                return _finish(branch, runtime, text=branch["output"].strip(), found=True)
            history = [*branch["history"], AIMessage(text)]
            return _to(runtime, CHECK, branch, calls=[_wanted(tool, dict(args))], history=history)
        case agent_module.NotFound():
            return _not_found(branch, runtime)


async def check(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """Which of the wanted calls may run: the policy first, then whether it was done before."""
    branch, context = state, runtime.context
    agent = context.agents[branch["task"]["agent"]]
    allowed: list[Wanted] = []
    history, done = list(branch["history"]), list(branch["done"])
    for call in branch["calls"]:
        name, args = call["name"], call["args"]
        asked = policy.Call(tool=name, args=args, agent=agent.name, tenant=context.tenant)
        verdict = policy.decide(context.rules, asked)
        if call["name"] not in agent.tools or call["name"] not in context.tools:
            refusal = f"{agent.name} has no tool {call['name']}"
        elif not verdict.allowed:
            refusal = f"{call['name']} was refused: {verdict.reason}"
        elif _key(call) in done:
            refusal = "This was done before with the same arguments; go on from its result."
        else:
            allowed.append(call)
            done.append(_key(call))
            continue
        history.append(_told(call, refusal))
    return _to(
        runtime,
        ACT if allowed else THINK,
        branch,
        calls=allowed,
        history=history,
        done=done or ["nothing"],
    )


async def act(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """Run the allowed calls side by side; a failure is told to the model, not to the run."""
    branch = state
    agent = runtime.context.agents[branch["task"]["agent"]]
    # All are awaited, so that none goes on behind a run that a limit has ended.
    outcomes = await asyncio.gather(
        *(_run(call, branch, runtime) for call in branch["calls"]), return_exceptions=True
    )
    results = [outcome for outcome in outcomes if isinstance(outcome, ToolResult)]
    for outcome in outcomes:
        if isinstance(outcome, limits.LimitExceededError):
            return _stop(branch, runtime, outcome)
        if isinstance(outcome, BaseException):
            raise outcome
    found = evidence.interleave([result.evidence for result in results])
    code, output = branch["code"], branch["output"]
    for result in results:
        if "code" in result.data:
            code = str(result.data["code"])
            output = str(result.data.get("stdout") or "") if result.ok else ""
    if runtime.context.model_for(agent).plain and output and not branch["output"]:
        # Measured: asked to put the result into words, a small model retells its examples.
        worked = _with(branch, code=code, output=output)
        return _finish(worked, runtime, text=_working(branch), found=True)
    known = {passage["chunk_id"] for passage in branch["evidence"]}
    if branch["retried"] and found and all(one["chunk_id"] in known for one in found):
        return _finish(branch, runtime, text="", found=False)
    passages = evidence.merge(branch["evidence"], found, first=branch["retried"])
    shown = _shown(passages, branch, runtime=runtime)
    history = list(branch["history"])
    for call, result in zip(branch["calls"], results, strict=True):
        if call["native"]:
            told = evidence.numbered(shown) if result.evidence else result.content
            history.append(_told(call, told))
        elif not result.evidence and not call["opening"]:
            history.append(_told(call, _in_words(result)))
    return _to(
        runtime,
        THINK,
        branch,
        calls=[],
        history=history,
        evidence=shown,
        code=code,
        output=output,
    )


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


def _not_found(branch: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """Look closer, then elsewhere, then give up; each once.

    Closer is the best passage alone, for a small model that was lost among several, and only if
    each word of the question stands somewhere in what was found: otherwise it may be a near miss.
    """
    context = runtime.context
    agent = context.agents[branch["task"]["agent"]]
    if not branch["focus"] and not branch["retried"] and context.model_for(agent).plain:
        texts = [f"{evidence.place(one)} {one['text']}" for one in branch["evidence"]]
        question = branch["task"]["instruction"]
        if len(texts) > 1 and not grounding.missing_words(question, texts):
            return _to(runtime, THINK, branch, focus=True)
    searches = agent.opening in context.tools and bool(branch["task"]["queries"])
    if branch["retried"] or not searches:
        return _finish(branch, runtime, text="", found=False)
    return _to(runtime, THINK, branch, focus=False, looking=True, retried=True)


async def _ask(agent: agent_module.Agent, branch: Branch, runtime: Runtime[TeamContext]) -> Reply:
    context = runtime.context
    model = context.model_for(agent)
    offered = [context.tools[name].schema() for name in agent.tools if name in context.tools]
    messages = _messages(agent, branch)
    if branch["looking"]:
        messages.append(HumanMessage(_OTHER_WORDS))
        offered = [tool for tool in offered if tool["function"]["name"] == agent.opening]
    elif model.plain:
        # Measured: a small model reads far better in free words than inside a JSON schema.
        offered = []
    async with in_time(context.ledger):
        return await model.call(
            messages,
            tools=offered,
            tool_choice="required" if branch["looking"] else "auto",
            max_tokens=_SEARCH_TOKENS if branch["looking"] and model.plain else agent.max_tokens,
            gate=gate_for(runtime, agent=agent.name, task_id=branch["task"]["id"]),
            agent=agent.name,
            heard=heard_by(runtime, agent=agent.name, task_id=branch["task"]["id"]),
        )


def _messages(agent: agent_module.Agent, branch: Branch) -> list[AnyMessage]:
    """The constant part first, so that the server's prefix cache serves it.

    The question stands before the passages as well as after them: measured, a small model that
    knows what to look for reads far better.
    """
    question = f"Question: {branch['task']['instruction']}"
    parts = []
    passages = branch["evidence"][:1] if branch["focus"] else branch["evidence"]
    if passages:
        parts.append(question)
        parts.append(f"Passages:\n{evidence.numbered(passages)}")
    if branch["briefing"]:
        parts.append(branch["briefing"])
    parts.append(question)
    return [*opening_messages(agent), HumanMessage("\n\n".join(parts)), *branch["history"]]


async def _run(call: Wanted, branch: Branch, runtime: Runtime[TeamContext]) -> ToolResult:
    context = runtime.context
    tool = context.tools[call["name"]]
    task_id, agent = branch["task"]["id"], context.agents[branch["task"]["agent"]].name
    context.ledger.tool_call()
    emit(
        runtime,
        events.ToolStarted(
            agent=agent, task_id=task_id, call_id=call["id"], tool=tool.name, args=call["args"]
        ),
    )
    started = now()
    try:
        arguments = tool.parameters.model_validate(call["args"])
        async with in_time(context.ledger):
            result = await tool.call(
                arguments,
                ToolContext(
                    tenant=context.tenant,
                    collection=context.collection,
                    run_id=context.run_id,
                    call_id=call["id"],
                ),
            )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "arguments"
        result = ToolResult(content=f"{tool.name}: {where}: {problem['msg']}", ok=False)
    except ToolError as error:
        result = ToolResult(content=str(error), ok=False)
    emit(
        runtime,
        events.ToolFinished(
            agent=agent,
            task_id=task_id,
            call_id=call["id"],
            tool=tool.name,
            ok=result.ok,
            summary=_summary(result),
            seconds=now() - started,
        ),
    )
    return result


def _finish(
    branch: Branch, runtime: Runtime[TeamContext], *, text: str, found: bool, stop: str = ""
) -> Command[str]:
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
    )
    emit(
        runtime,
        events.AgentFinished(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            summary=_clip(text) if found else "found nothing that answers it",
            seconds=max(0.0, now() - branch["started"]),
        ),
    )
    update: dict[str, Any] = {"findings": [finding], **spending(runtime)}
    if stop:
        update["stop_reason"] = stop
    return Command(update=update, goto=GATHER)


def _stop(
    branch: Branch, runtime: Runtime[TeamContext], reached: limits.LimitExceededError
) -> Command[str]:
    tell_limit(runtime, reached)
    return _finish(branch, runtime, text="", found=False, stop=reached.limit.value)


def _with(branch: Branch, **changes: Any) -> Branch:
    return {**branch, **changes}  # type: ignore[typeddict-item]


def _to(runtime: Runtime[TeamContext], node: str, branch: Branch, **changes: Any) -> Command[str]:
    return Command(update=spending(runtime), goto=Send(node, _with(branch, **changes)))


def _opening(tool: str, queries: Sequence[str]) -> list[Wanted]:
    return [_wanted(tool, {"query": query[:200]}, opening=True) for query in queries]


def _wanted(name: str, args: dict[str, Any], *, opening: bool = False) -> Wanted:
    return Wanted(
        id=f"call_{uuid.uuid4().hex}", name=name, args=args, native=False, opening=opening
    )


def _native(call: Any, *, plain: bool) -> Wanted:
    return Wanted(
        id=call["id"] or f"call_{uuid.uuid4().hex}",
        name=call["name"],
        args=call["args"],
        native=not plain,
        opening=False,
    )


def _key(call: Wanted) -> str:
    return f"{call['name']} {orjson.dumps(call['args'], option=orjson.OPT_SORT_KEYS).decode()}"


def _told(call: Wanted, text: str) -> AnyMessage:
    if call["native"]:
        return ToolMessage(text, tool_call_id=call["id"])
    return HumanMessage(text)


def _in_words(result: ToolResult) -> str:
    if result.ok:
        return (
            f"The program printed:\n{result.content}\n\n"
            "Now answer the question with this result, in one sentence without code."
        )
    return f"That failed:\n{result.content}\n\nCorrect it."


def _summary(result: ToolResult) -> str:
    if result.evidence:
        titles = dict.fromkeys(str(passage["title"]) for passage in result.evidence)
        return _clip(f"{len(result.evidence)} passages: {', '.join(titles)}")
    return _clip(result.content)


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SUMMARY else f"{text[: _SUMMARY - 1]}…"
