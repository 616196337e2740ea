"""`counterpoint key`: a random API key, shown once, and the hash that the server knows it by."""

from __future__ import annotations

import hashlib
import json
import secrets

import click

from server.commands import options
from server.exits import Exit

_BYTES = 32


@click.command("key")
@options.as_json
@options.debug
def command(*, as_json: bool) -> int:
    """Make an API key. Nothing of it is kept: it is shown once."""
    key = f"cp-{secrets.token_urlsafe(_BYTES)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    if as_json:
        click.echo(json.dumps({"key": key, "sha256": digest}))
        return Exit.OK
    click.echo(f"key for callers, shown only now:  {key}")
    click.echo(f"setting of the server:            COUNTERPOINT_API_KEY_SHA256='[\"{digest}\"]'")
    click.echo(f"setting for our own commands:     COUNTERPOINT_API_KEY={key}")
    return Exit.OK
