"""`counterpoint trace RUN`: what a run did and when, as a waterfall."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from server.commands import options, repairs
from server.exits import Exit
from server.wire.printable import terminal


@click.command("trace")
@click.argument("run_id", metavar="RUN")
@click.option("--full", is_flag=True, help="With each checkpoint.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def command(
    run_id: str,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    full: bool,
    as_json: bool,
) -> int:
    """Show what a run did and when: agents, steps, models, tools, searches, people."""
    found = repairs.asked("GET", f"/runs/{run_id}/trace", url=url, data_dir=data_dir, tenant=tenant)
    if as_json:
        repairs.show_json(found)
        return Exit.OK
    from server.telemetry import waterfall

    click.echo(f"run {found['run_id']}: {found['status']}; trace {found['trace_id']}")
    width = shutil.get_terminal_size((120, 24)).columns
    for line in waterfall.lines(found["spans"], width=width, full=full):
        click.echo(terminal(line))
    if found["left_out"]:
        click.echo(f"{found['left_out']} batches of spans found no room", err=True)
    return Exit.OK
