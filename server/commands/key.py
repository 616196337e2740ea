"""`counterpoint key`: a random API key, shown once, and the hash that the server knows it by."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

import click
from pydantic import ValidationError

from graphs.keys import DEFAULT_TENANT
from server.commands import options, repairs
from server.exits import CommandFailed, Exit
from server.sections import CallerRole, KeySettings

_BYTES = 32


@click.command("key")
@click.option("--name", default="me", show_default=True, help="Who holds it.")
@click.option(
    "--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose things it reaches."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in CallerRole]),
    help="What it may do; may be given several times.  [default: user]",
)
@click.option(
    "--webhook",
    is_flag=True,
    help="Make none, but show what the running server signs webhooks with.",
)
@options.url
@options.as_json
@options.debug
def command(
    name: str,
    tenant: str,
    roles: tuple[str, ...],
    url: str | None,
    data_dir: Path | None,
    *,
    webhook: bool,
    as_json: bool,
) -> int:
    """Make an API key. Nothing of it is kept: it is shown once."""
    if webhook:
        return _webhook(tenant, url=url, data_dir=data_dir, as_json=as_json)
    key = f"cp-{secrets.token_urlsafe(_BYTES)}"
    given = {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": tenant}
    try:
        made = KeySettings.model_validate({**given, "roles": roles or (CallerRole.USER,)})
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise CommandFailed(
            f"--{field}: letters, digits, dots, dashes and underscores, 64 at most",
            code=Exit.USAGE,
        ) from None
    toml = _toml(made)
    if as_json:
        click.echo(json.dumps({"key": key, **made.model_dump(mode="json"), "toml": toml}))
        return Exit.OK
    click.echo(f"key for callers, shown only now:  {key}")
    click.echo(f"setting for our own commands:     COUNTERPOINT_API_KEY={key}")
    click.echo(f"\nfor the server's counterpoint.toml:\n\n{toml}")
    click.echo("or, for a key that may do everything, as a variable of the server:\n")
    click.echo(f"COUNTERPOINT_API_KEY_SHA256='[\"{made.sha256}\"]'")
    return Exit.OK


def _webhook(tenant: str, *, url: str | None, data_dir: Path | None, as_json: bool) -> int:
    acting = tenant if tenant != DEFAULT_TENANT else None
    found = repairs.asked("GET", "/webhooks/secret", url=url, data_dir=data_dir, tenant=acting)
    click.echo(json.dumps(found) if as_json else found["secret"])
    return Exit.OK


def _toml(key: KeySettings) -> str:
    # JSON's strings and lists are TOML's too.
    fields = key.model_dump(mode="json")
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(["[[keys]]", *lines, ""])
