"""`counterpoint down`: stop the server of a data folder, wherever it was started."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click
import orjson

from server import lock, loop, settings
from server.commands import options
from server.exits import CommandFailed

_LOOK_SECONDS = 0.05


@click.command("down")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds that it may take.",
)
@options.data_dir
@options.as_json
@options.debug
def command(seconds: float, data_dir: Path | None, *, as_json: bool) -> int:
    """Stop the Counterpoint that owns the data folder, and wait until it has ended.

    Runs that wait for a person stay as they are; others go on from their last step after the next
    start. Exit code 0 also where none runs, 1 where it has not ended in time.
    """
    folder = settings.load(data_dir=data_dir).data_dir
    return loop.run(_down(folder, seconds=seconds, as_json=as_json))


async def _down(folder: Path, *, seconds: float, as_json: bool) -> int:
    pid = lock.owner(folder)
    if pid is None:
        _tell(f"no Counterpoint owns {folder}", pid=None, as_json=as_json)
        return 0
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise CommandFailed(f"process {pid} belongs to another user: stop it as that one") from None
    try:
        async with asyncio.timeout(seconds):
            while lock.owner(folder) == pid:  # noqa: ASYNC110 - another process lets go
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise CommandFailed(
            f"process {pid} has not ended within {seconds:g} s; it may still be finishing a step: "
            "wait for it with a longer --timeout"
        ) from None
    _tell(f"stopped process {pid}", pid=pid, as_json=as_json)
    return 0


def _tell(words: str, *, pid: int | None, as_json: bool) -> None:
    click.echo(orjson.dumps({"stopped": pid}).decode() if as_json else words)
