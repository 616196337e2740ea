"""`counterpoint documents`: what a collection holds, and taking things out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Table

from server import client as clients
from server import loop, progress, settings
from server.commands import options
from server.exits import Exit

_FILE_WIDTH = 240


@click.group("documents")
def group() -> None:
    """The documents of a collection."""


@group.command("list")
@options.collection
@options.url
@options.as_json
@options.debug
def list_(collection: str | None, url: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """List the documents of a collection."""
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir

    async def listed() -> Any:
        bar = progress.for_console(Console(stderr=True))
        async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
            params = {"collection": configured.collection, "limit": "10000"}
            return await clients.call(client, "GET", "/documents", params=params)

    found = loop.run(listed())
    if as_json:
        click.echo(json.dumps(found))
        return Exit.OK
    table = Table(box=None)
    table.add_column("id", no_wrap=True)
    for heading in ("source", "title", "pages", "passages"):
        table.add_column(heading, overflow="fold")
    for item in found["items"]:
        cells = (item[key] for key in ("document_id", "source", "title", "pages", "chunks"))
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    console = Console(markup=False, highlight=False)
    # Nobody's window is narrow in a file.
    console.print(table, width=None if console.is_terminal else _FILE_WIDTH)
    click.echo(f"{found['total']} documents in collection {configured.collection}", err=True)
    return Exit.OK


@group.command("delete")
@click.argument("document_ids", nargs=-1, required=True, metavar="ID...")
@options.collection
@options.url
@options.as_json
@options.debug
def delete(
    document_ids: tuple[str, ...],
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Take documents out of a collection, by the IDs that `list` shows."""
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir

    async def deleted() -> None:
        bar = progress.for_console(Console(stderr=True))
        async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
            for document_id in document_ids:
                await clients.call(
                    client,
                    "DELETE",
                    f"/documents/{quote(document_id, safe='')}",
                    params={"collection": configured.collection},
                )
                click.echo(f"deleted {document_id}", err=True)

    loop.run(deleted())
    if as_json:
        click.echo(json.dumps({"deleted": list(document_ids)}))
    return Exit.OK
