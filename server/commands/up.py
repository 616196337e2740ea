"""`counterpoint up`: everything in one process and its children, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from server import lock, logs, loop, settings
from server.commands import options, running
from server.part import Part


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
    logs.configure_as_set(configured, debug=invocation.debug)
    return loop.run(
        running.served(configured, part=Part.ALL, as_json=as_json, elsewhere=data_dir is not None)
    )
