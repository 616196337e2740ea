"""`counterpoint models`: weights fetched ahead of time, and models served, chosen, measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from models import catalogue
from models.artifacts import Artifact, WeightsError
from models.fetch import Presence, fetch, presence
from server import progress, settings
from server.commands.models_bench import bench
from server.commands.models_recommend import recommend
from server.commands.models_serve import serve

CHOICES: dict[str, tuple[Artifact, ...]] = {
    "chat": (catalogue.CHAT,),
    "chat-small": (catalogue.CHAT_SMALL,),
    "embedder": catalogue.EMBEDDER,
    "all": catalogue.ALL,
    # Each by the name that `list` and a failed download tell.
    **{artifact.name: (artifact,) for artifact in catalogue.ALL},
}


@click.group("models")
def group() -> None:
    """Weights that run on this machine, and vLLM: what fits, serve it, measure it."""


@group.command("pull")
@click.argument("names", nargs=-1, type=click.Choice(tuple(CHOICES)), metavar="[NAME]...")
@click.option(
    "--from-folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the files from this folder; nothing is downloaded.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def pull(names: tuple[str, ...], from_folder: Path | None, *, as_json: bool) -> None:
    """Fetch weights: those that `counterpoint up` needs, or those NAMEd.

    A NAME is chat, chat-small, embedder or all, or one that `list` shows.
    """
    configured = settings.load()
    artifacts = _chosen(names)
    console = Console(stderr=as_json)
    try:
        paths = asyncio.run(
            _pull(
                artifacts,
                configured=configured,
                from_folder=from_folder or configured.models_from,
                console=console,
            )
        )
    except WeightsError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command goes on from where it was") from None
    if as_json:
        click.echo(json.dumps({"items": [_pulled(*pair) for pair in paths]}))


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_(*, as_json: bool) -> None:
    """What there is, what is here, and whether it is the file it should be."""
    folder = settings.load().models_dir
    rows = asyncio.run(_states(folder))
    if as_json:
        items = [_listed(artifact, state, folder=folder) for artifact, state in rows]
        click.echo(json.dumps({"folder": str(folder), "items": items}))
        return
    table = Table(box=None)
    for heading in ("name", "state", "size", "licence"):
        table.add_column(heading, no_wrap=True)
    for heading in ("purpose", "file"):
        table.add_column(heading, overflow="fold")
    for artifact, state in rows:
        table.add_row(
            artifact.name,
            state.value,
            progress.size(artifact.size),
            artifact.licence,
            artifact.purpose,
            artifact.filename,
        )
    console = Console()
    console.print(f"In {folder}:", markup=False, highlight=False, soft_wrap=True)
    console.print(table)


def _chosen(names: Iterable[str]) -> tuple[Artifact, ...]:
    picked = [artifact for name in names for artifact in CHOICES[name]] or catalogue.NEEDED
    return tuple(dict.fromkeys(picked))


async def _pull(
    artifacts: Iterable[Artifact],
    *,
    configured: settings.Settings,
    from_folder: Path | None,
    console: Console,
) -> list[tuple[Artifact, Path]]:
    bar = progress.for_console(console)
    pulled = []
    for artifact in artifacts:
        path = await fetch(
            artifact,
            configured.models_dir,
            progress=bar,
            from_folder=from_folder,
            offline=configured.offline,
        )
        bar.note(f"{artifact.name} is ready: {path}")
        pulled.append((artifact, path))
    return pulled


async def _states(folder: Path) -> list[tuple[Artifact, Presence]]:
    return [(artifact, await presence(artifact, folder)) for artifact in catalogue.ALL]


def _pulled(artifact: Artifact, path: Path) -> dict[str, Any]:
    return {"name": artifact.name, "path": str(path), "sha256": artifact.sha256}


def _listed(artifact: Artifact, state: Presence, *, folder: Path) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "state": state.value,
        "path": str(folder / artifact.filename),
        "size": artifact.size,
        "sha256": artifact.sha256,
        "licence": artifact.licence,
        "purpose": artifact.purpose,
    }


for _command in (serve, recommend, bench):
    group.add_command(_command)
