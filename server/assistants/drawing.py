"""What a graph looks like from outside: its nodes and edges, and the schemas of its data."""

from __future__ import annotations

import logging
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import typing_extensions
from pydantic import TypeAdapter

from graphs.plain import plain
from server.assistants.records import Graph

Schema = dict[str, Any] | None

_log = logging.getLogger(__name__)


async def drawn(graph: Graph, *, xray: int | bool = False) -> dict[str, Any]:
    """``{"nodes", "edges"}``; ``xray`` opens subgraphs, to a depth where it is a number."""
    told: dict[str, Any] = plain((await graph.aget_graph(xray=xray)).to_json())
    return told


def schemas(graph: Graph, *, graph_id: str) -> dict[str, Any]:
    """JSON schemas of what goes in and out; None where a type has none."""
    builder = getattr(graph, "builder", None)
    context = _schema(graph.get_context_jsonschema, getattr(builder, "context_schema", None))
    return {
        "graph_id": graph_id,
        "input_schema": _schema(graph.get_input_jsonschema, getattr(builder, "input_schema", None)),
        "output_schema": _schema(
            graph.get_output_jsonschema, getattr(builder, "output_schema", None)
        ),
        "state_schema": _schema(
            graph.get_output_jsonschema, getattr(builder, "state_schema", None)
        ),
        # What `config.configurable` takes is by now the context.
        "config_schema": context,
        "context_schema": context,
    }


async def subgraphs(
    graph: Graph, *, graph_id: str, namespace: str | None = None, recurse: bool = False
) -> dict[str, Any]:
    """The schemas of the graphs within a graph, by their namespace."""
    found = {}
    async for name, inner in graph.aget_subgraphs(namespace=namespace, recurse=recurse):
        found[name] = schemas(typing.cast("Graph", inner), graph_id=graph_id)
    return found


def _schema(offered: Callable[[], Schema], kind: Any) -> Schema:
    """The schema of a type, else what the graph offers by itself."""
    attempts: list[Callable[[], Schema]] = [offered]
    if kind is not None:
        attempts.insert(0, lambda: TypeAdapter(_modern(kind)).json_schema())
    for attempt in attempts:
        try:
            return attempt()
        except Exception as error:  # noqa: BLE001 - users' types; not every one has a schema
            _log.debug("no JSON schema of %r: %s", kind, error)
    return None


def _modern(kind: Any) -> Any:
    """A type with each ``typing.TypedDict`` in it as pydantic can read it before Python 3.12."""
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        required: frozenset[str] = getattr(kind, "__required_keys__", frozenset(hints))
        fields: Mapping[str, Any] = {
            name: (
                typing_extensions.Required if name in required else typing_extensions.NotRequired
            )[_modern(_bare(hint))]
            for name, hint in hints.items()
        }
        return typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[operator]
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        inner, *about = typing.get_args(kind)
        return typing.Annotated[(_modern(inner), *about)]
    arguments = typing.get_args(kind)
    if origin is None or origin is typing.Literal or not arguments:
        return kind
    made = tuple(_modern(one) if not isinstance(one, list) else one for one in arguments)
    if origin in {typing.Union, types.UnionType}:
        return typing.Union[made]  # noqa: UP007 - made at run time
    return origin[made] if made != arguments else kind


def _bare(hint: Any) -> Any:
    """A field's type without ``Required`` or ``NotRequired`` around it."""
    wrappers = {
        typing.Required,
        typing.NotRequired,
        typing_extensions.Required,
        typing_extensions.NotRequired,
    }
    return typing.get_args(hint)[0] if typing.get_origin(hint) in wrappers else hint
