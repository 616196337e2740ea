"""`counterpoint ingest`: files, folders and pages of the web into a collection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server import client as clients
from server import files, ingesting, loop, progress, settings
from server.commands import options
from server.exits import CommandFailed, Exit
from server.watching import Watching
from server.wire.printable import terminal
from tools.web.addresses import AddressError

if TYPE_CHECKING:
    from tools.web.fetching import Fetcher


@click.command("ingest")
@click.argument("sources", nargs=-1, required=True, metavar="PATH|URL...")
@click.option("--watch", is_flag=True, help="Go on, and follow what changes, until Ctrl-C.")
@click.option("--keep", is_flag=True, help="Leave documents whose files are gone.")
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
    watch: bool,
    keep: bool,
    as_json: bool,
) -> int:
    """Make files searchable, all files of folders, and pages by their URLs; what is unchanged
    costs nothing.

    A folder that was ingested before is followed: the documents of files that were renamed take
    their new names, those of files that are gone are deleted. A folder that is missing or empty
    deletes nothing.

    Exit code 0 when all went in, 4 when some could not be read, 1 when none could, 2 for a
    missing path or an empty folder. A page is fetched by this command, by the rules of the web.
    """
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    found = collected(sources)
    if watch and not any(isinstance(one, files.File) for one in found):
        raise CommandFailed(
            "--watch: give a file or a folder; pages are not watched", code=Exit.USAGE
        )
    paths = [Path(one) for one in sources if ingesting.address(one) is None]
    return loop.run(
        _ingest(
            found,
            configured=configured,
            url=url,
            as_json=as_json,
            keep=keep,
            watched=paths if watch else None,
        )
    )


def collected(sources: Sequence[str]) -> list[ingesting.Source]:
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
    keep: bool,
    watched: Sequence[Path] | None,
) -> Exit:
    # Late: an HTTP client for pages, which `counterpoint ask` does not need.
    from server import web_tools

    console = Console(stderr=True)
    bar = progress.for_console(console)
    collection = configured.collection
    async with (
        clients.connect(configured, url=url, progress=bar, runs=False) as client,
        web_tools.fetcher(configured) as fetcher,
    ):
        summary = await with_bar(
            client,
            found,
            collection=collection,
            console=console,
            fetcher=fetcher,
            follow=True,
            keep=keep,
        )
        if as_json:
            rows = [asdict(outcome) for outcome in summary.outcomes]
            click.echo(json.dumps({"collection": collection, "items": rows}))
        tell(summary, collection=collection, err=as_json)
        if watched is not None:
            watching = Watching(client, watched, collection=collection, keep=keep, as_json=as_json)
            await watching.run(found)
            return Exit.OK
    return summary.exit


async def with_bar(
    client: httpx.AsyncClient,
    found: Sequence[ingesting.Source],
    *,
    collection: str | None,
    console: Console,
    fetcher: Fetcher | None = None,
    follow: bool = False,
    keep: bool = False,
) -> ingesting.Summary:
    """Ingest under a bar of documents, rate and time left; ``follow``: as `ingesting.moved` does,
    unless what is gone is to be kept. Raises CommandFailed.
    """
    summary = ingesting.Summary()
    held = [one for one in found if isinstance(one, files.File)]
    if follow and not keep:
        async for outcome in ingesting.moved(client, held, collection=collection or ""):
            summary.outcomes.append(outcome)
    followed = {one.name for one in summary.outcomes}
    found = [one for one in found if one.name not in followed]
    places = {one.name: place for place, one in enumerate(found)}
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
        task = bar.add_task("", total=len(found), rate="", name="")
        sent: list[ingesting.Outcome] = []
        async for outcome in ingesting.ingest(
            client, found, collection=collection, fetcher=fetcher, follow=follow
        ):
            sent.append(outcome)
            speed = bar.tasks[0].speed
            bar.update(
                task,
                advance=1,
                rate=f"{speed:.1f} documents/s" if speed else "",
                name=outcome.name,
            )
    # As they were asked for, whichever was done first.
    summary.outcomes += sorted(sent, key=lambda one: places.get(one.name, 0))
    return summary


def tell(summary: ingesting.Summary, *, collection: str, err: bool) -> None:
    """The summary, and each file that was left out or that lacks text on some pages."""
    for outcome in summary.failed:
        click.echo(terminal(f"skipped {outcome.error}"), err=True)
    for outcome in summary.outcomes:
        if outcome.status == ingesting.DELETED:
            click.echo(terminal(f"deleted {outcome.name}: {ingesting.GONE}"), err=True)
        if outcome.status == ingesting.MOVED:
            click.echo(terminal(f"moved {outcome.moved_from} to {outcome.name}"), err=True)
        if outcome.pages_without_text:
            pages = ", ".join(map(str, outcome.pages_without_text))
            name = terminal(outcome.name)
            click.echo(
                f"note: {name}: no text on page {pages}; scans are read where the package"
                " tesseract-ocr is installed on the server (counterpoint doctor tells)",
                err=True,
            )
    click.echo(f"{summary.line()} (collection {collection})", err=err)
