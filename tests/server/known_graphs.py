"""A registry whose graphs are loaded once for all tests of a process: nothing in them changes."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from graphs import team
from server.graph_source import GraphSource
from server.graph_types import Names
from server.registry import Graph, GraphRegistry, Served


class _Asked(InMemorySaver):
    """Notes which classes a graph's checkpoints may hold."""

    allowed: Names | None = None

    def with_allowlist(self, extra_allowlist: Any) -> Any:
        self.allowed = extra_allowlist
        return self


_team = functools.cache(team.build)

Known = dict[GraphSource, tuple[Served, Names | None]]


class KnownGraphs(GraphRegistry):
    """Attaches its own saver to graphs that another of its kind has loaded."""

    def __init__(self, known: Known, **given: Any) -> None:
        super().__init__(**given)
        self._known = known

    def _team(self) -> Graph:
        return _team()

    async def _found(self, source: GraphSource) -> Served:
        if source not in self._known:
            asked = _Asked()
            async with GraphRegistry(saver=asked) as first:
                self._known[source] = (await first._found(source), asked.allowed)
        served, allowed = self._known[source]
        saver = self._saver if allowed is None else self._saver.with_allowlist(allowed)
        return replace(served, saver=saver)
