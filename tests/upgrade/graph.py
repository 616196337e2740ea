"""Graphs of a user's, served by both versions: neither knows anything of Counterpoint."""

from __future__ import annotations

import asyncio
import operator
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class Steps(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    gate: str


def _look(_: Steps) -> Steps:
    return {"steps": ["looked"]}


def _ask(_: Steps) -> Steps:
    return {"steps": [f"told {interrupt({'question': 'Shall I?'})}"]}


async def _wait(state: Steps) -> Steps:
    gate = Path(state["gate"])
    await asyncio.to_thread(_opened, gate)
    return {"steps": ["waited"]}


def _opened(gate: Path) -> None:
    gate.with_suffix(".reached").touch()
    while not gate.exists():
        time.sleep(0.02)


def _line(**nodes: Any) -> StateGraph[Steps]:
    """Nodes one after the other."""
    graph = StateGraph(Steps)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for before, after in pairwise([START, *nodes]):
        graph.add_edge(before, after)
    return graph


asks = _line(look=_look, ask=_ask)
waits = _line(look=_look, wait=_wait)
