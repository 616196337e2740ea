"""The real app over a real queue, at one address through restarts."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import uvicorn

from graphs.event_log import EventLog
from graphs.saver import RedisSaver
from server.app import build
from server.approvals.record import Approval
from server.artifacts.store import RedisThreadFiles
from server.auth import Caller
from server.sections import CallerRole
from server.serving import Serving
from server.settings import Settings
from server.telemetry.kept import MemoryTraces
from server.telemetry.metrics import Metrics
from server.telemetry.scrape import Scrape
from server.telemetry.tracing import Tracing
from server.threads.records import RedisThreads
from tests.console.requests import Asked
from tests.server.approvals.desk import Desk, asking

KEYS = {"nora": "nora-key-nora-key-nora-key", "ana": "ana-key-ana-key-ana-key"}
ROLES = [CallerRole.USER, CallerRole.OPERATOR]


@dataclass(kw_only=True)
class Office:
    """What the page talks to. ``keyed``: whether it asks for a key."""

    desk: Desk
    folder: Path
    keyed: bool = True
    port: int = 0
    tracing: Tracing = field(default_factory=lambda: Tracing(kept=MemoryTraces()))
    _server: uvicorn.Server | None = None
    _serving: asyncio.Task[None] | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def files(self) -> RedisThreadFiles:
        return RedisThreadFiles(self.desk.redis, self.desk.keys)

    @property
    def threads(self) -> RedisThreads:
        redis, keys = self.desk.redis, self.desk.keys
        log, saver = EventLog(redis, keys), RedisSaver(redis, keys)
        return RedisThreads(redis, keys, saver=saver, log=log, files=self.files)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> Office:
        """Serve, at the same address as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            build(self._house(), heartbeat=1.0), log_config=None, ws="none", lifespan="off"
        )
        self._server, self._sockets = uvicorn.Server(config), [listener]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self

    async def close(self) -> None:
        """Gone, with every stream cut."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        for one in list(self._server.server_state.connections):
            one.transport.abort()
        await self._serving
        for listener in self._sockets:
            listener.close()

    async def ask(self, asked: Asked) -> Approval:
        """A run pauses and asks."""
        run = await self.desk.running()
        return (await self.desk.pause(run, asking(run, **asked.given)))[0]

    async def elsewhere(self, one: Approval, choice: str, **given: Any) -> Approval:
        """Somebody decides in another place."""
        caller = Caller(name="ana", roles=frozenset(ROLES))
        return await self.desk.decide(one, choice, caller=caller, via="slack", **given)

    async def expire(self, one: Approval) -> None:
        """Its time is over, and the sweeper comes by."""
        await self.desk.over_now(one)
        await self.desk.sweeper.sweep()

    async def now(self, one: Approval) -> Approval:
        return await self.desk.approvals.store.get(one.approval_id)

    def _house(self) -> Serving:
        settings = Settings(data_dir=self.folder, **self._known())
        house = SimpleNamespace(
            settings=settings,
            runs=self.desk.runs,
            approvals=self.desk.approvals,
            audit=self.desk.audit,
            tracing=self.tracing,
            threads=self.threads,
            files=self.files,
            scrape=Scrape(Metrics(process=False)),
        )
        return cast("Serving", house)

    def _known(self) -> dict[str, Any]:
        if not self.keyed:
            return {}
        keys = [
            {
                "name": name,
                "sha256": hashlib.sha256(key.encode()).hexdigest(),
                "roles": [role.value for role in ROLES],
            }
            for name, key in KEYS.items()
        ]
        return {"keys": keys}
