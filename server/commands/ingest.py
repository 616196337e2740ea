"""`counterpoint ingest`: files and folders into a collection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server import client as clients
from server import files, ingesting, loop, progress, settings
from server.commands import options
from server.exits import CommandFailed, Exit


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.collection
@options.url
@options.as_json
@options.debug
def command(
    paths: tuple[Path, ...],
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Make files searchable, and all files of folders; what is unchanged costs nothing.

    Exit code 0 when all went in, 4 when some could not be read, 1 when none could, 2 for a
    missing path or an empty folder.
    """
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    found = _collected(paths)
    return loop.run(_ingest(found, configured=configured, url=url, as_json=as_json))


def _collected(paths: Sequence[Path]) -> list[files.File]:
    try:
        return files.collect(paths)
    except files.NothingToRead as error:
        raise CommandFailed(str(error), code=Exit.USAGE) from None


async def _ingest(
    found: list[files.File], *, configured: settings.Settings, url: str | None, as_json: bool
) -> Exit:
    console = Console(stderr=True)
    bar = progress.for_console(console)
    async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
        summary = await with_bar(client, found, collection=configured.collection, console=console)
    if as_json:
        rows = [asdict(outcome) for outcome in summary.outcomes]
        click.echo(json.dumps({"collection": configured.collection, "items": rows}))
    tell(summary, collection=configured.collection, err=as_json)
    return summary.exit


async def with_bar(
    client: httpx.AsyncClient,
    found: Sequence[files.File],
    *,
    collection: str | None,
    console: Console,
) -> ingesting.Summary:
    """Ingest under a bar of files, rate and time left."""
    summary = ingesting.Summary()
    with Progress(
        TextColumn("Reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=len(found), rate="", name=found[0].name if found else "")
        async for outcome in ingesting.ingest(client, found, collection=collection):
            summary.outcomes.append(outcome)
            done = len(summary.outcomes)
            speed = bar.tasks[0].speed
            bar.update(
                task,
                advance=1,
                rate=f"{speed:.1f} files/s" if speed else "",
                name=found[done].name if done < len(found) else "",
            )
    return summary


def tell(summary: ingesting.Summary, *, collection: str, err: bool) -> None:
    """The summary, and each file that was left out or that lacks text on some pages."""
    for outcome in summary.failed:
        click.echo(f"skipped {outcome.error}", err=True)
    for outcome in summary.outcomes:
        if outcome.pages_without_text:
            pages = ", ".join(map(str, outcome.pages_without_text))
            click.echo(
                f"note: {outcome.name}: no text on page {pages}; run OCR over it if text is there",
                err=True,
            )
    click.echo(f"{summary.line()} (collection {collection})", err=err)
