"""`counterpoint approvals watch`: the queue's stream, line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import httpx

from server import client as clients
from server import loop, settings
from server.commands import approval_text, options, repairs
from server.exits import Exit
from server.wire.printable import terminal

_LONGEST_SECONDS = 5.0


def watch(
    *, url: str | None, data_dir: Path | None, tenant: str | None, once: bool, as_json: bool
) -> int:
    """Tell what waits, then what changes. Raises CommandFailed."""
    configured = settings.load(data_dir=data_dir)
    options.invocation().data_dir = configured.data_dir

    async def follow() -> int:
        async with clients.running(configured, url=url, tenant=tenant) as client:
            return await _follow(client, once=once, as_json=as_json)

    return loop.run(follow())


async def _follow(client: httpx.AsyncClient, *, once: bool, as_json: bool) -> int:
    last, tries = "", 0
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            async with client.stream("GET", "/approvals/stream", headers=headers) as response:
                await clients.succeeded(response)
                async for kind, name, data in clients.frames(response):
                    last, tries = name or last, 0
                    _tell(kind, data, as_json=as_json)
                    if once:
                        return Exit.OK
        except httpx.HTTPError as error:
            if not last:
                raise clients.lost(error) from error
            tries += 1
            click.echo("the server went away; trying again", err=True)
        await asyncio.sleep(min(_LONGEST_SECONDS, 0.25 * 2**tries))


def _tell(kind: str, data: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"event": kind, **data}))
    elif kind == "snapshot":
        repairs.show_table([approval_text.row(one) for one in data["items"]], approval_text.COLUMNS)
        click.echo(approval_text.totals(data), err=True)
    elif kind == "approval":
        one = data["approval"]
        click.echo(f"{data['what']:<10} {terminal(approval_text.line(one))}")
