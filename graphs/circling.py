"""An agent that goes round in circles: seen in what it wanted, nudged first, then stopped."""

from __future__ import annotations

import orjson
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.runtime import Runtime

from graphs import events
from graphs.branches import changed
from graphs.context import TeamContext
from graphs.node import emit
from graphs.state import Branch, Wanted
from guardrails import loops

STOPPED = "loop"
"""The stop reason of a run that was ended for it."""

_CHARACTERS = 4  # a token, about


def call_key(call: Wanted) -> str:
    """The same for equal calls."""
    return f"{call['name']} {orjson.dumps(call['args'], option=orjson.OPT_SORT_KEYS).decode()}"


def watched(branch: Branch, runtime: Runtime[TeamContext]) -> tuple[Branch, bool]:
    """The branch with what it wants now put down, and whether it is to be ended for it."""
    length = sum(len(message.text) for message in branch["history"])
    length += sum(len(str(one.get("text") or "")) for one in branch["evidence"])
    moves = list(branch.get("moves") or [])
    for call in branch["calls"]:
        if not call["opening"]:
            moves.append(
                {
                    "call": call_key(call),
                    "tool": call["name"],
                    "progress": len(branch["evidence"]),
                    "context_tokens": length // _CHARACTERS,
                }
            )
    nudged = list(branch.get("nudged") or [])
    found = loops.look(
        loops.Record(moves=[loops.Move(**one) for one in moves]),
        nudged=frozenset(loops.Circle(one) for one in nudged),
    )
    branch = changed(branch, moves=moves)
    if found is None:
        return branch, False
    stops = isinstance(found, loops.Stop)
    words = found.reason if isinstance(found, loops.Stop) else found.text
    task = branch["task"]
    emit(
        runtime,
        events.LoopNoticed(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            reason=words,
            stopped=stops,
        ),
    )
    if stops:
        return branch, True
    return changed(branch, nudged=[*nudged, found.circle.value], nudge=words), False


def told(branch: Branch, history: list[AnyMessage]) -> list[AnyMessage]:
    """The history with what the model is still to be told; behind the results of its calls."""
    nudge = branch.get("nudge")
    return [*history, HumanMessage(nudge)] if nudge else history
