"""`counterpoint sandbox`: run code as the coder would, and see what this machine holds off."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.table import Table

from server import sandboxing, settings
from server.commands import options
from tools.run_python import ending
from tools.sandbox import guest_packages
from tools.sandbox.abuse import ATTACKS, Attack, Finding, assault, assault_session
from tools.sandbox.conformance import Kept, kept
from tools.sandbox.find import Unavailable, python_to_equip
from tools.sandbox.network_abuse import OUTWARD, session_attacks
from tools.sandbox.sandbox import (
    Execution,
    Isolation,
    Limits,
    Outcome,
    Sandbox,
    SandboxError,
    checked_path,
)


@click.group("sandbox", help="Run code in the sandbox, and check what the sandbox holds off here.")
def group() -> None:
    pass


@group.command("run")
@click.argument("source", type=click.File("rb"), metavar="FILE", default="-")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write figures, tables and files that the code makes into this folder.",
)
def run(source: BinaryIO, *, as_json: bool, out: Path | None) -> None:
    """Run FILE (`-`: standard input) exactly as the coder would.

    Exit code 0 when the code finished, 1 when it did not.
    """
    code = source.read().decode("utf-8", "replace")
    execution, files = asyncio.run(_run(code, with_files=out is not None))
    if out is not None:
        _write(files | _figures(execution), out)
    if as_json:
        _print_json(_as_json(execution))
    else:
        click.echo(execution.stdout, nl=False)
        for output in execution.outputs:
            click.echo("\n".join(part for part in (output.text, *output.left_out) if part))
        click.echo(execution.stderr, nl=False, err=True)
        if note := ending(execution):
            click.echo(note, err=True)
    sys.exit(0 if execution.outcome is Outcome.FINISHED else 1)


@group.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(*, as_json: bool) -> None:
    """Try what the sandbox promises, attack it, and print what holds; exit code 1 where anything
    fails."""
    checked = asyncio.run(_check())
    if as_json:
        _print_json(_report(checked))
    else:
        _print_tables(checked)
    sys.exit(0 if checked.ok else 1)


@group.command("install")
@options.as_json
def install(*, as_json: bool) -> None:
    """Install what code may import: numpy, pandas, matplotlib and others, apart from the server.

    About 170 MB to download and 760 MB on disk. Run it again to have newer ones.
    """
    folder = asyncio.run(_install())
    if as_json:
        _print_json({"folder": str(folder)})
    else:
        click.echo("Code may import them once the server is started again")


async def _run(code: str, *, with_files: bool) -> tuple[Execution, dict[str, bytes]]:
    async with _opened() as (sandbox, _):
        try:
            session = await sandbox.create()
            execution = await session.run(code)
            entries = await session.files() if with_files else ()
            return execution, {one.path: await session.get(one.path) for one in entries}
        except (ValueError, SandboxError) as error:
            raise click.ClickException(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What `sandbox check` found."""

    isolation: Isolation
    promises: list[Kept]
    attacks: list[Finding]

    @property
    def ok(self) -> bool:
        return all(one.holds for one in self.promises) and all(one.holds for one in self.attacks)

    @property
    def verdict(self) -> str:
        """What the isolation is worth, in a line."""
        kind = self.isolation.kind
        through = [one.name for one in self.attacks if not one.holds]
        broken = [one.name for one in self.promises if not one.holds]
        missing = [one.name for one in self.isolation.guarantees if not one.holds]
        if through:
            return f"{kind} does not hold off {'; '.join(through)}: run no code that is not yours"
        said = f"{kind} holds off all {len(self.attacks)} attacks"
        if broken:
            return f"{said}, but is of little use: {'; '.join(broken)}"
        if missing:
            return f"{said}, without a guarantee of {', '.join(missing)}; strict would run nothing"
        return f"{said}, and all its guarantees hold"


async def _check() -> _Checked:
    async with _opened() as (sandbox, limits):
        findings = []
        isolation = sandbox.describe()
        promises = await kept(sandbox, limits=limits)
        attacks, in_sessions = _attacks(isolation, asks=bool(_settings().sandbox.hosts))
        for attack in attacks:
            findings.append(await assault(sandbox, attack, limits=limits))
        for attack in in_sessions:
            held = await assault_session(sandbox, attack, limits=limits)
            findings.append(replace(held, name=f"{attack.name}, in a session"))
        return _Checked(isolation=isolation, promises=promises, attacks=findings)


def _attacks(isolation: Isolation, *, asks: bool) -> tuple[tuple[Attack, ...], tuple[Attack, ...]]:
    """Those for single runs and those for sessions."""
    if isolation.kind == sandboxing.E2B:
        # What is inside a virtual machine is its own affair; what comes out of it is ours.
        outward = tuple(attack for attack in ATTACKS if attack.name in OUTWARD)
        return outward, outward
    return ATTACKS, session_attacks(ATTACKS, asks=asks)


async def _install() -> Path:
    configured = _settings()
    python = python_to_equip()
    if python is None:
        raise click.ClickException("there is no Python that the sandbox could use")
    folder = sandboxing.packages_folder(configured)
    click.echo(f"Installing packages for Python {python.version} into {folder}", err=True)
    try:
        target = await guest_packages.install(
            folder, python, packages=(*guest_packages.USEFUL, *configured.sandbox.packages)
        )
        async with _opened() as (sandbox, _):
            await guest_packages.keep_fonts(sandbox, target)
    except (SandboxError, OSError) as error:
        raise click.ClickException(str(error)) from None
    return folder


def _figures(execution: Execution) -> dict[str, bytes]:
    """What the code showed, as files."""
    found: dict[str, bytes] = {}
    for number, output in enumerate(execution.outputs, start=1):
        forms = (("png", output.png), ("svg", output.svg.encode()), ("html", output.html.encode()))
        found |= {f"output-{number}.{ending_}": content for ending_, content in forms if content}
    return found


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / checked_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _settings() -> settings.Settings:
    try:
        return settings.load()
    except settings.ConfigurationError as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Sandbox, Limits]]:
    configured = _settings()
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
        "outputs": [
            {
                "kind": output.kind.value,
                "text": output.text,
                "html": output.html,
                "svg": output.svg,
                "png": base64.b64encode(output.png).decode(),
                "left_out": output.left_out,
            }
            for output in execution.outputs
        ],
    }


def _report(checked: _Checked) -> dict[str, Any]:
    return {
        "kind": checked.isolation.kind,
        "guarantees": [
            {"name": each.name, "holds": each.holds, "detail": each.detail}
            for each in checked.isolation.guarantees
        ],
        "promises": [
            {"name": each.name, "holds": each.holds, "detail": each.detail}
            for each in checked.promises
        ],
        "attacks": [
            {"name": each.name, "holds": each.holds, **_as_json(each.execution)}
            for each in checked.attacks
        ],
        "verdict": checked.verdict,
        "ok": checked.ok,
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value))


def _print_tables(checked: _Checked) -> None:
    console = Console()
    isolation = checked.isolation
    promises = Table("holds", "what", "how", title=f"Isolation: {isolation.kind}")
    for guarantee in isolation.guarantees:
        promises.add_row("yes" if guarantee.holds else "NO", guarantee.name, guarantee.detail)
    attacks = Table("held off", "attack", "came to", "seconds", title="Attacks")
    for finding in checked.attacks:
        attacks.add_row(
            "yes" if finding.holds else "NO",
            finding.name,
            finding.execution.outcome.value,
            f"{finding.execution.seconds:.2f}",
        )
    console.print(promises)
    used = Table("kept", "promise", "instead", title="Conformance")
    for one in checked.promises:
        used.add_row("yes" if one.holds else "NO", one.name, one.detail)
    console.print(used)
    console.print(attacks)
    console.print(checked.verdict, markup=False, soft_wrap=True)
