"""Opens the parts of a house one by one, and tells what each is and how long it took."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails import policy
from models import catalogue
from models.chat import ChatModel
from models.embedder import Embedder
from models.fetch import fetch
from models.llama import LlamaServer
from models.progress import Progress
from models.registry import ModelSpec, Registry, Role
from server import house_models, patience, reading_models, redis_check, sandboxing, web_tools
from server.artifacts.keeping import KeptUploads, RunArtifacts
from server.artifacts.store import ThreadFiles
from server.model_routing import Routing
from server.redis_client import open_redis
from server.redis_server import RedisServer, RedisServerError
from server.settings import Settings
from server.situating import DayShares, ModelSituating
from tools.file_preview import Files, NamedFiles, SandboxFiles
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.knowledge import Knowledge
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.remote_knowledge import RemoteKnowledge
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.retrieval.store import PassageStore
from tools.run_python import run_python, unavailable
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import Sandbox
from tools.sandbox.snapshots import FolderSnapshots
from tools.sandbox.threads import ThreadSessions, key_of
from tools.tool import Tool

_REVIVE_SECONDS = 1.0
# As long as a keeper of documents takes to be started again on a busy machine.
_KEEPER_SECONDS = 20.0

# Documents are cut on a thread: a search asks for the interpreter ten times, and a thread that
# computes gives it up after so long (Python's own: 5 ms).
SWITCH_SECONDS = 0.0005
# A scan, which takes minutes, does not hold up all others.
PARSERS = 2

_log = logging.getLogger(__name__)


class Building:
    """Opens one part at a time onto the stack, and tells what it did and how long it took."""

    def __init__(self, settings: Settings, *, stack: AsyncExitStack, progress: Progress) -> None:
        self._settings = settings
        self._stack = stack
        self._progress = progress
        self._started = time.monotonic()
        self._sessions: ThreadSessions | None = None
        self.parts: dict[str, str] = {}
        self.situating: ModelSituating | None = None
        self.routing = Routing()
        self.embedder: Embedder | None = None
        self.redis_url = ""
        # Our own Redis always writes its file.
        self.has_disk = True

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
            self.has_disk = facts.has_disk
            for warning in (*filter(None, [facts.full]), *facts.warnings):
                self._progress.note(f"warning: {warning}")
            if said := await redis_check.slow(redis):
                self._progress.note(f"note: {said}")
            what = f"{facts.product} {facts.version} at {redis_check.shown(url)}"
        else:
            server = RedisServer(self._settings.data_dir)
            await server.start()
            self._stack.push_async_callback(server.close)
            # Pushed behind the end of the server, so that it is over before that.
            watch = asyncio.create_task(_keep(server), name="redis watch")
            self._stack.push_async_callback(patience.over, watch)
            url = server.url
            redis = open_redis(url)
            self._stack.push_async_callback(redis.aclose)
            what = f"{server.version}, our own, {server.where}"
        self.redis_url = url
        self._told("Redis", what, since=since)
        return redis

    async def weights(self, *, chat: bool, embedder: bool) -> None:
        embedder = embedder and self._settings.knowledge_url is None
        embedder = embedder and self._settings.embedder == "minilm"
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
        """The documents: another process's, or a store of ours with all that reads into it."""
        since = time.monotonic()
        if self._settings.knowledge_url is not None:
            return await self._remote(self._settings.knowledge_url, since=since)
        if embedder is None:
            embedder = await reading_models.embedder(self._settings, self._stack)
        self.embedder = embedder
        reranker = await reading_models.reranker(self._settings, self._stack)
        store = await self._store(embedder)
        self._stack.push_async_callback(store.close)
        limits = self._settings.parse_limits(max_bytes=self._settings.max_document_bytes)
        parser = SandboxedParser(limits=limits, ocr=self._settings.scans(), workers=PARSERS)
        self._stack.push_async_callback(parser.close)
        self._stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
        url = self._settings.qdrant_url
        where = f"at {urlsplit(url).netloc}" if url is not None else "in this process"
        self._told("Documents", f"Qdrant {where}, {embedder.name}", since=since)
        return LocalKnowledge(
            store,
            embedder=embedder,
            parser=parser,
            situating=self._situating(),
            reranker=reranker,
            options=self._settings.search_options(),
        )

    def _situating(self) -> ModelSituating | None:
        """What makes the contexts of passages; it waits for the house's model."""
        if self._settings.contextual_headers:
            shares = DayShares(
                max_cost=self._settings.contextual_max_cost,
                max_tokens=self._settings.contextual_max_tokens,
            )
            self.situating = ModelSituating(shares)
        return self.situating

    async def _remote(self, url: str, *, since: float) -> RemoteKnowledge:
        key = self._settings.knowledge_key
        remote = await self._stack.enter_async_context(
            RemoteKnowledge.open(
                url,
                key=key.get_secret_value() if key else None,
                patience_seconds=_KEEPER_SECONDS,
            )
        )
        version = await remote.check()
        where = urlsplit(url).netloc.rpartition("@")[2]
        self._told("Documents", f"kept by Counterpoint {version} at {where}", since=since)
        return remote

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
        settings = self._settings.sandbox
        sandbox = await sandboxing.opened(self._settings, warm=settings.warm)
        if isinstance(sandbox, Unavailable):
            self._told("Code", f"not run: {sandbox.reason}; {sandbox.remedy}", since=since)
            return sandbox
        self._stack.push_async_callback(sandbox.close)
        self._told("Code", sandboxing.told(sandbox), since=since)
        return sandbox

    def sessions(self, sandbox: Sandbox) -> ThreadSessions:
        """Sessions of threads, put to sleep as time goes by and at the end."""
        sessions = ThreadSessions(
            sandbox,
            snapshots=FolderSnapshots(sandboxing.files_folder(self._settings)),
            most=self._settings.sandbox.kernels,
            idle_seconds=self._settings.sandbox.idle_seconds,
        )
        self._stack.push_async_callback(sessions.close)
        watch = asyncio.create_task(sessions.watch(), name="idle sessions")
        self._stack.push_async_callback(patience.over, watch)
        self._sessions = sessions
        return sessions

    async def forget(self, tenant: str, thread_id: str) -> None:
        """Drop a deleted thread's session with its files."""
        if self._sessions is not None:
            try:
                await self._sessions.forget(key_of(tenant, thread_id))
            except OSError:
                _log.exception("the files of a deleted thread are still there")

    def coding(self, sandbox: Sandbox | Unavailable, *, files: ThreadFiles) -> tuple[Tool, Files]:
        """The tool that runs code, or that says why none is run, and how files are looked at."""
        uploads = KeptUploads(files)
        if isinstance(sandbox, Unavailable):
            return unavailable(sandbox.reason, remedy=sandbox.remedy), NamedFiles(uploads)
        sessions = self.sessions(sandbox)
        tool = run_python(
            sessions,
            artifacts=RunArtifacts(files),
            uploads=uploads,
            libraries=sandboxing.libraries(sandbox),
        )
        seen = SandboxFiles(sessions, uploads, libraries=sandboxing.libraries(sandbox))
        return sandboxing.reaching(tool, self._settings.sandbox.hosts), seen

    async def web(self, rules: Sequence[policy.Rule]) -> Sequence[Tool]:
        """The web's tools, as far as they are configured."""
        since = time.monotonic()
        tools = await self._stack.enter_async_context(
            web_tools.web_tools(self._settings, rules=rules)
        )
        if tools:
            self._told("Web", ", ".join(tool.name for tool in tools), since=since)
        for name in web_tools.without_rule(tools, rules):
            self._progress.note(
                f"warning: {name} is refused, as no rule of the policy lets it be called; see"
                " docs/web.md"
            )
        return tools

    def forgotten(self, tools: Sequence[Tool], rules: Sequence[policy.Rule]) -> None:
        """Warn of the team's own tools that no rule speaks of, not even to deny them."""
        for tool in tools:
            if not any(fnmatchcase(tool.name, rule.tool) for rule in rules):
                self._progress.note(
                    f"warning: {tool.name} is refused, as no rule of the policy speaks of it (the"
                    " first rule of your own takes the place of the usual ones); see docs/policy.md"
                )

    async def chat_models(
        self, registry: Registry, *, redis: Redis, keys: Keys
    ) -> Mapping[Role, ChatModel]:
        since = time.monotonic()
        opened = await house_models.opened(
            registry,
            stack=self._stack,
            redis=redis,
            keys=keys,
            checks=self._settings,
            told=self.routing,
        )
        if "Model" not in self.parts:
            names = dict.fromkeys(registry.roles.values())
            # No whole URL before the server's own: the first one shown is the one to use.
            told = ", ".join(f"{n} at {_hosts(registry.named(n))}" for n in names)
            self._told("Model", told, since=since)
        return opened


def _hosts(spec: ModelSpec) -> str:
    return " and ".join(urlsplit(url).netloc.rpartition("@")[2] for url in spec.endpoints)


async def _keep(server: RedisServer) -> None:
    """Start our Redis again when it ends by itself: killed, or out of memory."""
    while True:
        code = await server.wait()
        _log.error("Redis ended by itself (%s); starting it again", code)
        while True:
            try:
                await server.start()
                break
            except (RedisServerError, OSError):
                # Where files or memory are short, no process can be started at all for a while.
                _log.exception("Redis does not start again")
                await asyncio.sleep(_REVIVE_SECONDS)
