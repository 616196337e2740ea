"""`counterpoint approvals`: what waits for a person, shown and decided from the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from server.commands import approval_text, options, repairs
from server.exits import CommandFailed, Exit
from server.wire.printable import terminal

VIA = "cli"
_STATUSES = (
    "pending",
    "approved",
    "edited",
    "rejected",
    "responded",
    "expired",
    "cancelled",
    "all",
)


@click.group("approvals")
def group() -> None:
    """See what waits for a person, and decide it, on a server that runs."""


@group.command("list")
@click.option(
    "--status",
    type=click.Choice(_STATUSES),
    default="pending",
    show_default=True,
    help="Only those in this state.",
)
@click.option("--tool", help="Only calls of this tool.")
@click.option("--agent", help="Only those of this agent.")
@click.option("--run", "run_id", help="Only those of this run.")
@click.option("--thread", "thread_id", help="Only those of this thread.")
@click.option("--mine", is_flag=True, help="Only those that you asked for.")
@click.option("--claimable", is_flag=True, help="Only those that are yours to decide.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@repairs.tenant
@options.url
@options.as_json
@options.debug
def list_(
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
    **filters: Any,
) -> int:
    """List approvals, those that wait longest first."""
    params = {name: value for name, value in filters.items() if value not in (None, False)}
    found = repairs.asked(
        "GET", "/approvals", url=url, data_dir=data_dir, tenant=tenant, params=params
    )
    if as_json:
        repairs.show_json(found)
        return Exit.OK
    repairs.show_table([approval_text.row(one) for one in found["items"]], approval_text.COLUMNS)
    click.echo(approval_text.totals(found), err=True)
    return Exit.OK


@group.command("show")
@click.argument("approval_id", metavar="APPROVAL")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def show(
    approval_id: str, tenant: str | None, url: str | None, data_dir: Path | None, *, as_json: bool
) -> int:
    """Show an approval: who asked what, the arguments, the rule, the plan, the time left."""
    found = _asked("GET", approval_id, url=url, data_dir=data_dir, tenant=tenant)
    return _told(found, as_json=as_json, whole=True)


@group.command("approve")
@click.argument("approvals", metavar="APPROVAL...", nargs=-1, required=True)
@click.option("--message", help="Told to the model, and to the audit log.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def approve(
    approvals: Sequence[str],
    message: str | None,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Let calls run, with the arguments that they have now."""
    place = {"url": url, "data_dir": data_dir, "tenant": tenant}
    return _decide_all(approvals, "approve", message=message, place=place, as_json=as_json)


@group.command("reject")
@click.argument("approvals", metavar="APPROVAL...", nargs=-1, required=True)
@click.option("--message", help="Why: told to the model, and to the audit log.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def reject(
    approvals: Sequence[str],
    message: str | None,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Do not let calls run."""
    place = {"url": url, "data_dir": data_dir, "tenant": tenant}
    return _decide_all(approvals, "reject", message=message, place=place, as_json=as_json)


@group.command("respond")
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--message", required=True, help="What the model gets instead of a result.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def respond(
    approval_id: str,
    message: str,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Answer in place of the tool, which does not run."""
    place = {"url": url, "data_dir": data_dir, "tenant": tenant}
    return _decide_all([approval_id], "respond", message=message, place=place, as_json=as_json)


@group.command("edit")
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--args", "args_json", help="All arguments, as a JSON object.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change one argument.")
@click.option("--message", help="Told to the model, and to the audit log.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def edit(
    approval_id: str,
    args_json: str | None,
    changes: Sequence[str],
    message: str | None,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Let a call run with other arguments; a text becomes what the tool's schema says."""
    if not args_json and not changes:
        raise CommandFailed("edit: give --args or --set; see `approvals show`", code=Exit.USAGE)
    place = {"url": url, "data_dir": data_dir, "tenant": tenant}
    before = _asked("GET", approval_id, **place)
    args = {**(_object(args_json) if args_json else before["args"]), **_changes(changes)}
    done = _decide(before, "edit", message=message, args=args, place=place)
    return _told(done, as_json=as_json)


@group.command("claim")
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=300, show_default=True)
@repairs.tenant
@options.url
@options.as_json
@options.debug
def claim(
    approval_id: str,
    seconds: float,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Show the others that you are at it; it locks nobody out."""
    path = f"{approval_id}/claim"
    body = {"seconds": seconds}
    done = _asked("POST", path, url=url, data_dir=data_dir, tenant=tenant, json=body)
    return _told(done, as_json=as_json)


@group.command("release")
@click.argument("approval_id", metavar="APPROVAL")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def release(
    approval_id: str, tenant: str | None, url: str | None, data_dir: Path | None, *, as_json: bool
) -> int:
    """Leave it to the others."""
    done = _asked("POST", f"{approval_id}/release", url=url, data_dir=data_dir, tenant=tenant)
    return _told(done, as_json=as_json)


@group.command("watch")
@click.option("--once", is_flag=True, help="Show what waits now, and end.")
@repairs.tenant
@options.url
@options.as_json
@options.debug
def watch(
    tenant: str | None, url: str | None, data_dir: Path | None, *, once: bool, as_json: bool
) -> int:
    """Show what waits, then every change, until Ctrl-C; a cut line is taken up again."""
    from server.commands import approval_watch

    return approval_watch.watch(
        url=url, data_dir=data_dir, tenant=tenant, once=once, as_json=as_json
    )


def _decide_all(
    approvals: Sequence[str],
    choice: str,
    *,
    message: str | None,
    place: Mapping[str, Any],
    as_json: bool,
) -> int:
    done = []
    for one in approvals:
        before = _asked("GET", one, **place)
        done.append(_decide(before, choice, message=message, args=None, place=place))
        if not as_json:
            _told(done[-1], as_json=False)
    if as_json:
        repairs.show_json(done[0] if len(done) == 1 else done)
    return Exit.OK


def _decide(
    before: Mapping[str, Any],
    choice: str,
    *,
    message: str | None,
    args: Mapping[str, Any] | None,
    place: Mapping[str, Any],
) -> Any:
    body = {"decision": choice, "via": VIA, "message": message, "args": args}
    if before["status"] == "pending":
        # What the decision speaks of, should somebody edit it at this moment.
        body["args_sha256"] = before["args_sha256"]
    told = {name: value for name, value in body.items() if value is not None}
    return _asked("POST", f"{before['id']}/decision", json=told, **place)


def _asked(method: str, path: str, **request: Any) -> Any:
    return repairs.asked(method, f"/approvals/{path}", **request)


def _told(found: Mapping[str, Any], *, as_json: bool, whole: bool = False) -> int:
    if as_json:
        repairs.show_json(found)
    elif whole:
        repairs.show_fields(approval_text.fields(found))
    else:
        click.echo(terminal(approval_text.line(found)))
    return Exit.OK


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"--args: no JSON ({error})", code=Exit.USAGE) from None
    if not isinstance(found, dict):
        raise CommandFailed("--args: give a JSON object with all arguments", code=Exit.USAGE)
    return found


def _changes(given: Sequence[str]) -> dict[str, Any]:
    changed = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise CommandFailed(f"--set: {one!r} is not NAME=VALUE", code=Exit.USAGE)
        changed[name] = value
    return changed
