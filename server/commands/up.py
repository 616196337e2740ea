"""`counterpoint up`: everything in one process and its children, until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shlex
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from server import lock, logs, loop, progress, serve, settings
from server.commands import options
from server.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from server.house import House


@click.command("up")
@click.option("--host", help="Address to listen on.  [COUNTERPOINT_HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port; 0 picks one.  [COUNTERPOINT_PORT, default 8000]")
@options.data_dir
@options.as_json
@options.debug
def command(host: str | None, port: int | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Start API, worker, Redis, document engine and model; Ctrl-C stops them all.

    Exit code 0 after a stop, 2 where the address or the data folder is taken or a setting is
    wrong, 3 where something needed cannot be had, 130 when stopped before it was ready.
    """
    configured = settings.load(host=host, port=port, data_dir=data_dir)
    invocation = options.invocation()
    invocation.data_dir = configured.data_dir
    lock.prepare(configured.data_dir)
    logs.configure(configured.data_dir, debug=invocation.debug)
    return loop.run(_up(configured, as_json=as_json, elsewhere=data_dir is not None))


async def _up(configured: settings.Settings, *, as_json: bool, elsewhere: bool) -> Exit:
    started = time.monotonic()
    console = Console(stderr=as_json)
    bar = progress.for_console(console)
    # Taken first, so that a port in use is told at once and not after a download.
    with serve.listening(configured.host, configured.port) as sock:
        bar.note(f"Starting Counterpoint; its data is in {configured.data_dir}")
        # Two seconds of imports, which nobody should spend in front of an empty screen.
        from server import app, house

        async with (
            house.open_house(configured, progress=bar) as opened,
            serve.serving(app.build(opened), sock=sock) as server,
        ):
            live = lock.LiveServer(pid=os.getpid(), url=serve.url_of(sock), started=time.time())
            with lock.announcement(configured.data_dir, live):
                _announce(
                    live,
                    console=console,
                    as_json=as_json,
                    seconds=time.monotonic() - started,
                    option=f" --data-dir {shlex.quote(str(configured.data_dir))}"
                    if elsewhere
                    else "",
                )
                await _until_stopped(server, warm=_warm(opened))
            bar.note("Stopping; once more Ctrl-C hurries it")
    bar.note("Stopped")
    return Exit.OK


async def _until_stopped(server: asyncio.Task[None], *, warm: asyncio.Task[None]) -> None:
    """Wait for the signal, which arrives as a cancel. Raises CommandFailed if the server ends."""
    try:
        await asyncio.wait({server})
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        # Asked for, and not a failure: what is open closes in its own time.
        task.uncancel()
        return
    finally:
        warm.cancel()
    raise CommandFailed("the HTTP server ended by itself; the log says why")


def _warm(opened: House) -> asyncio.Task[None]:
    """Let the local model read once, so that the first question does not wait for its pages."""

    from langchain_core.messages import HumanMessage

    from models.errors import ModelError
    from models.registry import Role

    async def warm() -> None:
        if opened.local_model is not None:
            with suppress(ModelError):
                model = opened.models[Role.COORDINATOR]
                await model.call([HumanMessage("Say yes.")], max_tokens=8)
        # What is there now stays: no collection has to look at it again.
        gc.collect()
        gc.freeze()

    return asyncio.create_task(warm(), name="warm up")


def _announce(
    live: lock.LiveServer, *, console: Console, as_json: bool, seconds: float, option: str
) -> None:
    if as_json:
        click.echo(json.dumps(asdict(live)))
        return
    lines = (
        f"Counterpoint is ready at {live.url} ({seconds:.1f} s)",
        f'  ask      counterpoint ask "..." --docs ./examples/handbook{option}',
        f"  ingest   counterpoint ingest PATH...{option}",
        f'  OpenAI   base_url="{live.url}/v1", model="counterpoint"',
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
