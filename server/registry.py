"""Every graph that is served, by name: the team, and users' own in whatever form they come."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import IndexConfig, ensure_embeddings
from langgraph_sdk import runtime as sdk_runtime
from redis.asyncio import Redis

from graphs import team
from graphs.keys import Keys
from graphs.scoped_saver import Saved, ScopedSaver
from graphs.store import RedisStore
from server import langgraph_json
from server.graph_source import GraphSource, load
from server.graph_types import Names, classes_of
from server.runs.asked import FRONTEND
from server.settings import ConfigurationError, Settings, config_folder, lend_environment

Graph = Pregel[Any, Any, Any, Any]
Access = Literal["threads.create_run", "threads.update", "threads.read", "assistants.read"]


class UnknownGraphError(Exception):
    """No graph has this name; the message names those that there are."""


class NotAGraphError(Exception):
    """What a user's factory gave is no graph; the message says what it is."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One graph as it was found. ``made`` is a graph, or what makes one for each use."""

    name: str
    description: str
    made: Graph | Callable[..., Any]
    saver: BaseCheckpointSaver[str]


class GraphRegistry:
    """Opened once, at the start, with ``async with``; ``open`` gives a graph for one use.

    The team's graph answers to ``team``; no other may be called so, nor ``frontend``. Entering
    raises ConfigurationError, which names the graph, its file and the cause.
    """

    def __init__(
        self,
        *,
        saver: BaseCheckpointSaver[str],
        store: RedisStore | None = None,
        sources: Sequence[GraphSource] = (),
        folders: Sequence[Path] = (),
        allowed: frozenset[tuple[str, ...]] = frozenset(),
    ) -> None:
        self._saver = saver
        self._store = store
        self._sources = sources
        self._folders = folders
        self._allowed = allowed
        self._stack = AsyncExitStack()
        self._classes: dict[str, Names] = {}
        self._served: dict[str, Served] = {
            team.TEAM: Served(
                name=team.TEAM,
                description="Plans, searches, calculates, writes and checks an answer with sources",
                made=self._team(),
                saver=saver,
            )
        }

    def _team(self) -> Graph:
        return team.build()

    async def __aenter__(self) -> Self:
        try:
            for source in self._sources:
                if source.name in {*self._served, FRONTEND}:
                    raise ConfigurationError(
                        f"{source.where}: the name {source.name} is taken; choose another"
                    )
                self._served[source.name] = await self._found(source)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def names(self) -> Sequence[str]:
        """``team`` first, then users' own as configured."""
        return tuple(self._served)

    def description(self, name: str) -> str:
        """What a graph is for; empty where nobody said. Raises UnknownGraphError."""
        return self._named(name).description

    @asynccontextmanager
    async def open(
        self,
        name: str,
        config: RunnableConfig | None = None,
        *,
        tenant: str | None = None,
        thread_id: str = "",
        fence: str = "",
        access: Access = "threads.create_run",
        context: Any = None,
        saved: Callable[[Saved], None] | None = None,
    ) -> AsyncIterator[Graph]:
        """The graph with saver and store attached, until the context is left.

        With ``tenant``, thread ids in configurations are the public ones, writes to ``thread_id``
        go under ``fence``, and the store is the tenant's. Without, thread ids are those of the
        saver. ``config``, ``access`` and ``context`` are for factories that ask for them. ``saved``
        is told of the thread's checkpoints. Raises UnknownGraphError, NotAGraphError, and whatever
        a factory raises.
        """
        served = self._named(name)
        saver, store = served.saver, self._store
        if tenant is not None:
            saver = ScopedSaver(saver, tenant=tenant, thread_id=thread_id, fence=fence, saved=saved)
            store = None if store is None else store.for_tenant(tenant)
        attached = {"checkpointer": saver, "store": store, "name": name}
        if isinstance(served.made, Pregel):
            yield served.made.copy(update=attached)
            return
        async with AsyncExitStack() as stack:
            given = _arguments(
                served.made, config=config or {}, store=store, access=access, context=context
            )
            if inspect.iscoroutinefunction(served.made) or _makes_contexts(served.made):
                made = served.made(**given)
            else:
                # A factory may wait, and the loop has others to serve.
                made = await asyncio.to_thread(served.made, **given)
            graph = await _graph(made, stack, name=name)
            if name not in self._classes:
                # Whatever its configuration, a graph keeps its schemas.
                self._classes[name] = classes_of(graph) | self._allowed
            allowing = served.saver.with_allowlist(self._classes[name])
            if tenant is not None:
                allowing = ScopedSaver(
                    allowing, tenant=tenant, thread_id=thread_id, fence=fence, saved=saved
                )
            yield graph.copy(update={**attached, "checkpointer": allowing})

    def _named(self, name: str) -> Served:
        try:
            return self._served[name]
        except KeyError:
            known = ", ".join(self._served)
            raise UnknownGraphError(f"no graph {name}; there are: {known}") from None

    async def _found(self, source: GraphSource) -> Served:
        found = load(source, folders=self._folders)
        if _is_factory(found) and _parameters(found):
            return Served(
                name=source.name, description=source.description, made=found, saver=self._saver
            )
        try:
            made = found() if _is_factory(found) else found
            graph = await _graph(made, self._stack, name=source.name)
            allowed = classes_of(graph) | self._allowed
        except Exception as error:
            cause = (
                error if isinstance(error, NotAGraphError) else f"{type(error).__name__}: {error}"
            )
            raise ConfigurationError(f"{source.where}: making it failed: {cause}") from error
        return Served(
            name=source.name,
            description=source.description,
            made=graph,
            saver=self._saver.with_allowlist(allowed),
        )


def configured(
    settings: Settings, *, redis: Redis, keys: Keys, saver: BaseCheckpointSaver[str]
) -> tuple[GraphRegistry, RedisStore, Sequence[str]]:
    """What the settings ask for: graphs, the store that they share, notes for the operator.

    Raises ConfigurationError.
    """
    folder = config_folder()
    sources = [
        GraphSource(name=name, target=one.path, folder=folder, description=one.description)
        for name, one in settings.graphs.items()
    ]
    if settings.langgraph_json is None:
        store = RedisStore(redis, keys)
        return GraphRegistry(saver=saver, store=store, sources=sources), store, ()
    theirs = langgraph_json.read(settings.langgraph_json)
    lend_environment(theirs.environment)
    store = RedisStore(redis, keys, index=_index(theirs), ttl=theirs.store_ttl)
    registry = GraphRegistry(
        saver=saver,
        store=store,
        sources=[*sources, *theirs.graphs],
        folders=theirs.folders,
        allowed=theirs.allowed,
    )
    return registry, store, theirs.notes


def _index(theirs: langgraph_json.LanggraphJson) -> IndexConfig | None:
    """How the store finds by likeness. Raises ConfigurationError."""
    told = theirs.store_index
    if told is None:
        return None
    embed = told["embed"]
    place = str(embed)
    if place.rpartition(":")[0].endswith(".py"):
        source = GraphSource(name="store.index.embed", target=place, folder=theirs.folder)
        embed = load(source, folders=theirs.folders)
    try:
        made = ensure_embeddings(embed)
    except Exception as error:
        raise ConfigurationError(
            f"langgraph.json: store.index.embed: {place}: {type(error).__name__}: {error}"
        ) from error
    index = IndexConfig(dims=int(told.get("dims") or 0), embed=made)
    if told.get("fields"):
        index["fields"] = [str(field) for field in told["fields"]]
    return index


def _is_factory(found: Any) -> bool:
    return callable(found) and not isinstance(found, Pregel | StateGraph)


def _makes_contexts(factory: Any) -> bool:
    """Whether it was made by ``contextmanager`` or ``asynccontextmanager``."""
    inner = inspect.unwrap(factory)
    return inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner)


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Those that it wants of us: what has a default it can do without, but for a config."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: one
        for name, one in inspect.signature(factory).parameters.items()
        if one.kind in (*kinds, inspect.Parameter.KEYWORD_ONLY)
        and (one.default is inspect.Parameter.empty or _meaning(one) is not None)
    }


def _meaning(parameter: inspect.Parameter) -> str | None:
    """What a parameter is for, by its annotation, else by its name."""
    kind = parameter.annotation
    told = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    for word, meaning in (("Runtime", "runtime"), ("Store", "store"), ("RunnableConfig", "config")):
        if word in told or word in str(kind):
            return meaning
    return parameter.name if parameter.name in {"config", "runtime", "store"} else None


def _arguments(
    factory: Callable[..., Any],
    *,
    config: RunnableConfig,
    store: Any,
    access: Access,
    context: Any,
) -> dict[str, Any]:
    """What a factory is called with; a parameter that says nothing of itself is the config."""
    if access == "threads.create_run":
        runtime: Any = sdk_runtime._ExecutionRuntime(
            access_context=access, store=store, context=context
        )
    else:
        runtime = sdk_runtime._ReadRuntime(access_context=access, store=store)
    offered = {"config": config, "runtime": runtime, "store": store}
    return {name: offered[_meaning(one) or "config"] for name, one in _parameters(factory).items()}


async def _graph(made: Any, stack: AsyncExitStack, *, name: str) -> Graph:
    """A graph out of what a user's module or factory gave. Raises NotAGraphError."""
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AbstractAsyncContextManager):
        made = await stack.enter_async_context(made)
    elif hasattr(made, "__enter__") and not isinstance(made, Pregel):
        made = stack.enter_context(made)
    if isinstance(made, StateGraph):
        made = made.compile(name=name)
    if not isinstance(made, Pregel):
        raise NotAGraphError(f"it gave a {type(made).__name__}, which is no LangGraph graph")
    return made
