"""A user's graph that waits for a person: what a paused run costs is measured with it."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


def _ask(state: MessagesState) -> dict[str, Any]:
    del state
    return {"messages": [{"role": "assistant", "content": str(interrupt("May I?"))}]}


graph = StateGraph(MessagesState)
graph.add_node("ask", _ask)
graph.add_edge(START, "ask")
graph.add_edge("ask", END)
