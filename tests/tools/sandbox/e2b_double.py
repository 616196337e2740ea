"""E2B over HTTP on loopback, as its SDK (2.11 of e2b-code-interpreter, 2.63 of e2b) speaks to it.

The control plane (`/v2/sandboxes`), envd's files and its Connect endpoints, and the interpreter's
`/execute` and `/contexts`. Cells really run: each machine is a session of the local sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import BodyPartReader, web
from pydantic import SecretStr

from tests.tools.sandbox.conftest import required
from tools.sandbox.e2b_machine import Access
from tools.sandbox.e2b_session import WORK
from tools.sandbox.find import open_sandbox
from tools.sandbox.sandbox import (
    Limits,
    Listener,
    Outcome,
    Output,
    OutputKind,
    Sandbox,
    Session,
)

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"


@dataclass(kw_only=True, eq=False)
class Machine:
    """One virtual machine."""

    asked: dict[str, Any]
    token: str
    session: Session
    used: bool = False
    contexts: set[str] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(kw_only=True, eq=False)
class Double:
    """The service. ``refuse`` answers the control plane with a status; ``cut`` breaks the next
    stream after its first line; ``hang`` leaves the interpreter silent."""

    local: Sandbox
    url: str = ""
    machines: dict[str, Machine] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    refuse: int = 0
    cut: bool = False
    hang: bool = False
    vanish: bool = False
    flood: int = 0

    def access(self) -> Access:
        return Access(
            key=SecretStr(KEY),
            domain="e2b.test",
            api_url=self.url,
            sandbox_url=self.url,
            seconds=20.0,
        )

    async def end(self, number: str) -> None:
        await self.machines.pop(number).session.close()
        self.killed.append(number)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.get("/v2/sandboxes", self.listed),
                web.post("/v2/sandboxes", self.create),
                web.delete("/sandboxes/{id}", self.kill),
                web.post("/sandboxes/{id}/timeout", self.prolong),
                web.get("/health", self.health),
                web.get("/files", self.read),
                web.post("/files", self.write),
                web.post("/filesystem.Filesystem/{method}", self.filesystem),
                web.post("/contexts", self.create_context),
                web.delete("/contexts/{id}", self.remove_context),
                web.post("/execute", self.execute),
            ]
        )
        return app

    # The control plane.

    def _refused(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("X-API-KEY", "")
        status = self.refuse or (0 if key == KEY else 401)
        if not status:
            return None
        message = f"refused, key {key}"
        return web.json_response({"code": status, "message": message}, status=status)

    async def listed(self, request: web.Request) -> web.StreamResponse:
        return self._refused(request) or web.json_response([])

    async def create(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        asked = await request.json()
        number, token = secrets.token_hex(8), secrets.token_hex(16)
        self.machines[number] = Machine(asked=asked, token=token, session=await self.local.create())
        return web.json_response(
            {
                "templateID": asked["templateID"],
                "sandboxID": number,
                "clientID": "double",
                "envdVersion": "0.6.4",
                "envdAccessToken": token,
                "domain": "e2b.test",
            },
            status=201,
        )

    async def kill(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        number = request.match_info["id"]
        if number not in self.machines:
            return web.json_response({"code": 404, "message": "not found"}, status=404)
        await self.end(number)
        return web.Response(status=204)

    async def prolong(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["id"] not in self.machines:
            return web.json_response({"code": 404, "message": "not found"}, status=404)
        return web.Response(status=204)

    # The proxy before each machine, and envd in it.

    def _machine(self, request: web.Request) -> Machine:
        number = request.headers.get("E2b-Sandbox-Id", "")
        machine = self.machines.get(number)
        if machine is None:
            told = {"sandboxId": number, "message": "The sandbox was not found", "code": 502}
            raise web.HTTPBadGateway(text=json.dumps(told), content_type="application/json")
        if request.path not in {"/health", "/contexts"} and "/contexts/" not in request.path:
            assert request.headers["X-Access-Token"] == machine.token
        return machine

    async def health(self, request: web.Request) -> web.StreamResponse:
        self._machine(request)
        return web.Response(status=204)

    async def read(self, request: web.Request) -> web.StreamResponse:
        machine = self._machine(request)
        try:
            content = await machine.session.get(_inside(request.query["path"]))
        except FileNotFoundError as error:
            return web.json_response({"code": 404, "message": str(error)}, status=404)
        return web.Response(body=content)

    async def write(self, request: web.Request) -> web.StreamResponse:
        machine = self._machine(request)
        written = []
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            path = request.query.get("path") or part.filename or ""
            await machine.session.put({_inside(path): bytes(await part.read())})
            written.append({"path": path, "name": path.rpartition("/")[2], "type": "file"})
        return web.json_response(written)

    async def filesystem(self, request: web.Request) -> web.StreamResponse:
        machine = self._machine(request)
        asked = await request.json()
        entries = {f"{WORK}/{one.path}": one for one in await machine.session.files()}
        match request.match_info["method"]:
            case "MakeDir":
                return web.json_response({"entry": {"path": asked["path"]}})
            case "ListDir":
                assert asked["path"] == WORK
                return web.json_response({"entries": [_told(*one) for one in entries.items()]})
            case "Stat" if asked["path"] in entries:
                told = _told(asked["path"], entries[asked["path"]])
                return web.json_response({"entry": told})
            case "Stat":
                told = {"code": "not_found", "message": "no such file"}
                return web.json_response(told, status=404)
            case method:
                raise AssertionError(method)

    # The interpreter.

    async def create_context(self, request: web.Request) -> web.StreamResponse:
        machine = self._machine(request)
        assert await request.json() == {"cwd": WORK}
        if machine.used:
            await machine.session.reset()
        machine.used = True
        number = secrets.token_hex(8)
        machine.contexts.add(number)
        return web.json_response({"id": number, "language": "python", "cwd": WORK})

    async def remove_context(self, request: web.Request) -> web.StreamResponse:
        self._machine(request).contexts.discard(request.match_info["id"])
        return web.Response()

    async def execute(self, request: web.Request) -> web.StreamResponse:
        machine = self._machine(request)
        asked = await request.json()
        if asked["context_id"] not in machine.contexts:
            return web.Response(status=404, text=f"Context {asked['context_id']} not found")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if self.hang:
            await asyncio.Event().wait()
        lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        async with machine.turn:
            running = asyncio.create_task(_cell(machine.session, asked["code"], lines))
            try:
                await self._stream(request, response, lines)
            except (ConnectionError, asyncio.CancelledError):
                # Whoever hangs up interrupts the cell, as the interpreter does it.
                await machine.session.interrupt()
                raise
            finally:
                await asyncio.gather(running, return_exceptions=True)
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        lines: asyncio.Queue[dict[str, Any] | None],
    ) -> None:
        while True:
            try:
                line = await asyncio.wait_for(lines.get(), 0.1)
            except TimeoutError:
                # Without a line now and then nobody notices that the other end has hung up.
                line = {"type": "keepalive"}
            if line is None:
                return
            if self.flood:
                line = {"type": "stdout", "text": "x" * self.flood, "timestamp": 0}
            await response.write(json.dumps(line).encode() + b"\n")
            if (self.cut or self.vanish) and line["type"] != "keepalive":
                if self.vanish:
                    await self.end(request.headers["E2b-Sandbox-Id"])
                self.cut = self.vanish = False
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionError


async def _cell(session: Session, code: str, lines: asyncio.Queue[dict[str, Any] | None]) -> None:
    def tell(kind: str, text: str) -> None:
        lines.put_nowait({"type": kind, "text": text, "timestamp": 0})

    def show(output: Output) -> None:
        lines.put_nowait(_result(output))

    listener = Listener(
        stdout=lambda text: tell("stdout", text),
        stderr=lambda text: tell("stderr", text),
        output=show,
    )
    try:
        lines.put_nowait({"type": "number_of_executions", "execution_count": 1})
        execution = await session.run(code, listener=listener)
        if execution.outcome is Outcome.KILLED:
            error = {"name": "ContextRestarting", "value": "Context was restarted", "traceback": ""}
            lines.put_nowait({"type": "error", **error})
        elif execution.outcome is not Outcome.FINISHED:
            lines.put_nowait({"type": "error", **_error(execution.stderr, execution.exit_code)})
    finally:
        lines.put_nowait(None)


def _error(traceback: str, code: int | None) -> dict[str, str]:
    if not traceback:
        return {"name": "SystemExit", "value": str(code), "traceback": f"SystemExit: {code}"}
    name, _, value = traceback.rstrip("\n").rpartition("\n")[2].partition(": ")
    coloured = f"\x1b[0;31m{name}\x1b[0m: {value}"
    return {"name": name, "value": value, "traceback": "\x1b[31mTraceback\x1b[0m\n" + coloured}


def _result(output: Output) -> dict[str, Any]:
    main = output.kind is OutputKind.RESULT
    return {"type": "result", "text": output.text, "html": output.html, "is_main_result": main}


def _inside(path: str) -> str:
    assert path.startswith(f"{WORK}/")
    return path.removeprefix(f"{WORK}/")


def _told(path: str, entry: Any) -> dict[str, Any]:
    moment = datetime.fromtimestamp(entry.modified / 1e9, UTC)
    return {
        "name": path.rpartition("/")[2],
        "type": "FILE_TYPE_FILE",
        "path": path,
        "size": str(entry.size),
        "mode": 0o644,
        "permissions": "-rw-r--r--",
        "owner": "user",
        "group": "user",
        "modifiedTime": moment.isoformat().replace("+00:00", "Z"),
    }


@contextlib.asynccontextmanager
async def serving(local: Sandbox) -> AsyncIterator[Double]:
    """The double on a free port of loopback, over machines of ``local``."""
    double = Double(local=local)
    # A client that hangs up ends its handler, as it does with the real one.
    runner = web.AppRunner(double.app(), handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        double.url = f"http://127.0.0.1:{port}"
        yield double
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def behind() -> AsyncIterator[Double]:
    """The double, with a local sandbox of its own that no test comes to the limits of."""
    limits = Limits(seconds=60.0, output_bytes=1024 * 1024)
    local = required(await open_sandbox(limits=limits))
    try:
        async with serving(local) as double:
            yield double
    finally:
        await local.close()
