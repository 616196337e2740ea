"""Reading a whole document: notes of each part side by side, then one text of the notes.

One node that sends itself on: each step is a checkpoint, so a run that is resumed reads no part
twice; each call goes through the ledger, and what is there when a limit ends the run is told.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from agents import agent as agent_module
from agents import researcher
from graphs import condensing, events, guarding, understanding
from graphs.branches import SUMMARISE, THINK, changed, finish, to
from graphs.calling import run_call
from graphs.condensing import Note
from graphs.context import TeamContext
from graphs.node import ask, emit, spending, stopped, tell_limit
from graphs.state import Branch, Wanted
from guardrails import limits
from models.errors import MalformedStep, ModelTimeout
from tools.read_document import NAME as READ_DOCUMENT
from tools.read_document import READING
from tools.tool import ToolResult

_SIDE_BY_SIDE = 4
# The local server has two slots; more would only wait there, with their time running.
_PLAIN_SIDE_BY_SIDE = 2
_LARGER = 4
_LEVELS = 6


def wanted(question: str, context: TeamContext) -> bool:
    """Whether a question is answered by reading a whole document, and reading is possible."""
    return READ_DOCUMENT in context.tools and understanding.wants_whole_document(question)


async def summarise(state: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    """The next step of reading: begin, some parts, some groups of notes, or the end."""
    branch = state
    reading = branch.get("reading")
    try:
        if reading is None:
            return await _begin(branch, runtime)
        if reading["next"] < reading["parts"]:
            return await _parts(branch, reading, runtime)
        return await _condense(branch, reading, runtime)
    except limits.LimitExceededError as reached:
        return _stop(branch, runtime, reached)


async def _begin(branch: Branch, runtime: Runtime[TeamContext]) -> Command[str]:
    context = runtime.context
    task = branch["task"]
    agent = context.agents[task["agent"]]
    about = understanding.subject_of(task["instruction"])
    result = await _read(branch, runtime, document=task["instruction"][:400], about=about, limit=1)
    told = result.data.get(READING)
    if told is None or not told["total"]:
        # Which document is not clear, or it may not be read: the question is looked up instead.
        other: Any = {**task, "agent": researcher.NAME}
        return Command(
            update=spending(runtime), goto=Send(THINK, changed(branch, task=other, done=[]))
        )
    emit(
        runtime,
        events.AgentStarted(agent=agent.name, task_id=task["id"], instruction=task["instruction"]),
    )
    plan = condensing.parts_of(told["total"], characters=_room(agent, context))
    reading = {
        **told,
        "about": about,
        "parts": plan.count,
        "per": plan.per,
        "characters": plan.characters,
        "next": 0,
        "level": 0,
        "notes": [],
        "first": [],
        "read": 0,
    }
    return to(runtime, SUMMARISE, branch, reading=reading)


async def _parts(
    branch: Branch, reading: dict[str, Any], runtime: Runtime[TeamContext]
) -> Command[str]:
    """Take notes of the next parts, side by side."""
    numbers = range(
        reading["next"], min(reading["parts"], reading["next"] + _side_by_side(runtime.context))
    )
    outcomes = await _all(_notes(branch, reading, number, runtime) for number in numbers)
    evidence = list(branch["evidence"])
    notes: list[Note] = list(reading["notes"])
    read = reading["read"]
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            continue
        passages, found = outcome
        read += len(passages)
        cited = {chunk for note in found for chunk in note["chunks"]}
        evidence += [one for one in passages if one["chunk_id"] in cited]
        notes += found
    reading = {**reading, "next": numbers.stop, "notes": notes, "first": notes, "read": read}
    branch = changed(branch, evidence=evidence, reading=reading)
    if reached := _limit(outcomes):
        return _stop(branch, runtime, reached)
    _tell(branch, reading, runtime)
    return to(runtime, SUMMARISE, branch)


async def _notes(
    branch: Branch, reading: dict[str, Any], number: int, runtime: Runtime[TeamContext]
) -> tuple[list[dict[str, Any]], list[Note]]:
    context = runtime.context
    agent = context.agents[researcher.SUMMARISER]
    result = await _read(
        branch,
        runtime,
        document=reading["document_id"],
        about=reading["about"],
        offset=number * reading["per"],
        limit=reading["per"],
    )
    passages = [
        condensing.shortened(one, characters=reading["characters"]) for one in result.evidence
    ]
    if not passages:
        return [], []
    shown = guarding.passages(passages, plain=context.model_for(agent).plain)
    request = branch["task"]["instruction"]
    prompt = condensing.for_notes(request, shown)
    said = await _say(agent, prompt, branch, runtime)
    return passages, condensing.notes_of(said, passages)


async def _condense(
    branch: Branch, reading: dict[str, Any], runtime: Runtime[TeamContext]
) -> Command[str]:
    """One level of the tree: each group of notes becomes a few; a single group is the end."""
    context = runtime.context
    agent = context.agents[researcher.CONDENSER]
    notes: list[Note] = reading["notes"]
    if not notes:
        return finish(branch, runtime, text="", found=False)
    groups = condensing.groups(notes, characters=_room(agent, context))
    last = len(groups) == 1 or reading["level"] >= _LEVELS
    outcomes: list[Any] = []
    size = _side_by_side(context)
    for start in range(0, len(groups), size):
        outcomes += await _all(
            _fewer(agent, group, branch, runtime) for group in groups[start : start + size]
        )
        if reached := _limit(outcomes):
            return _stop(branch, runtime, reached)
    fewer = [
        note
        for outcome, group in zip(outcomes, groups, strict=True)
        for note in (condensing.condensed("", group) if _failed(outcome) else outcome)
    ]
    if last:
        return _end(branch, {**reading, "notes": fewer}, runtime)
    reading = {**reading, "notes": fewer, "level": reading["level"] + 1}
    branch = changed(branch, reading=reading)
    _tell(branch, reading, runtime)
    return to(runtime, SUMMARISE, branch)


async def _fewer(
    agent: agent_module.Agent, group: list[Note], branch: Branch, runtime: Runtime[TeamContext]
) -> list[Note]:
    if len(group) == 1:
        return group
    prompt = condensing.for_condensing(branch["task"]["instruction"], group)
    return condensing.condensed(await _say(agent, prompt, branch, runtime), group)


def _end(
    branch: Branch,
    reading: dict[str, Any],
    runtime: Runtime[TeamContext],
    *,
    ending: dict[str, Any] | None = None,
) -> Command[str]:
    known = {one["chunk_id"]: one for one in branch["evidence"]}
    text, sources = condensing.text_of(reading["notes"], reading["first"], known)
    parts = f"{reading['read']} of {reading['total']} passages of “{reading['title']}”"
    shortened = ", of each the first sentences" if _is_shortened(reading) else ""
    branch = changed(branch, evidence=sources)
    return finish(
        branch,
        runtime,
        text=text,
        found=bool(text),
        ending=ending,
        note=f"(Read: {parts}{shortened}.)" if text else "",
    )


def _is_shortened(reading: dict[str, Any]) -> bool:
    return bool(reading["characters"] < condensing.WHOLE)


def _stop(
    branch: Branch, runtime: Runtime[TeamContext], reached: limits.LimitExceededError
) -> Command[str]:
    """A limit ends the run: what was noted so far is the answer."""
    tell_limit(runtime, reached)
    ending = stopped(runtime, reached)
    reading = branch.get("reading")
    if reading is None:
        return finish(branch, runtime, text="", found=False, ending=ending)
    notes = reading["notes"]
    kept = notes[:: max(1, len(notes) // _LEVELS)][:_LEVELS]
    return _end(branch, {**reading, "notes": kept}, runtime, ending=ending)


async def _read(
    branch: Branch, runtime: Runtime[TeamContext], *, document: str, **args: Any
) -> ToolResult:
    call = Wanted(
        id=f"call_{uuid.uuid4().hex}",
        name=READ_DOCUMENT,
        args={"document": document, **args},
        native=False,
        opening=False,
    )
    return await run_call(call, branch, runtime)


async def _say(
    agent: agent_module.Agent, prompt: str, branch: Branch, runtime: Runtime[TeamContext]
) -> str:
    """What an agent writes; nothing where it found nothing or could not be read."""
    try:
        reply = await ask(agent, [HumanMessage(prompt)], runtime, task_id=branch["task"]["id"])
    except MalformedStep:
        return ""
    move = agent.read(reply.message.text)
    return move.text if isinstance(move, agent_module.Say) else ""


async def _all(work: Any) -> list[Any]:
    """Side by side, each to its end, so that none goes on behind a run that has ended.

    What took a model too long is left out, unless nothing else was done.
    """
    waiting: Sequence[Awaitable[Any]] = list(work)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    alone = all(isinstance(one, BaseException) for one in outcomes)
    for outcome in outcomes:
        late = isinstance(outcome, ModelTimeout) and not alone
        known = late or isinstance(outcome, limits.LimitExceededError)
        if isinstance(outcome, BaseException) and not known:
            raise outcome
    return list(outcomes)


def _failed(outcome: Any) -> bool:
    return isinstance(outcome, BaseException)


def _limit(outcomes: Sequence[Any]) -> limits.LimitExceededError | None:
    return next((one for one in outcomes if isinstance(one, limits.LimitExceededError)), None)


def _room(agent: agent_module.Agent, context: TeamContext) -> int:
    plain = context.model_for(agent).plain
    return agent.evidence if plain else _LARGER * agent.evidence


def _side_by_side(context: TeamContext) -> int:
    plain = context.model_for(context.agents[researcher.SUMMARISER]).plain
    most = _PLAIN_SIDE_BY_SIDE if plain else _SIDE_BY_SIDE
    return min(most, context.ledger.limits.branches or most)


def _tell(branch: Branch, reading: dict[str, Any], runtime: Runtime[TeamContext]) -> None:
    task = branch["task"]
    emit(
        runtime,
        events.DocumentRead(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            document_id=reading["document_id"],
            title=reading["title"],
            read=reading["read"],
            passages=reading["total"],
            groups=reading["next"],
            level=reading["level"],
        ),
    )
