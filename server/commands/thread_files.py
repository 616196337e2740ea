"""Files of a question on the command line: given to a thread of its own, and saved from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
import httpx

from graphs import events
from server import client as clients
from server.artifacts import naming
from server.exits import CommandFailed, Exit
from server.wire.printable import printable


@asynccontextmanager
async def on_thread(
    client: httpx.AsyncClient, given: Sequence[Path]
) -> AsyncIterator[tuple[str | None, Sequence[str]]]:
    """A thread with the files, gone at the end, and their names there; None without files.

    Raises CommandFailed.
    """
    if not given:
        yield None, ()
        return
    try:
        contents = [await asyncio.to_thread(path.read_bytes) for path in given]
    except OSError as error:
        raise CommandFailed(f"--file: {error}", code=Exit.USAGE) from None
    made = await clients.call(client, "POST", "/threads", json={})
    thread_id = str(made["thread_id"])
    try:
        sent = [
            ("files", (path.name, content)) for path, content in zip(given, contents, strict=True)
        ]
        kept = await clients.call(
            client, "POST", f"/threads/{thread_id}/files", files=sent, timeout=clients.READ_SECONDS
        )
        yield thread_id, [str(one["name"]) for one in kept["items"]]
    finally:
        with contextlib.suppress(CommandFailed):
            await clients.call(client, "DELETE", f"/threads/{thread_id}")


async def save(
    client: httpx.AsyncClient,
    artifacts: Sequence[events.Artifact],
    *,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Write what an answer has into a folder, nothing over what is there. Raises CommandFailed."""
    if folder is None:
        if artifacts and not as_json:
            click.echo("The files are gone now; --save FOLDER keeps them.", err=True)
        return
    for one in artifacts:
        try:
            got = await client.get(f"/artifacts/{one.id}")
        except httpx.HTTPError as error:
            raise clients.lost(error) from error
        await clients.succeeded(got)
        try:
            path = await asyncio.to_thread(_written, folder, one.name, got.content)
        except OSError as error:
            raise CommandFailed(f"--save: {error}", code=Exit.USAGE) from None
        click.echo(f"Saved {printable(str(path))}", err=True)


def _written(folder: Path, name: str, content: bytes) -> Path:
    """Where the content lies now: under its name, or with a number where there is another file."""
    folder.mkdir(parents=True, exist_ok=True)
    for candidate in naming.candidates(naming.safe_name(name)):
        path = folder / candidate
        with contextlib.suppress(FileExistsError), path.open("xb") as file:
            file.write(content)
            return path
    raise AssertionError("names never end")
