"""`counterpoint api`: the HTTP surface in a process of its own, as many as are wanted."""

from __future__ import annotations

from pathlib import Path

import click

from server import lock, logs, loop, settings
from server.commands import options, running
from server.part import Part


@click.command("api")
@click.option("--host", help="Address to listen on.  [COUNTERPOINT_HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port; 0 picks one.  [COUNTERPOINT_PORT, default 8000]")
@click.option(
    "--keep-documents",
    is_flag=True,
    help="Own the documents, in the data folder; the others name this process by "
    "COUNTERPOINT_KNOWLEDGE_URL.",
)
@options.data_dir
@options.as_json
@options.debug
def command(
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    *,
    keep_documents: bool,
    as_json: bool,
) -> int:
    """Start the API alone; runs wait in Redis for a `counterpoint worker`.

    Needs COUNTERPOINT_REDIS_URL, and COUNTERPOINT_QDRANT_URL or COUNTERPOINT_KNOWLEDGE_URL. Logs
    to standard error. Exit code 0 after a stop, 2 for a setting, 3 where something cannot be had.
    """
    configured = settings.load(host=host, port=port, data_dir=data_dir)
    part = Part.KEEPER if keep_documents else Part.API
    part.check(configured)
    options.invocation().data_dir = configured.data_dir
    lock.prepare(configured.data_dir)
    logs.configure_as_set(configured, debug=options.invocation().debug, file=False)
    return loop.run(
        running.served(configured, part=part, as_json=as_json, elsewhere=data_dir is not None)
    )
