"""Small graphs of a user's own, as the registry serves them in tests."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from server.graph_source import GraphSource

Graph = StateGraph[Any, Any, Any, Any]


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    count: Annotated[int, operator.add]
    title: str


class Tone(TypedDict, total=False):
    """How an answer is to sound."""

    tone: str


async def answer(state: Talk) -> Talk:
    text = state["messages"][-1].text if state.get("messages") else "nothing"
    return {"messages": [AIMessage(f"You said {text}.", id=f"a{state['count']}")], "count": 1}


async def ask(state: Talk) -> Talk:
    said = interrupt({"question": "May I?"}, response_schema={"type": "string"})
    return {"title": str(said), "count": 1}


async def wrap(state: Talk) -> Talk:
    return {"title": "wrapped"}


def talking() -> Graph:
    """Answers at once."""
    graph: Graph = StateGraph(Talk, context_schema=Tone)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph


def asking() -> Graph:
    """Pauses for a person."""
    graph: Graph = StateGraph(Talk, context_schema=Tone)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph


def nested() -> Graph:
    """Pauses for a person in a graph within the graph."""
    graph: Graph = StateGraph(Talk)
    graph.add_node("wrap", wrap)
    graph.add_node("inner", asking().compile())
    graph.add_edge(START, "wrap")
    graph.add_edge("wrap", "inner")
    graph.add_edge("inner", END)
    return graph


def sources() -> Sequence[GraphSource]:
    """Where the registry finds them."""
    return [
        GraphSource(name=name, target=f"{__name__}:{name}", folder=Path.cwd())
        for name in ("talking", "asking", "nested")
    ]
