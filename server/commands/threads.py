"""`counterpoint threads`: what there is, what state it is in, and letting go of one that hangs."""

from __future__ import annotations

from pathlib import Path

import click

from server.commands import options, repairs
from server.exits import Exit

_COLUMNS = {
    "thread": "thread_id",
    "status": "status",
    "began": "created_at",
    "changed": "updated_at",
    "metadata": "metadata",
}
_STATUSES = ("idle", "busy", "interrupted", "error")


@click.group("threads")
def group() -> None:
    """Look at threads and let go of one that hangs, on a server that runs."""


@group.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--source", help="Those that this made, such as chat_completions.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def list_(
    status: str | None,
    source: str | None,
    limit: int,
    offset: int,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """List threads, the newest first; those of chat completions with --source."""
    wanted = {"limit": limit, "offset": offset, "select": list(_COLUMNS.values())}
    found = repairs.asked(
        "POST",
        "/threads/search",
        url=url,
        data_dir=data_dir,
        tenant=tenant,
        json={
            **wanted,
            **({"status": status} if status else {}),
            **({"metadata": {"source": source}} if source else {}),
        },
    )
    if as_json:
        repairs.show_json({"items": found})
        return Exit.OK
    repairs.show_table(found, _COLUMNS)
    click.echo(f"{len(found)} threads", err=True)
    return Exit.OK


@group.command("show")
@click.argument("thread_id", metavar="THREAD")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def show(
    thread_id: str, tenant: str | None, url: str | None, data_dir: Path | None, *, as_json: bool
) -> int:
    """Show a thread: its state, its metadata, its values, what it waits for."""
    found = repairs.asked("GET", f"/threads/{thread_id}", url=url, data_dir=data_dir, tenant=tenant)
    if as_json:
        repairs.show_json(found)
    else:
        repairs.show_fields(found)
    return Exit.OK


@group.command("unlock")
@click.argument("thread_id", metavar="THREAD")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def unlock(
    thread_id: str, tenant: str | None, url: str | None, data_dir: Path | None, *, as_json: bool
) -> int:
    """Let go of a thread whose run is over or has lost its worker.

    One that a live worker holds is left alone, and the exit code is 2.
    """
    path = f"/admin/threads/{thread_id}/unlock"
    done = repairs.asked("POST", path, url=url, data_dir=data_dir, tenant=tenant)
    if as_json:
        repairs.show_json(done)
        return Exit.OK
    for one in done["released"]:
        click.echo(f"let go of run {one['run_id']}: {one['why']}")
    if not done["released"]:
        click.echo("nothing held it that should not")
    click.echo(f"{done['waiting']} runs wait or run on it", err=True)
    return Exit.OK
