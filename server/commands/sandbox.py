"""`counterpoint sandbox`: run code as the coder would, and see what this machine holds off."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

import click
import orjson
from rich.console import Console
from rich.table import Table

from server import sandboxing, settings
from tools.run_python import ending
from tools.sandbox.abuse import ATTACKS, Finding, assault
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import Execution, Isolation, Limits, Outcome, Sandbox


@click.group("sandbox", help="Run code in the sandbox, and check what the sandbox holds off here.")
def group() -> None:
    pass


@group.command("run")
@click.argument("source", type=click.File("rb"), metavar="FILE", default="-")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(source: BinaryIO, *, as_json: bool) -> None:
    """Run FILE (`-`: standard input) exactly as the coder would.

    Exit code 0 when the code finished, 1 when it did not.
    """
    code = source.read().decode("utf-8", "replace")
    execution = asyncio.run(_run(code))
    if as_json:
        _print_json(_as_json(execution))
    else:
        click.echo(execution.stdout, nl=False)
        click.echo(execution.stderr, nl=False, err=True)
        if note := ending(execution):
            click.echo(note, err=True)
    sys.exit(0 if execution.outcome is Outcome.FINISHED else 1)


@group.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(*, as_json: bool) -> None:
    """Attack the sandbox on this machine and print what holds; exit code 1 where anything fails."""
    isolation, findings = asyncio.run(_check())
    if as_json:
        _print_json(_report(isolation, findings))
    else:
        _print_tables(isolation, findings)
    sys.exit(0 if all(finding.holds for finding in findings) else 1)


async def _run(code: str) -> Execution:
    async with _opened() as (sandbox, _):
        try:
            return await sandbox.run(code)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


async def _check() -> tuple[Isolation, list[Finding]]:
    async with _opened() as (sandbox, limits):
        findings = [await assault(sandbox, attack, limits=limits) for attack in ATTACKS]
        return sandbox.describe(), findings


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Sandbox, Limits]]:
    try:
        configured = settings.load()
    except settings.ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    limits = sandboxing.limits_of(configured)
    sandbox = await sandboxing.opened(configured)
    if isinstance(sandbox, Unavailable):
        raise click.ClickException(f"no sandbox here: {sandbox.reason}. {sandbox.remedy}")
    try:
        yield sandbox, limits
    finally:
        await sandbox.close()


def _as_json(execution: Execution) -> dict[str, Any]:
    return {
        "stdout": execution.stdout,
        "stderr": execution.stderr,
        "outcome": execution.outcome.value,
        "exit_code": execution.exit_code,
        "seconds": round(execution.seconds, 3),
        "output_truncated": execution.output_truncated,
    }


def _report(isolation: Isolation, findings: list[Finding]) -> dict[str, Any]:
    return {
        "kind": isolation.kind,
        "guarantees": [
            {"name": each.name, "holds": each.holds, "detail": each.detail}
            for each in isolation.guarantees
        ],
        "attacks": [
            {"name": each.name, "holds": each.holds, **_as_json(each.execution)}
            for each in findings
        ],
        "ok": all(finding.holds for finding in findings),
    }


def _print_json(value: object) -> None:
    click.echo(orjson.dumps(value).decode())


def _print_tables(isolation: Isolation, findings: list[Finding]) -> None:
    console = Console()
    promises = Table("holds", "what", "how", title=f"Isolation: {isolation.kind}")
    for guarantee in isolation.guarantees:
        promises.add_row("yes" if guarantee.holds else "NO", guarantee.name, guarantee.detail)
    attacks = Table("held off", "attack", "came to", "seconds", title="Attacks")
    for finding in findings:
        attacks.add_row(
            "yes" if finding.holds else "NO",
            finding.name,
            finding.execution.outcome.value,
            f"{finding.execution.seconds:.2f}",
        )
    console.print(promises)
    console.print(attacks)
