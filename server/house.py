"""The composition root: opens every part of Counterpoint once, and closes all in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from agents import agent, roster
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from guardrails import limits, policy
from models import catalogue
from models.chat import ChatModel
from models.embedder import Embedder
from models.fetch import fetch
from models.llama import LlamaServer
from models.minilm import MiniLM
from models.progress import Progress
from models.registry import Registry, Role
from server import house_models, lock, redis_check
from server.redis_client import open_redis
from server.redis_server import RedisServer, RedisServerError
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.worker import RunWorker
from server.settings import ConfigurationError, Settings
from server.team import TeamExecutor
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.knowledge import Knowledge
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import Limits as ParseLimits
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.retrieval.store import PassageStore
from tools.run_python import run_python, unavailable
from tools.sandbox.find import Unavailable, open_sandbox
from tools.sandbox.sandbox import MEBIBYTE, Sandbox
from tools.sandbox.sandbox import Limits as SandboxLimits
from tools.search_documents import search_documents
from tools.tool import Tool

WORKER_GRACE_SECONDS = 3.0
_REVIVE_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that is open. ``parts`` names what runs, for people."""

    settings: Settings
    redis: Redis
    keys: Keys
    log: EventLog
    records: RunRecords
    queue: RunQueue
    runs: Runs
    saver: RedisSaver
    knowledge: Knowledge
    sandbox: Sandbox | Unavailable
    models: Mapping[Role, ChatModel]
    agents: Mapping[str, agent.Agent]
    tools: Mapping[str, Tool]
    parts: Mapping[str, str]
    local_model: LlamaServer | None


@asynccontextmanager
async def open_house(
    settings: Settings,
    *,
    progress: Progress,
    models: Mapping[Role, ChatModel] | None = None,
    embedder: Embedder | None = None,
    worker: bool = True,
) -> AsyncIterator[House]:
    """All parts as the settings say, with what is missing fetched.

    ``models`` and ``embedder`` stand in for those of the settings. Without ``worker`` no run is
    advanced here, and neither chat models nor sandbox are opened. Raises ConfigurationError,
    DataFolderBusy, DataFolderUnusable, RedisServerError, RedisUnusable, ModelError (WeightsError
    among them) and StoreError, each a line for people.
    """
    if settings.knowledge_url is not None:
        raise ConfigurationError("knowledge_url: this version cannot use it yet; unset it")
    if not worker:
        models = models or {}
    registry = None if models is not None else house_models.configured(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(lock.owned(settings.data_dir))
        build = _Building(settings, stack=stack, progress=progress)
        redis = await build.redis()
        keys = Keys()
        log = EventLog(redis, keys)
        records = RunRecords(redis, keys)
        queue = await stack.enter_async_context(RunQueue(build.redis_url, keys))
        saver = RedisSaver(redis, keys)
        serve_local = models is None and registry is None
        await build.weights(chat=serve_local, embedder=embedder is None)
        llama, knowledge, sandbox = await _together(
            build.llama() if serve_local else _nothing(),
            build.knowledge(embedder),
            build.sandbox() if worker else _no_code(),
        )
        if models is None:
            if llama is not None:
                registry = house_models.local(llama, timeout=settings.model_timeout)
            assert registry is not None
            models = await build.chat_models(registry, redis=redis, keys=keys)
        tools = {tool.name: tool for tool in (search_documents(knowledge), _coding(sandbox))}
        agents = roster.build()
        if worker:
            executor = TeamExecutor(
                saver=saver,
                agents=agents,
                models=models,
                tools=tools,
                rules=rules_of(settings),
                limits=limits_of(settings),
                max_rounds=settings.max_rounds,
            )
            working = RunWorker(
                records=records,
                log=log,
                queue=queue,
                executor=executor,
                concurrency=settings.concurrency,
                grace_seconds=WORKER_GRACE_SECONDS,
                # A Redis of our own has no other workers.
                sole_owner=settings.redis_url is None,
            )
            await stack.enter_async_context(working)
        yield House(
            settings=settings,
            redis=redis,
            keys=keys,
            log=log,
            records=records,
            queue=queue,
            runs=Runs(records=records, log=log, queue=queue),
            saver=saver,
            knowledge=knowledge,
            sandbox=sandbox,
            models=models,
            agents=agents,
            tools=tools,
            parts=build.parts,
            local_model=llama,
        )


def rules_of(settings: Settings) -> Sequence[policy.Rule]:
    """The policy as the guardrails read it."""
    return tuple(
        policy.Rule(
            tool=rule.tool,
            agent=rule.agent,
            decision=policy.Decision(rule.effect),
            reason=rule.reason,
        )
        for rule in settings.policy
    )


def limits_of(settings: Settings) -> limits.Limits:
    """The limits of one run."""
    return limits.Limits(
        steps=settings.max_steps,
        tokens=settings.max_tokens,
        cost=settings.max_cost,
        seconds=settings.max_seconds,
    )


class _Building:
    """Opens one part at a time onto the stack, and tells what it did and how long it took."""

    def __init__(self, settings: Settings, *, stack: AsyncExitStack, progress: Progress) -> None:
        self._settings = settings
        self._stack = stack
        self._progress = progress
        self._started = time.monotonic()
        self.parts: dict[str, str] = {}
        self.redis_url = ""

    def _told(self, part: str, what: str, *, since: float) -> None:
        self.parts[part] = what
        self._progress.note(f"{part}: {what} ({time.monotonic() - since:.1f} s)")

    async def redis(self) -> Redis:
        since = time.monotonic()
        url = self._settings.redis_url
        if url is not None:
            redis = open_redis(url)
            self._stack.push_async_callback(redis.aclose)
            facts = await redis_check.check(redis, url=url)
            if facts.warning:
                self._progress.note(f"warning: {facts.warning}")
            what = f"{facts.product} {facts.version} at {redis_check.shown(url)}"
        else:
            server = RedisServer(self._settings.data_dir)
            await server.start()
            self._stack.push_async_callback(server.close)
            # Pushed behind the end of the server, so that it is over before that.
            watch = asyncio.create_task(_keep(server), name="redis watch")
            self._stack.push_async_callback(_cancelled, watch)
            url = server.url
            redis = open_redis(url)
            self._stack.push_async_callback(redis.aclose)
            what = f"{server.version}, our own, {server.where}"
        self.redis_url = url
        self._told("Redis", what, since=since)
        return redis

    async def weights(self, *, chat: bool, embedder: bool) -> None:
        wanted = ((catalogue.CHAT,) if chat else ()) + (catalogue.EMBEDDER if embedder else ())
        for artifact in wanted:
            await fetch(
                artifact,
                self._settings.models_dir,
                progress=self._progress,
                from_folder=self._settings.models_from,
                offline=self._settings.offline,
            )

    async def llama(self) -> LlamaServer:
        since = time.monotonic()
        server = LlamaServer(
            self._settings.models_dir / catalogue.CHAT.filename,
            name=house_models.LOCAL_NAME,
            context=house_models.LOCAL_CONTEXT,
            threads=self._settings.local_threads,
        )
        await server.start()
        self._stack.push_async_callback(server.close)
        self._told("Model", f"{server.name}, on this machine", since=since)
        return server

    async def knowledge(self, embedder: Embedder | None) -> Knowledge:
        since = time.monotonic()
        if embedder is None:
            folder = self._settings.models_dir
            minilm = await MiniLM.open(
                folder / catalogue.EMBEDDER_MODEL.filename,
                tokenizer=folder / catalogue.EMBEDDER_TOKENIZER.filename,
            )
            self._stack.push_async_callback(minilm.close)
            embedder = minilm
        store = await self._store(embedder)
        self._stack.push_async_callback(store.close)
        parser = SandboxedParser(limits=ParseLimits(max_bytes=self._settings.max_document_bytes))
        self._stack.push_async_callback(parser.close)
        url = self._settings.qdrant_url
        where = f"at {urlsplit(url).netloc}" if url is not None else "in this process"
        self._told("Documents", f"Qdrant {where}, {embedder.name}", since=since)
        return LocalKnowledge(store, embedder=embedder, parser=parser)

    async def _store(self, embedder: Embedder) -> PassageStore:
        settings = self._settings
        if settings.qdrant_url is not None:
            # Late: its client takes as long to import as half of all the rest.
            from tools.retrieval.server_store import ServerStore

            key = settings.qdrant_key
            return await ServerStore.open(
                settings.qdrant_url,
                embedder=embedder.name,
                dimension=embedder.dimension,
                key=key.get_secret_value() if key else None,
            )
        path = settings.data_dir / "documents"
        await asyncio.to_thread(path.mkdir, mode=0o700, exist_ok=True)
        return await EdgeStore.open(path, embedder=embedder.name, dimension=embedder.dimension)

    async def sandbox(self) -> Sandbox | Unavailable:
        since = time.monotonic()
        sandbox = await open_sandbox(
            bwrap=self._settings.bubblewrap,
            limits=SandboxLimits(
                seconds=self._settings.sandbox_seconds,
                memory_bytes=self._settings.sandbox_memory * MEBIBYTE,
            ),
        )
        if isinstance(sandbox, Unavailable):
            self._told("Code", f"not run: {sandbox.reason}; {sandbox.remedy}", since=since)
            return sandbox
        self._stack.push_async_callback(sandbox.close)
        self._told("Code", f"run in {sandbox.describe().kind}", since=since)
        return sandbox

    async def chat_models(
        self, registry: Registry, *, redis: Redis, keys: Keys
    ) -> Mapping[Role, ChatModel]:
        since = time.monotonic()
        opened = await house_models.opened(registry, stack=self._stack, redis=redis, keys=keys)
        if "Model" not in self.parts:
            names = dict.fromkeys(registry.roles.values())
            # No whole URL before the server's own: the first one shown is the one to use.
            told = ", ".join(f"{n} at {urlsplit(registry.named(n).url).netloc}" for n in names)
            self._told("Model", told, since=since)
        return opened


def _coding(sandbox: Sandbox | Unavailable) -> Tool:
    if isinstance(sandbox, Unavailable):
        return unavailable(sandbox.reason, remedy=sandbox.remedy)
    return run_python(sandbox)


async def _nothing() -> None:
    return None


async def _no_code() -> Unavailable:
    return Unavailable(reason="this process advances no runs", remedy="start `counterpoint up`")


async def _together(*work: Any) -> Any:
    """The results of what goes on at the same time; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _keep(server: RedisServer) -> None:
    """Start our Redis again when it ends by itself: killed, or out of memory."""
    while True:
        code = await server.wait()
        _log.error("Redis ended by itself (%s); starting it again", code)
        while True:
            try:
                await server.start()
                break
            except RedisServerError:
                _log.exception("Redis does not start again")
                await asyncio.sleep(_REVIVE_SECONDS)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
