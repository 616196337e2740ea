"""Graphs as users write them, for tests that serve them."""

from __future__ import annotations

import asyncio
import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from server.graph_source import GraphSource

FLOOD = 130
WORDS = "The notice period is thirty days."


class Gate:
    """Where a run of ``gated`` waits: it says that it has come, and waits to be let through."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()


gates: defaultdict[str, Gate] = defaultdict(Gate)
"""By the name that a run is given as its input."""


class Steps(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    gate: str


def _replies() -> Iterator[AIMessage]:
    while True:
        yield AIMessage(WORDS)


async def _answer(state: MessagesState) -> dict[str, Any]:
    model = GenericFakeChatModel(messages=_replies())
    return {"messages": [await model.ainvoke(state["messages"])]}


def _look(_: Steps) -> Steps:
    return {"steps": ["looked"]}


def _ask(_: Steps) -> Steps:
    return {"steps": [f"told {interrupt({'question': 'Shall I?'})}"]}


def _fail(_: Steps) -> Steps:
    raise ValueError("the moon is full")


def _write(_: Steps) -> Steps:
    write = get_stream_writer()
    for number in range(3):
        write({"progress": number})
    return {"steps": ["wrote"]}


def _flood(_: Steps) -> Steps:
    write = get_stream_writer()
    for number in range(FLOOD):
        write({"progress": number, "of": FLOOD, "note": "a piece of work was done, " * 7})
    return {"steps": ["flooded"]}


async def _wait(state: Steps) -> Steps:
    gate = gates[state["gate"]]
    gate.reached.set()
    await gate.opened.wait()
    return {"steps": ["waited"]}


def _line(**nodes: Any) -> StateGraph[Steps]:
    """Nodes one after the other."""
    graph = StateGraph(Steps)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for before, after in zip([START, *nodes], [*nodes, END], strict=True):
        graph.add_edge(before, after)
    return graph


echo = (
    StateGraph(MessagesState)
    .add_node("answer", _answer)
    .add_edge(START, "answer")
    .add_edge("answer", END)
    .compile()
)
asks = _line(look=_look, ask=_ask)
asks_twice = _line(ask=_ask, ask_again=_ask)
deep = _line(look=_look, inner=_line(look=_look, write=_write).compile())
fails = _line(look=_look, fail=_fail)
writes = _line(write=_write)
floods = _line(flood=_flood)
gated = _line(look=_look, wait=_wait, write=_write)


def sources() -> Sequence[GraphSource]:
    """Where the registry finds them."""
    return [
        GraphSource(name=name, target=f"{__name__}:{name}", folder=Path.cwd())
        for name in ("echo", "asks", "asks_twice", "deep", "fails", "writes", "floods", "gated")
    ]
