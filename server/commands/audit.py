"""`counterpoint audit`: who asked, allowed and did what, checked and taken away."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from server import client as clients
from server import loop, settings
from server.audit.chain import Check, Head
from server.audit.entry import Entry, Kind, read
from server.commands import options, repairs
from server.exits import CommandFailed, Exit

_COLUMNS = {
    "no.": "seq",
    "at": "at",
    "what": "what",
    "who": "who",
    "via": "via",
    "tool": "tool",
    "arguments": "args",
    "approval": "approval_id",
}


@click.group("audit")
def group() -> None:
    """Look at the audit log of a server that runs, check it, take it away."""


@group.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these.")
@click.option("--who", help="Only what this person did.")
@click.option("--tool", help="Only about this tool.")
@click.option("--run", "run_id", help="Only about this run.")
@click.option("--approval", "approval_id", help="Only about this approval.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), help="Only entries before this number.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def list_(
    tenant: str | None, url: str | None, data_dir: Path | None, *, as_json: bool, **filters: Any
) -> int:
    """List entries, the newest first."""
    params = {name: value for name, value in filters.items() if value is not None}
    found = repairs.asked("GET", "/audit", url=url, data_dir=data_dir, tenant=tenant, params=params)
    if as_json:
        repairs.show_json(found)
        return Exit.OK
    repairs.show_table([_row(one) for one in found["items"]], _COLUMNS)
    click.echo(f"{found['total']} entries in all", err=True)
    return Exit.OK


@group.command("verify")
@click.option("--expect", metavar="SEQ:HASH", help="An entry as you noted it earlier.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An earlier export: checked itself, and the log against its last entry.",
)
@repairs.tenant
@options.url
@options.as_json
@options.debug
def verify(
    expect: str | None,
    against: Path | None,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Check every entry, and name those that were changed, removed or moved.

    Ends with 1 where one was. Note the last line's number and hash somewhere else: a log that was
    rewritten as a whole is found out by nothing but such a note.
    """
    noted = _noted(expect) if expect else None
    problems: list[dict[str, Any]] = []
    if against is not None:
        exported = _export(against)
        problems += [{"seq": one.seq, "what": f"{against}: {one.what}"} for one in exported.faults]
        noted = noted or exported.last
    params = {"seq": noted.seq, "hash": noted.hash} if noted is not None and noted.seq else {}
    found = repairs.asked(
        "GET", "/audit/verify", url=url, data_dir=data_dir, tenant=tenant, params=params
    )
    found["problems"] = problems + found["problems"]
    found["ok"] = not found["problems"]
    if as_json:
        repairs.show_json(found)
    else:
        for one in found["problems"]:
            click.echo(one["what"])
        head = found["head"]
        state = "whole" if found["ok"] else "NOT whole"
        click.echo(f"{found['entries']} entries, {state}; the last is {head['seq']}:{head['hash']}")
    return Exit.OK if found["ok"] else Exit.FAILED


@group.command("export")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; absent: the output."
)
@click.option("--after", type=click.IntRange(0), default=0, help="Only entries behind this number.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def export(
    output: Path | None,
    after: int,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Write all entries, the oldest first, one JSON object a line."""
    del as_json  # It is JSON in any case.
    configured = settings.load(data_dir=data_dir)
    options.invocation().data_dir = configured.data_dir

    async def copy(to: BinaryIO) -> None:
        async with (
            clients.running(configured, url=url, tenant=tenant) as client,
            client.stream("GET", "/audit/export", params={"after": after}) as response,
        ):
            await clients.succeeded(response)
            async for piece in response.aiter_bytes():
                to.write(piece)

    if output is None:
        loop.run(copy(sys.stdout.buffer))
        return Exit.OK
    # Whole or not at all.
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            loop.run(copy(file))
        shutil.move(part, output)
    except OSError as error:
        raise CommandFailed(f"--output: {output}: {error.strerror}", code=Exit.USAGE) from None
    finally:
        part.unlink(missing_ok=True)
    return Exit.OK


def _export(path: Path) -> Check:
    """The check of a file; what stands before its first entry is taken from that."""
    checking: Check | None = None
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                entry = read(json.loads(line))
            except ValueError as error:
                raise CommandFailed(
                    f"--against: {path}, line {number}: {error}", code=Exit.USAGE
                ) from None
            checking = checking or _before(entry)
            checking.add(entry)
    return checking or Check(tenant="")


def _before(entry: Entry) -> Check:
    tenant = str(entry.fields.get("tenant", ""))
    if entry.seq == 1:
        return Check(tenant=tenant)
    return Check(tenant=tenant, last=Head(seq=entry.seq - 1, hash=entry.prev))


def _noted(text: str) -> Head:
    seq, sign, hashed = text.partition(":")
    if not sign or not seq.isdecimal():
        raise CommandFailed("--expect: write SEQ:HASH, as `audit verify` shows it", code=Exit.USAGE)
    return Head(seq=int(seq), hash=hashed)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    args = one.get("args_after") or one.get("args_before") or {}
    text = json.dumps(args, ensure_ascii=False) if args else one.get("message", "")
    what = " ".join(word for word in (one["kind"], one.get("choice", "")) if word)
    return {**one, "what": what, "args": text if len(text) <= 100 else f"{text[:99]}…"}
