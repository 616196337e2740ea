"""Assistants as the rest of the server sees them: made, looked up, changed in versions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, cast

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from redis.asyncio import Redis

from graphs.keys import DEFAULT_TENANT, Keys
from server.assistants.scripts import APPEND, BEGUN, CHOOSE, CREATE, READ

TEAM = "team"
# As in LangGraph's own servers, so that an id which a client has written down still fits here.
_NAMESPACE = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
_PAGE = 200
# Of so many the beginning is remembered.
_TENANTS = 1_000
BUILT_IN: Mapping[str, Any] = {"created_by": "system"}

Graph = Pregel[Any, Any, Any, Any]
Access = Literal["threads.create_run", "threads.update", "threads.read", "assistants.read"]


class AssistantError(Exception):
    """An assistant cannot do what was asked; the message is for people."""


class AssistantNotFoundError(AssistantError):
    """Nothing has this id or name."""


class AssistantConflictError(AssistantError):
    """The id is taken, or the assistant is built in and stays."""


class GraphNotFoundError(AssistantError):
    """An assistant names a graph that is not served."""


class Graphs(Protocol):
    """What is needed of the registry of graphs."""

    @property
    def names(self) -> Sequence[str]: ...

    def open(
        self,
        name: str,
        config: RunnableConfig | None = None,
        *,
        tenant: str | None = None,
        thread_id: str = "",
        fence: str = "",
        access: Access = "threads.create_run",
    ) -> AbstractAsyncContextManager[Graph]: ...


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What one version of an assistant says; plain JSON."""

    graph_id: str
    name: str
    description: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Assistant(Definition):
    """An assistant as its version in force says, or one version of it. Times are in UTC.

    ``last`` is the highest number that a version has.
    """

    assistant_id: str
    version: int
    last: int
    created_at: datetime
    updated_at: datetime

    @property
    def definition(self) -> Definition:
        """What this version says, by itself."""
        return Definition(**{name: getattr(self, name) for name in _FIELDS})


_FIELDS = tuple(Definition.__dataclass_fields__)


def built_in_id(name: str) -> str:
    """The id of the assistant that stands for a graph, or for an agent of the team, by name."""
    return str(uuid.uuid5(_NAMESPACE, name))


class Assistants:
    """All assistants. Each graph has one that is built in, and so has each agent of the team.

    A built-in one is stored only once it was changed; it cannot be deleted.
    """

    def __init__(
        self, redis: Redis, keys: Keys, *, graphs: Graphs, agents: Sequence[str] = ()
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._graphs = graphs
        self._agents = tuple(agents)
        self._begun = redis.register_script(BEGUN)
        self._known_begun: dict[str, bytes] = {}
        self._create = redis.register_script(CREATE)
        self._append = redis.register_script(APPEND)
        self._choose = redis.register_script(CHOOSE)
        self._read = redis.register_script(READ)

    @property
    def names(self) -> Sequence[str]:
        """The graphs and agents that have a built-in assistant, by name."""
        return tuple(self._built_in())

    def is_built_in(self, assistant_id: str) -> bool:
        """Whether an id is that of a built-in assistant."""
        return assistant_id in self._by_id()

    async def resolve(self, assistant_id: str, *, tenant: str = DEFAULT_TENANT) -> Assistant:
        """By id, or by the name of a graph or of an agent. Raises AssistantNotFoundError."""
        name = assistant_id if assistant_id in self._built_in() else None
        return await self.get(
            built_in_id(name) if name is not None else assistant_id, tenant=tenant
        )

    async def get(self, assistant_id: str, *, tenant: str = DEFAULT_TENANT) -> Assistant:
        """By id alone. Raises AssistantNotFoundError."""
        assistant_id = _canonical(assistant_id)
        found = await self._read(keys=[self._keys.assistant(tenant, assistant_id)])
        if found:
            return _stored(assistant_id, found)
        definition = self._by_id().get(assistant_id)
        if definition is None:
            raise self._missing(assistant_id)
        return _unstored(assistant_id, definition, await self._since(tenant))

    async def create(
        self,
        definition: Definition,
        *,
        tenant: str = DEFAULT_TENANT,
        assistant_id: str | None = None,
        reuse: bool = False,
    ) -> Assistant:
        """A new assistant; with ``reuse`` the one that has the id already.

        Raises AssistantConflictError, GraphNotFoundError.
        """
        self._check(definition)
        made = _canonical(assistant_id or str(uuid.uuid4()))
        created = made not in self._by_id() and await self._create(
            keys=[self._keys.assistant(tenant, made), self._keys.assistants(tenant)],
            args=[made, _dumped(definition)],
        )
        if not created and not reuse:
            raise AssistantConflictError(
                f"assistant_id: there is an assistant {made} already; leave the id out, "
                'or send "if_exists": "do_nothing" to take that one'
            )
        return await self.get(made, tenant=tenant)

    async def update(
        self, assistant_id: str, changes: Mapping[str, Any], *, tenant: str = DEFAULT_TENANT
    ) -> Assistant:
        """A new version: ``changes`` are fields of a Definition; metadata is merged.

        Raises AssistantNotFoundError, GraphNotFoundError.
        """
        while True:
            # Whoever was faster has made a version; this one is made on top of it.
            found = await self.resolve(assistant_id, tenant=tenant)
            merged = {**found.metadata, **changes.get("metadata", {})}
            definition = replace(found.definition, **{**changes, "metadata": merged})
            self._check(definition)
            base = self._by_id().get(found.assistant_id)
            reply = await self._append(
                keys=[
                    self._keys.assistant(tenant, found.assistant_id),
                    self._keys.assistants(tenant),
                ],
                args=[
                    found.assistant_id,
                    found.version,
                    found.last,
                    _dumped(definition),
                    _dumped(base) if base is not None else "",
                    _microseconds(found.created_at),
                ],
            )
            if reply == b"ok":
                return await self.get(found.assistant_id, tenant=tenant)
            if reply == b"missing":
                raise self._missing(assistant_id)

    async def delete(self, assistant_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """With all its versions. Raises AssistantNotFoundError, AssistantConflictError."""
        found = await self.resolve(assistant_id, tenant=tenant)
        if found.assistant_id in self._by_id():
            raise AssistantConflictError(
                f"assistant {found.assistant_id} is built in: it goes when the graph "
                f"{found.graph_id!r} is no longer served"
            )
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(self._keys.assistant(tenant, found.assistant_id))
            pipeline.zrem(self._keys.assistants(tenant), found.assistant_id)
            await pipeline.execute()

    async def versions(
        self, assistant_id: str, *, tenant: str = DEFAULT_TENANT
    ) -> Sequence[Assistant]:
        """All versions, the newest first. Raises AssistantNotFoundError."""
        found = await self.resolve(assistant_id, tenant=tenant)
        name = self._keys.assistant(tenant, found.assistant_id)
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(name))
        made = []
        for key, value in stored.items():
            kind, _, number = key.decode().partition(":")
            if kind != "v":
                continue
            at = stored[f"t:{number}".encode()]
            about = [at, at, number.encode(), stored[b"last"], value]
            made.append(_stored(found.assistant_id, about))
        return sorted(made or [found], key=lambda one: one.version, reverse=True)

    async def choose(
        self, assistant_id: str, version: int, *, tenant: str = DEFAULT_TENANT
    ) -> Assistant:
        """Put a version in force. Raises AssistantNotFoundError, also for the version."""
        found = await self.resolve(assistant_id, tenant=tenant)
        reply = await self._choose(
            keys=[self._keys.assistant(tenant, found.assistant_id)], args=[version]
        )
        unstored = reply == b"missing" and found.assistant_id in self._by_id()
        if reply == b"unknown" or (unstored and version != 1):
            raise AssistantNotFoundError(
                f"version: assistant {found.assistant_id} has no version {version}; "
                f"its last one is {found.last}"
            )
        if reply == b"missing" and not unstored:
            raise self._missing(assistant_id)
        return await self.get(found.assistant_id, tenant=tenant)

    async def all(self, *, tenant: str = DEFAULT_TENANT) -> Sequence[Assistant]:
        """Every assistant of a tenant, built-in ones too, in no order."""
        listed = cast("list[bytes]", await self._redis.zrange(self._keys.assistants(tenant), 0, -1))
        ids = [word.decode() for word in listed]
        made: list[Assistant] = []
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            async with self._redis.pipeline(transaction=False) as pipeline:
                for one in page:
                    await self._read(keys=[self._keys.assistant(tenant, one)], client=pipeline)
                replies = await pipeline.execute()
            made += [_stored(one, got) for one, got in zip(page, replies, strict=True) if got]
        known = {one.assistant_id for one in made}
        unstored = {one: about for one, about in self._by_id().items() if one not in known}
        if unstored:
            since = await self._since(tenant)
            made += [_unstored(one, about, since) for one, about in unstored.items()]
        return made

    async def _since(self, tenant: str) -> bytes:
        """When the tenant's built-in ones began, which once told stays: each run asks."""
        if (known := self._known_begun.get(tenant)) is not None:
            return known
        begun = cast("bytes", await self._begun(keys=[self._keys.assistants_begun(tenant)]))
        if len(self._known_begun) < _TENANTS:
            self._known_begun[tenant] = begun
        return begun

    def _built_in(self) -> Mapping[str, Definition]:
        agents = {
            name: Definition(
                graph_id=TEAM,
                name=name,
                config={"configurable": {"agent": name}},
                metadata=BUILT_IN,
            )
            for name in self._agents
            if TEAM in self._graphs.names
        }
        graphs = {
            name: Definition(graph_id=name, name=name, metadata=BUILT_IN)
            for name in self._graphs.names
        }
        # A graph of the user's own may have the name of an agent.
        return {**agents, **graphs}

    def _by_id(self) -> Mapping[str, Definition]:
        return {built_in_id(name): about for name, about in self._built_in().items()}

    def _check(self, definition: Definition) -> None:
        if definition.graph_id not in self._graphs.names:
            raise GraphNotFoundError(
                f"graph_id: no graph {definition.graph_id[:100]!r} is served; "
                f"use one of {', '.join(self._graphs.names)}"
            )

    def _missing(self, assistant_id: str) -> AssistantNotFoundError:
        return AssistantNotFoundError(
            f"assistant_id: no assistant {assistant_id[:100]!r}; use an id from "
            f"POST /assistants/search, or one of {', '.join(self.names)}"
        )


def _canonical(assistant_id: str) -> str:
    """An id in the one way in which it is stored; other text stays as it is."""
    try:
        return str(uuid.UUID(assistant_id))
    except ValueError:
        return assistant_id


def _dumped(definition: Definition) -> bytes:
    return orjson.dumps({name: getattr(definition, name) for name in _FIELDS})


def _time(microseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, tz=UTC)


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _stored(assistant_id: str, found: Sequence[bytes | None]) -> Assistant:
    created, updated, version, last, definition = (word or b"" for word in found)
    return Assistant(
        **orjson.loads(definition),
        assistant_id=assistant_id,
        version=int(version),
        last=int(last),
        created_at=_time(created),
        updated_at=_time(updated),
    )


def _unstored(assistant_id: str, definition: Definition, since: bytes) -> Assistant:
    return Assistant(
        **{name: getattr(definition, name) for name in _FIELDS},
        assistant_id=assistant_id,
        version=1,
        last=1,
        created_at=_time(since),
        updated_at=_time(since),
    )
