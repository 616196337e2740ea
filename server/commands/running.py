"""What `up`, `api` and `worker` have in common: start, say that it is ready, wait, stop."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console

from server import lock, loop, progress, serve, settings
from server.exits import CommandFailed, Exit
from server.importing import uncollected
from server.part import Part

if TYPE_CHECKING:
    from server.house import House

_STARTING = {
    Part.ALL: "Starting Counterpoint; its data is in {folder}",
    Part.API: "Starting Counterpoint's API; runs are advanced by `counterpoint worker`",
    Part.KEEPER: "Starting Counterpoint's API; it keeps the documents, in {folder}",
    Part.WORKER: "Starting a worker of Counterpoint",
}


async def served(
    configured: settings.Settings, *, part: Part, as_json: bool, elsewhere: bool
) -> Exit:
    """An HTTP surface and what this part has behind it, until a signal.

    ``elsewhere``: the data folder was named, so that other commands have to be told it too.
    """
    started = time.monotonic()
    loop.open_many_files()
    console = Console(stderr=as_json)
    bar = progress.for_console(console)
    # Taken first, so that a port in use is told at once and not after a download.
    with serve.listening(configured.host, configured.port) as sock:
        bar.note(_STARTING[part].format(folder=configured.data_dir))
        # Two seconds of imports, which nobody should spend in front of an empty screen.
        with uncollected():
            from server import app, house

        async with (
            house.open_house(configured, progress=bar, part=part) as opened,
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


async def worked(configured: settings.Settings, *, as_json: bool) -> Exit:
    """A worker, until a signal; then it goes on with the runs that it has for a while."""
    started = time.monotonic()
    loop.open_many_files()
    console = Console(stderr=as_json)
    bar = progress.for_console(console)
    bar.note(_STARTING[Part.WORKER])
    with uncollected():
        from server import house
        from server.telemetry import port

    port.check(configured)
    async with (
        house.open_house(configured, progress=bar, part=Part.WORKER) as opened,
        port.opened(opened) as metrics,
    ):
        if metrics is not None:
            bar.note(f"Metrics: {metrics}")
        if as_json:
            told = {"pid": os.getpid(), "started": time.time()}
            click.echo(json.dumps(told if metrics is None else {**told, "metrics": metrics}))
        else:
            console.print(
                f"Counterpoint's worker is ready: {configured.concurrency} runs at a time "
                f"({time.monotonic() - started:.1f} s)",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        await _until_stopped(asyncio.get_running_loop().create_future(), warm=_warm(opened))
        bar.note(
            f"Stopping: runs have {configured.drain_seconds:g} s to end here, then other workers "
            "take them; once more Ctrl-C hurries it"
        )
    bar.note("Stopped")
    return Exit.OK


async def _until_stopped(server: asyncio.Future[None], *, warm: asyncio.Task[None]) -> None:
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
        loop.settle()

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
