"""`counterpoint ask`: a question to the team, its steps as they happen, the answer with sources."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import click
import httpx
from rich.console import Console

from graphs import events
from server import client as clients
from server import files, loop, progress, render, settings
from server.commands import ingest, options, thread_files
from server.exits import CommandFailed, Exit
from server.wire.progress_text import parsed


@click.command("ask")
@click.argument("question")
@click.option(
    "--docs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Files or folders to answer from; read first, and again only what has changed.",
)
@click.option(
    "--file",
    "given",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file for this question: a document to be read, such as a PDF, or one for the coder "
    "to work with, such as a CSV; may be given again.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the figures and files that the answer has.",
)
@options.collection
@click.option("--agent", default="team", show_default=True, help="Who answers.")
@options.url
@options.as_json
@options.debug
def command(
    question: str,
    docs: tuple[Path, ...],
    given: tuple[Path, ...],
    save: Path | None,
    collection: str | None,
    agent: str,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Ask the team a QUESTION (`-`: from standard input).

    With --docs the answer comes from those documents alone, unless --collection names one to add
    them to. With --file the coder reads the files and works with them; what it makes goes into the
    folder of --save, and is gone from the server when the question is answered. Exit code 0 for an
    answer, also a partial one; 1 where the run failed.
    """
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise CommandFailed("the question is empty; write it behind `ask`", code=Exit.USAGE)
    found = _collected(docs)
    alone = bool(docs) and collection is None
    if alone:
        collection = folder_collection(docs)
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    return loop.run(
        _ask(
            question,
            found=found,
            alone=alone,
            given=given,
            save=save,
            agent=agent,
            configured=configured,
            url=url,
            as_json=as_json,
        )
    )


def folder_collection(docs: Sequence[Path]) -> str:
    """A collection of these paths' own, the same each time."""
    paths = sorted(str(path.resolve()) for path in docs)
    digest = hashlib.sha256("\0".join(paths).encode("utf-8", "surrogateescape")).hexdigest()
    return f"docs-{digest[:16]}"


def _collected(docs: Sequence[Path]) -> list[files.File]:
    try:
        return files.collect(docs)
    except files.NothingToRead as error:
        raise CommandFailed(f"--docs: {error}", code=Exit.USAGE) from None


async def _ask(
    question: str,
    *,
    found: list[files.File],
    alone: bool,
    given: Sequence[Path],
    save: Path | None,
    agent: str,
    configured: settings.Settings,
    url: str | None,
    as_json: bool,
) -> Exit:
    console = Console(stderr=True)
    bar = progress.for_console(console)
    async with clients.connect(configured, url=url, progress=bar) as client:
        if found:
            # In a collection of their own, what has left the folder would go on answering.
            summary = await ingest.with_bar(
                client, found, collection=configured.collection, console=console, follow=alone
            )
            ingest.tell(summary, collection=configured.collection, err=True)
            if summary.exit is Exit.FAILED:
                raise CommandFailed("none of the documents could be read")
        async with thread_files.on_thread(client, given) as (thread_id, names):
            end = await _follow(
                client,
                {
                    "assistant_id": agent,
                    "input": {"messages": [_message(question, names)]},
                    "config": {"configurable": {"collection": configured.collection}},
                    "stream_mode": ["custom"],
                    # Nobody is left to read the answer when this command is stopped.
                    "on_disconnect": "cancel",
                },
                thread_id=thread_id,
                as_json=as_json,
            )
            await thread_files.save(client, end.artifacts, folder=save, as_json=as_json)
        return Exit.OK


def _message(question: str, names: Sequence[str]) -> dict[str, str]:
    attached = "".join(f"\n[attached: {name}]" for name in names)
    return {"role": "user", "content": question + attached}


async def _follow(
    client: httpx.AsyncClient,
    request: dict[str, object],
    *,
    thread_id: str | None,
    as_json: bool,
) -> events.RunFinished:
    end: events.RunFinished | events.RunFailed | None = None
    waits = False

    def paused() -> None:
        nonlocal waits
        if not waits:
            click.echo(
                "A person decides: counterpoint approvals list, or /console/approvals in a "
                "browser. This waits; Ctrl-C leaves it there.",
                err=True,
            )
        waits = True

    async for raw in clients.run_events(client, request, thread_id=thread_id, on_pause=paused):
        if as_json:
            click.echo(json.dumps(raw))
        event = parsed(raw)
        if event is None:
            continue
        if isinstance(event, (events.RunFinished, events.RunFailed)):
            end = event
        elif not as_json and (line := render.step(event)):
            click.echo(click.style(line, dim=True))
    match end:
        case events.RunFinished():
            if not as_json:
                for line in render.answer(end):
                    click.echo(line)
            return end
        case events.RunFailed():
            raise CommandFailed(end.message)
        case None:
            raise CommandFailed("the run ended without an answer; the server's log says more")
        case _:
            assert_never(end)
