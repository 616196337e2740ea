"""Searches of a run: told as events, and judged whether what they found is worth reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from graphs import events, understanding
from graphs.context import TeamContext
from graphs.evidence import Passage
from graphs.node import emit
from graphs.state import Branch, Wanted
from tools.search_documents import RETRIEVAL
from tools.tool import ToolResult

__all__ = ["NOT_FOUND", "RETRIEVAL", "THIN"]

THIN, NOT_FOUND = "thin", "not_found"
"""Why a second search is made: what was found is too thin to be read, or read and no answer."""


def tell(result: ToolResult, call: Wanted, branch: Branch, runtime: Runtime[TeamContext]) -> None:
    """Tell of a search that was made; of other tools nothing."""
    told = result.data.get(RETRIEVAL)
    if told is None:
        return
    task = branch["task"]
    best = result.evidence[0].get("scores") if result.evidence else None
    emit(
        runtime,
        events.RetrievalQuery(
            agent=runtime.context.agents[task["agent"]].name,
            task_id=task["id"],
            query=told["query"],
            reason="question" if call["opening"] else branch.get("why") or "asked",
            filters=told["filters"],
            ignored=told["ignored"],
            relaxed=told["relaxed"],
            hits=len(result.evidence),
            best=events.Scores.model_validate(best) if best else None,
            call_id=call["id"],
            stages=[events.Stage.model_validate(one) for one in told.get("stages") or ()],
            unread=told.get("unread") or [],
        ),
    )


def fields_in(results: Sequence[ToolResult]) -> str:
    """What the collection can be filtered by, in one line; empty where nothing was said of it."""
    return next((one.data[RETRIEVAL]["fields"] for one in results if RETRIEVAL in one.data), "")


def nothing_there(results: Sequence[ToolResult]) -> bool:
    """Whether the collection that was searched holds no documents at all."""
    searches = [one.data[RETRIEVAL] for one in results if RETRIEVAL in one.data]
    return bool(searches) and all(one["empty"] for one in searches)


def too_thin(branch: Branch, found: Sequence[Passage], calls: Sequence[Wanted]) -> bool:
    """Whether an opening search has to be made again in other words before anything is read."""
    opening = bool(calls) and all(call["opening"] for call in calls)
    if not opening or branch["retried"] or branch["evidence"]:
        return False
    return understanding.thin(branch["task"]["instruction"], found)


def without_options(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as a small model is offered it: it fills in whatever it is shown, so only what it
    has to say is shown.
    """
    function = tool["function"]
    schema = function["parameters"]
    needed = set(schema.get("required") or ())
    kept = {name: one for name, one in schema["properties"].items() if name in needed}
    if not kept or len(kept) == len(schema["properties"]):
        return tool
    shown = {name: one for name, one in schema.items() if name != "$defs"}
    return {**tool, "function": {**function, "parameters": {**shown, "properties": kept}}}
