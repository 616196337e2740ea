"""`counterpoint documents`: what a collection holds, one shown, and taking things out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Table

from server import client as clients
from server import loop, progress, settings
from server.commands import options, tables
from server.exits import Exit
from server.wire.printable import terminal

_PASSAGES = 1_000


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
        table.add_row(*("" if cell is None else terminal(str(cell)) for cell in cells))
    tables.show(table)
    click.echo(f"{found['total']} documents in collection {configured.collection}", err=True)
    return Exit.OK


@group.command("show")
@click.argument("document_id", metavar="ID")
@options.collection
@options.url
@options.as_json
@options.debug
def show(
    document_id: str,
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Show a document: where it came from, and when, and its passages, by the ID of `list`."""
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir

    async def shown() -> tuple[Any, list[Any]]:
        bar = progress.for_console(Console(stderr=True))
        path = f"/documents/{quote(document_id, safe='')}/passages"
        passages: list[Any] = []
        async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
            while True:
                params = {
                    "collection": configured.collection,
                    "limit": _PASSAGES,
                    "offset": len(passages),
                }
                found = await clients.call(client, "GET", path, params=params)
                passages += found["items"]
                if len(passages) >= found["total"] or not found["items"]:
                    return found["document"], passages

    document, passages = loop.run(shown())
    if as_json:
        click.echo(json.dumps({**document, "passages": passages}))
        return Exit.OK
    tables.show(_about(document))
    for passage in passages:
        place = [" > ".join(passage["heading"])]
        place += [f"page {passage['page']}"] if passage["page"] else []
        place.append(f"characters {passage['span'][0]} to {passage['span'][1]}")
        head = f"[{passage['index'] + 1}] {', '.join(part for part in place if part)}"
        click.echo(f"\n{terminal(head)}")
        click.echo(terminal(passage["text"]))
    return Exit.OK


def _about(document: Mapping[str, Any]) -> Table:
    """What is known of a document, a line each."""
    came = datetime.fromtimestamp(document["ingested_at"], tz=UTC)
    metadata = ", ".join(f"{name}={value}" for name, value in document["metadata"].items())
    lines = {
        "id": document["document_id"],
        "source": document["source"],
        "title": document["title"],
        "type": document["media_type"],
        "pages": document["pages"],
        "passages": document["chunks"],
        "ingested": f"{came:%Y-%m-%d %H:%M:%S} UTC",
        "folder": document["folder"],
        "metadata": metadata,
    }
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        if value not in (None, ""):
            table.add_row(name, terminal(str(value)))
    return table


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
