"""The agent loop that every role shares: think (model), check (policy, repeats), act (tool).

Three nodes of the one flat graph. A branch travels in `Send`, so that several agents work side by
side and each step is a checkpoint. What asks no model and only reads is done in the step that
leads to it, unless somebody stops between nodes. Nothing here knows what a role is for. Here is the
thinking; ``graphs.acting`` has the rest.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents import agent as agent_module
from graphs import events, evidence, guarding, retrieving, understanding
from graphs.acting import check
from graphs.branches import CHECK, THINK, changed, finish, stop, to
from graphs.context import TeamContext
from graphs.node import emit, gate_for, heard_by, in_time, opening_messages
from graphs.state import Branch, Wanted
from guardrails import grounding, injection, limits, tiers
from models.chat import Reply
from models.errors import MalformedStep

_SEARCH_TOKENS = 120
_OTHER_WORDS = (
    "These passages do not answer it. Search once more, in other words: synonyms, the name of the "
    "rule, what a document would call it."
)

_LAST = (
    "You can use no more tools. Answer now from what you have; if it does not hold the answer, "
    "reply: NOT FOUND."
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
            calls = _opening(agent.opening, task["queries"])
            if context.apart:
                return to(runtime, CHECK, branch, calls=calls)
            return await check(changed(branch, calls=calls), runtime)
    if branch["steps"] >= agent.max_steps:
        output = branch["output"].strip()
        return finish(branch, runtime, text=output, found=bool(output))
    try:
        context.ledger.step()
        reply = await _ask(agent, branch, runtime)
    except limits.LimitExceededError as reached:
        return stop(branch, runtime, reached)
    except MalformedStep:
        return finish(branch, runtime, text="", found=False)
    branch = changed(branch, steps=branch["steps"] + 1, looking=False)
    text = reply.message.text.strip()
    if reply.message.tool_calls:
        wanted = [
            _native(call, plain=context.model_for(agent).plain) for call in reply.message.tool_calls
        ]
        if not context.model_for(agent).plain:
            branch = changed(branch, history=[*branch["history"], reply.message])
        return to(runtime, CHECK, branch, calls=wanted)
    match agent.read(text):
        case agent_module.Say(text=said):
            worded = bool(branch.get("cells")) and not context.model_for(agent).plain
            return finish(branch, runtime, text=said, found=True, worded=worded)
        case agent_module.Call(tool=tool, args=args):
            if branch["output"] and context.model_for(agent).plain:
                # It was asked for words and wrote code again: the output stands for itself.
                return finish(branch, runtime, text=branch["output"].strip(), found=True)
            history = [*branch["history"], AIMessage(text)]
            return to(runtime, CHECK, branch, calls=[_wanted(tool, dict(args))], history=history)
        case agent_module.NotFound():
            return _not_found(branch, runtime)


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
            return to(runtime, THINK, branch, focus=True)
    searches = agent.opening in context.tools and bool(branch["task"]["queries"])
    if branch["retried"] or not searches:
        return finish(branch, runtime, text="", found=False)
    return to(
        runtime,
        THINK,
        branch,
        focus=False,
        looking=True,
        retried=True,
        why=retrieving.NOT_FOUND,
    )


async def _ask(agent: agent_module.Agent, branch: Branch, runtime: Runtime[TeamContext]) -> Reply:
    context = runtime.context
    model = context.model_for(agent)
    offered = [context.tools[name].schema() for name in agent.tools if name in context.tools]
    messages = _messages(agent, branch, plain=model.plain)
    if branch["looking"]:
        messages.append(HumanMessage(_OTHER_WORDS))
        offered = [tool for tool in offered if tool["function"]["name"] == agent.opening]
        if model.plain:
            offered = [retrieving.without_options(tool) for tool in offered]
    elif branch["history"] and branch["steps"] + 1 >= agent.max_steps and not model.plain:
        # What it wanted now would not be made any more.
        messages.append(HumanMessage(_LAST))
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


def _messages(agent: agent_module.Agent, branch: Branch, *, plain: bool) -> list[AnyMessage]:
    """The constant part first, so that the server's prefix cache serves it.

    The question stands before the passages as well as after them: measured, a small model that
    knows what to look for reads far better.
    """
    question = f"Question: {branch['task']['instruction']}"
    parts = []
    passages = branch["evidence"][:1] if branch["focus"] else branch["evidence"]
    if passages:
        parts.append(question)
        parts.append(f"Passages:\n{guarding.passages(passages, plain=plain)}")
        texts = [str(passage["text"]) for passage in passages]
        holding = tiers.holding(branch["task"]["instruction"], texts)
        parts += [guarding.data(str(tier), plain=plain) for tier in holding]
    if branch.get("fields") and not plain:
        fields = guarding.data(branch["fields"], plain=plain)
        parts.append(f"Searches can be filtered by: {fields}")
    if branch["briefing"]:
        parts.append(branch["briefing"])
    parts.append(question)
    opening = opening_messages(agent, rule="" if plain else injection.RULE)
    return [*opening, HumanMessage("\n\n".join(parts)), *branch["history"]]


def _opening(tool: str, queries: Sequence[str]) -> list[Wanted]:
    asked = dict.fromkeys(map(understanding.query_of, queries))
    return [_wanted(tool, {"query": query}, opening=True) for query in asked]


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
