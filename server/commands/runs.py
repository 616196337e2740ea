"""`counterpoint runs`: where each run is and why, and what sets it going again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from server.commands import options, repairs
from server.exits import Exit

_COLUMNS = {
    "run": "run_id",
    "status": "status",
    "graph": "graph",
    "tenant": "tenant",
    "thread": "thread_id",
    "began": "created_at",
    "attempts": "attempts",
    "error": "error",
}
_STATUSES = ("pending", "running", "interrupted", "success", "error", "cancelled", "timeout")


@click.group("runs")
def group() -> None:
    """Look at runs and mend them, on a server that runs."""


@group.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--tenant", help="Only this tenant's.")
@options.url
@options.as_json
@options.debug
def list_(
    status: str | None,
    limit: int,
    offset: int,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """List runs, the newest first."""
    given = {"status": status, "tenant": tenant, "limit": limit, "offset": offset}
    params = {name: value for name, value in given.items() if value is not None}
    found = repairs.asked("GET", "/admin/runs", url=url, data_dir=data_dir, params=params)
    if as_json:
        repairs.show_json(found)
        return Exit.OK
    repairs.show_table(found["items"], _COLUMNS)
    click.echo(f"{len(found['items'])} runs", err=True)
    return Exit.OK


@group.command("show")
@click.argument("run_id", metavar="RUN")
@options.url
@options.as_json
@options.debug
def show(run_id: str, url: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Show a run: what was asked, by whom, its state, its worker, its error."""
    return _told(_look(run_id, url=url, data_dir=data_dir), as_json=as_json)


@group.command("explain")
@click.argument("run_id", metavar="RUN")
@options.url
@options.as_json
@options.debug
def explain(run_id: str, url: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Say in words why a run is where it is, and what it waits for."""
    found = _look(run_id, url=url, data_dir=data_dir)
    if as_json:
        repairs.show_json(found)
        return Exit.OK
    click.echo(f"{found['status']}: {found['why']}")
    return Exit.OK


@group.command("requeue")
@click.argument("run_id", metavar="RUN")
@options.url
@options.as_json
@options.debug
def requeue(run_id: str, url: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Put a run that waits on the queue once more; of one that failed, make a new run."""
    done = _change(run_id, "requeue", url=url, data_dir=data_dir)
    if done["run_id"] != run_id:
        click.echo(f"run {run_id} is over; the new run is {done['run_id']}", err=True)
    return _told(done, as_json=as_json)


@group.command("fail")
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Told to whoever follows the run.")
@options.url
@options.as_json
@options.debug
def fail(run_id: str, reason: str, url: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """End a run as failed, whoever holds it."""
    done = _change(run_id, "fail", url=url, data_dir=data_dir, json={"reason": reason})
    return _told(done, as_json=as_json)


@group.command("continue")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    required=True,
    metavar="NAME=MAXIMUM",
    help="A new maximum, such as max_steps=80; several may be given.",
)
@options.url
@options.as_json
@options.debug
def go_on(
    run_id: str, limits: Sequence[str], url: str | None, data_dir: Path | None, *, as_json: bool
) -> int:
    """Let a run that a limit has stopped go on with a higher one, from where it stopped."""
    raised = {}
    for one in limits:
        name, _, value = one.partition("=")
        try:
            raised[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(
                f"{one!r}: write NAME=MAXIMUM, such as max_steps=80", param_hint="--limit"
            ) from None
    made = repairs.asked(
        "POST", f"/runs/{run_id}/continue", url=url, data_dir=data_dir, json={"limits": raised}
    )
    click.echo(f"run {made['run_id']} goes on where {run_id} stopped", err=True)
    if as_json:
        repairs.show_json(made)
    return Exit.OK


@group.command("cancel")
@click.argument("run_id", metavar="RUN")
@click.option("--rollback", is_flag=True, help="Take its steps back, and forget it.")
@options.url
@options.as_json
@options.debug
def cancel(
    run_id: str, url: str | None, data_dir: Path | None, *, rollback: bool, as_json: bool
) -> int:
    """Ask for a run's end; a worker that holds it hears of it within seconds."""
    action = {"action": "rollback" if rollback else "interrupt"}
    return _told(
        _change(run_id, "cancel", url=url, data_dir=data_dir, json=action), as_json=as_json
    )


def _look(run_id: str, *, url: str | None, data_dir: Path | None) -> Any:
    return repairs.asked("GET", f"/admin/runs/{run_id}", url=url, data_dir=data_dir)


def _change(
    run_id: str, what: str, *, url: str | None, data_dir: Path | None, **request: Any
) -> Any:
    path = f"/admin/runs/{run_id}/{what}"
    return repairs.asked("POST", path, url=url, data_dir=data_dir, **request)


def _told(found: Any, *, as_json: bool) -> int:
    if as_json:
        repairs.show_json(found)
    else:
        repairs.show_fields(found)
    return Exit.OK
