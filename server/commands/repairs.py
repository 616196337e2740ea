"""What the repair commands share: a running server, and tables of what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table

from server import client as clients
from server import loop, settings
from server.commands import options, tables
from server.wire.printable import terminal

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE = frozenset({"run", "thread", "began", "approval"})


def tenant(command: F) -> F:
    """``--tenant``."""
    return click.option("--tenant", help="Act for this tenant, which is an admin's right.")(command)


def asked(
    method: str,
    path: str,
    *,
    url: str | None,
    data_dir: Path | None,
    tenant: str | None = None,
    **request: Any,
) -> Any:
    """One request to the running server, and its JSON. Raises CommandFailed."""
    configured = settings.load(data_dir=data_dir)
    options.invocation().data_dir = configured.data_dir

    async def ask() -> Any:
        async with clients.running(configured, url=url, tenant=tenant) as client:
            return await clients.call(client, method, path, **request)

    return loop.run(ask())


def show_json(found: Any) -> None:
    click.echo(json.dumps(found))


def show_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows of JSON under headings: ``columns`` maps a heading to a field."""
    table = Table(box=None)
    for heading in columns:
        table.add_column(heading, no_wrap=heading in _WHOLE, overflow="fold")
    for row in rows:
        table.add_row(*(terminal(said(row.get(field))) for field in columns.values()))
    tables.show(table)


def show_fields(found: Mapping[str, Any]) -> None:
    """One thing as lines of field and value; what is not set is left out."""
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for field, value in found.items():
        if value not in (None, "", [], {}):
            table.add_row(terminal(field), terminal(said(value)))
    tables.show(table)


def said(value: Any) -> str:
    """A value of JSON for people."""
    match value:
        case None | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return _time(value) or value
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _time(text: str) -> str | None:
    """A moment to the second, in the reader's own zone."""
    if len(text) < len("2026-01-01T00:00:00") or text[10:11] != "T":
        return None
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
