"""The agents of a run as a tree: the graph, its subgraphs, and what has become of each. Pure."""

from __future__ import annotations

from typing import Any

from graphs.event_log import Entry
from server.runs.record import RunRecord
from server.wire.protocol import Namespace
from server.wire.protocol_graph import ProtocolRendering

Node = dict[str, Any]


class Tree:
    """Shown a run's entries in order, from its start."""

    def __init__(self, record: RunRecord) -> None:
        self.root: Node = _node((), "started", record.asked.graph)
        self._rendering = ProtocolRendering(record)
        self._nodes: dict[Namespace, Node] = {(): self.root}

    def show(self, entry: Entry) -> None:
        """What one more entry changes."""
        for told in self._rendering.show(entry):
            if told.method == "lifecycle":
                self._note(told.namespace, told.data)

    def _note(self, namespace: Namespace, data: dict[str, Any]) -> None:
        node = self._nodes.get(namespace)
        if node is None:
            name = data.get("graph_name") or namespace[-1].partition(":")[0]
            node = self._nodes[namespace] = _node(namespace, "started", name)
            above = next(
                self._nodes[namespace[:depth]]
                for depth in range(len(namespace) - 1, -1, -1)
                if namespace[:depth] in self._nodes
            )
            above.setdefault("children", []).append(node)
        node["status"] = data["event"]


def _node(namespace: Namespace, status: str, name: str) -> Node:
    return {"namespace": list(namespace), "status": status, "graph_name": name}
