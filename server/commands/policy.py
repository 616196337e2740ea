"""`counterpoint policy`: what the rules say to a call, and what changed rules would change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from guardrails import policy
from server import policy_section, replay, settings
from server.commands import options, repairs
from server.exits import CommandFailed, Exit
from server.sections import CallerRole

_COLUMNS = {
    "calls": "calls",
    "tool": "tool",
    "agent": "agent",
    "before": "before",
    "after": "after",
    "by": "rule",
    "example": "example",
}
_file = click.option(
    "--policy",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rules of this TOML file instead of those of the configuration.",
)


@click.group("policy")
def group() -> None:
    """Ask the policy about a call, or run recorded calls through changed rules."""


@group.command("check")
@click.argument("tool", metavar="TOOL")
@click.argument("arguments", metavar="ARGS_JSON", default="{}")
@click.option("--agent", default="team", show_default=True, help="The agent that calls.")
@click.option("--tenant", default="default", show_default=True, help="Whose run it is.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in CallerRole]),
    help="A role of who asked for the run; may be given again.",
)
@_file
@options.as_json
@options.debug
def check(
    tool: str,
    arguments: str,
    agent: str,
    tenant: str,
    roles: tuple[str, ...],
    file: Path | None,
    *,
    as_json: bool,
) -> int:
    """Say what the policy decides about a call, by which rule, and why not by an earlier one.

    Nothing is called, and no server is needed.
    """
    call = policy.Call(
        tool=tool,
        args=_arguments(arguments),
        agent=agent,
        tenant=tenant,
        roles=frozenset(roles),
    )
    found = policy.explain(_rules(file), call)
    if as_json:
        repairs.show_json(_described(found))
    else:
        _say(found, call)
    return Exit.OK


@group.command("replay")
@click.option(
    "--since", default="7d", show_default=True, help='How far back: "30m", "4h", "7d", or a date.'
)
@_file
@repairs.tenant
@options.url
@options.as_json
@options.debug
def replay_(
    since: str,
    file: Path | None,
    tenant: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Run the calls that agents made through the rules as they are written now.

    The server says what its own rules decide; what would be decided otherwise is listed.
    """
    rules = _rules(file)
    wanted = {"since": _moment(since), **({"tenant": tenant} if tenant else {})}
    found = repairs.asked("GET", "/admin/calls", url=url, data_dir=data_dir, params=wanted)
    changed = replay.changes(found["items"], rules)
    count = sum(one["calls"] for one in changed)
    told = {"calls": len(found["items"]), "changed": count, "truncated": found["truncated"]}
    if as_json:
        repairs.show_json({**told, "changes": changed})
        return Exit.OK
    if changed:
        repairs.show_table(changed, _COLUMNS)
    more = "; there are more, of which nothing is said" if found["truncated"] else ""
    click.echo(f"{count} of {told['calls']} calls would be decided otherwise{more}", err=True)
    return Exit.OK


def _rules(file: Path | None) -> tuple[policy.Rule, ...]:
    """The rules of the configuration, or of a file in its place, checked as at the start."""
    try:
        tables = None if file is None else policy_section.tables_of(file)
    except ValueError as error:
        raise CommandFailed(str(error), code=Exit.USAGE) from None
    given = settings.load(policy=tables)
    return policy_section.read(given.policy, alone=not given.has_keys)


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"ARGS_JSON: {error}", code=Exit.USAGE) from None
    if not isinstance(found, dict):
        message = "ARGS_JSON: write an object, such as '{\"amount\": 50}'"
        raise CommandFailed(message, code=Exit.USAGE)
    return found


def _moment(since: str) -> str:
    try:
        return datetime.fromisoformat(since).astimezone(UTC).isoformat()
    except ValueError:
        pass
    try:
        seconds = policy_section.span_seconds(since)
    except ValueError as error:
        raise CommandFailed(f"--since: {error}, or a date", code=Exit.USAGE) from None
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def _described(found: policy.Explanation) -> dict[str, Any]:
    verdict, terms = found.verdict, found.verdict.terms
    told: dict[str, Any] = {
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "rule": verdict.rule,
        "name": verdict.name,
        "doubts": list(verdict.doubts),
        "not_matched": [
            {"rule": miss.rule, "name": miss.name, "why": miss.why} for miss in found.misses
        ],
    }
    if verdict.decision is policy.Decision.ASK:
        told["terms"] = {
            "expires_seconds": terms.expires_seconds,
            "on_expiry": terms.on_expiry.value,
            "approvers": sorted(terms.roles),
            "quorum": terms.quorum,
            "self_approval": terms.self_approval,
            "choices": sorted(choice.value for choice in terms.choices),
            "remember": terms.remember,
            "critical": terms.critical,
        }
    return told


def _say(found: policy.Explanation, call: policy.Call) -> None:
    verdict = found.verdict
    for miss in found.misses:
        click.echo(f"not by {miss.name}\n    {miss.why}")
    words = {
        policy.Decision.ALLOW: "runs with nobody asked",
        policy.Decision.ASK: f"waits for {_deciders(verdict.terms)}",
        policy.Decision.DENY: "does not run",
    }
    click.echo(f"{verdict.decision.value.upper()}: {call.tool} {words[verdict.decision]}")
    by = verdict.reason if verdict.rule is None else f"by {verdict.name}: {verdict.reason}"
    click.echo(f"    {by}")
    for doubt in verdict.doubts:
        click.echo(f"    {doubt}; a rule that asks or denies takes that for a match")


def _deciders(terms: policy.Terms) -> str:
    who = " or ".join(sorted(terms.roles))
    people = f"{terms.quorum} of them" if terms.quorum > 1 else "one"
    return f"{people} with the role {who}, for {terms.expires_seconds:g} s"
