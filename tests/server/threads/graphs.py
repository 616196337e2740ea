"""Small graphs that are served in tests, over the real saver."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt

Compiled = CompiledStateGraph[Any, Any, Any, Any]


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
    said = interrupt({"question": "May I?"})
    return {"title": str(said), "count": 1}


async def wrap(state: Talk) -> Talk:
    return {"title": "wrapped"}


def build(name: str) -> StateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Talk, context_schema=Tone)
    match name:
        case "asking":
            graph.add_node("ask", ask)
            graph.add_edge(START, "ask")
            graph.add_edge("ask", END)
        case "nested":
            graph.add_node("wrap", wrap)
            graph.add_node("inner", build("asking").compile())
            graph.add_edge(START, "wrap")
            graph.add_edge("wrap", "inner")
            graph.add_edge("inner", END)
        case _:
            graph.add_node("answer", answer)
            graph.add_edge(START, "answer")
            graph.add_edge("answer", END)
    return graph


class ScriptedGraphs:
    """The registry's twin: ``team`` answers, ``asking`` pauses, ``nested`` pauses further down."""

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        self.names: Sequence[str] = ("team", "asking", "nested")
        self.opened: list[str] = []
        self._graphs: dict[str, Compiled] = {
            name: build(name).compile(checkpointer=saver, name=name) for name in self.names
        }

    @asynccontextmanager
    async def open(
        self, name: str, config: RunnableConfig | None = None
    ) -> AsyncIterator[Compiled]:
        self.opened.append(name)
        yield self._graphs[name]
