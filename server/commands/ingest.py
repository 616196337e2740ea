"""`counterpoint ingest`: files, folders and pages of the web into a collection."""

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
from server import files, ingesting, loop, progress, settings, web_tools
from server.commands import options
from server.exits import CommandFailed, Exit
from tools.web.addresses import AddressError
from tools.web.fetching import Fetcher


@click.command("ingest")
@click.argument("sources", nargs=-1, required=True, metavar="PATH|URL...")
@options.collection
@options.url
@options.as_json
@options.debug
def command(
    sources: tuple[str, ...],
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Make files searchable, all files of folders, and pages by their URLs; what is unchanged
    costs nothing.

    Exit code 0 when all went in, 4 when some could not be read, 1 when none could, 2 for a
    missing path or an empty folder. A page is fetched by this command, by the rules of the web.
    """
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    found = _collected(sources)
    return loop.run(_ingest(found, configured=configured, url=url, as_json=as_json))


def _collected(sources: Sequence[str]) -> list[ingesting.Source]:
    """Files first, then pages, each once."""
    paths: list[Path] = []
    pages: dict[ingesting.Address, None] = {}
    try:
        for one in sources:
            if (page := ingesting.address(one)) is not None:
                pages[page] = None
            else:
                paths.append(Path(one))
        return [*(files.collect(paths) if paths else ()), *pages]
    except files.NothingToRead as error:
        raise CommandFailed(str(error), code=Exit.USAGE) from None
    except AddressError as error:
        raise CommandFailed(f"a URL {error}", code=Exit.USAGE) from None


async def _ingest(
    found: list[ingesting.Source],
    *,
    configured: settings.Settings,
    url: str | None,
    as_json: bool,
) -> Exit:
    console = Console(stderr=True)
    bar = progress.for_console(console)
    async with (
        clients.connect(configured, url=url, progress=bar, runs=False) as client,
        web_tools.fetcher(configured) as fetcher,
    ):
        summary = await with_bar(
            client, found, collection=configured.collection, console=console, fetcher=fetcher
        )
    if as_json:
        rows = [asdict(outcome) for outcome in summary.outcomes]
        click.echo(json.dumps({"collection": configured.collection, "items": rows}))
    tell(summary, collection=configured.collection, err=as_json)
    return summary.exit


async def with_bar(
    client: httpx.AsyncClient,
    found: Sequence[ingesting.Source],
    *,
    collection: str | None,
    console: Console,
    fetcher: Fetcher | None = None,
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
        async for outcome in ingesting.ingest(
            client, found, collection=collection, fetcher=fetcher
        ):
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
