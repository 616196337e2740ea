"""`counterpoint worker`: advances runs in a process of its own, as many as are wanted."""

from __future__ import annotations

from pathlib import Path

import click

from server import logs, loop, settings
from server.commands import options, running
from server.part import Part


@click.command("worker")
@click.option("--concurrency", type=int, help="Runs at a time.  [COUNTERPOINT_CONCURRENCY]")
@options.data_dir
@options.as_json
@options.debug
def command(concurrency: int | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Start a worker; SIGTERM lets it end its runs first, a second one hurries it.

    Needs COUNTERPOINT_REDIS_URL, and COUNTERPOINT_QDRANT_URL or COUNTERPOINT_KNOWLEDGE_URL. Logs
    to standard error. Exit code 0 after a stop, 2 for a setting, 3 where something cannot be had.
    """
    configured = settings.load(data_dir=data_dir, concurrency=concurrency)
    Part.WORKER.check(configured)
    options.invocation().data_dir = configured.data_dir
    logs.configure_as_set(configured, debug=options.invocation().debug, file=False)
    return loop.run(running.worked(configured, as_json=as_json))
