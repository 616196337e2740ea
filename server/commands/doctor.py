"""`counterpoint doctor`: each part, found or not, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from server import doctor, loop, settings
from server.commands import options
from server.exits import Exit
from server.finding import Finding, State

_COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red"}


@click.command("doctor")
@options.data_dir
@options.as_json
@options.debug
def command(data_dir: Path | None, *, as_json: bool) -> int:
    """Check each part. It starts nothing that stays; exit code 1 where something fails."""
    configured = settings.load(data_dir=data_dir)
    findings = loop.run(doctor.examine(configured))
    well = all(finding.state is not State.FAIL for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": well, "items": [asdict(one) for one in findings]}))
    else:
        for finding in findings:
            _print(finding)
    return Exit.OK if well else Exit.FAILED


def _print(finding: Finding) -> None:
    mark = click.style(f"{finding.state.value:<5}", fg=_COLOURS[finding.state])
    click.echo(f"{mark} {finding.part:<14} {finding.detail}")
    if finding.remedy and finding.state is not State.OK:
        click.echo(f"{'':<21}-> {finding.remedy}")
