"""Which classes a graph's state may hold, by its schemas: what checkpoints may bring back."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from langgraph.pregel import Pregel
from pydantic import BaseModel

Names = frozenset[tuple[str, ...]]


def classes_of(graph: Pregel[Any, Any, Any, Any]) -> Names:
    """Module and name of each class in the schemas of the graph and of its subgraphs."""
    found: set[tuple[str, ...]] = set()
    seen: set[int] = set()
    graphs = [graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))]
    for one in graphs:
        for schema in _schemas(one):
            _collect(schema, found, seen)
    return frozenset(found)


def _schemas(graph: Any) -> Iterator[Any]:
    builder = getattr(graph, "builder", None)
    if builder is not None:
        yield from (builder.state_schema, builder.input_schema, builder.output_schema)
        for node in builder.nodes.values():
            yield node.input_schema
    for channel in getattr(graph, "channels", {}).values():
        for name in ("ValueType", "UpdateType"):
            yield getattr(channel, name, None)


def _collect(kind: Any, found: set[tuple[str, ...]], seen: set[int]) -> None:
    if kind is None or id(kind) in seen:
        return
    seen.add(id(kind))
    for argument in typing.get_args(kind):
        _collect(argument, found, seen)
    if not isinstance(kind, type):
        return
    is_data = dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel)
    if is_data or issubclass(kind, Enum) or hasattr(kind, "_fields"):
        found.add((kind.__module__, kind.__qualname__))
    if is_data or hasattr(kind, "__annotations__"):
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except Exception:  # noqa: BLE001 - a name that only a type checker sees
            return
        for hint in hints.values():
            _collect(hint, found, seen)
