"""`counterpoint search`: the passages that fit a query, without any model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from server import client as clients
from server import loop, progress, render, settings
from server.commands import options
from server.exits import Exit
from server.wire.progress_text import short

_EXCERPT = 300


@click.command("search")
@click.argument("query")
@click.option("--limit", default=8, show_default=True, type=click.IntRange(1, 100))
@options.collection
@options.url
@options.as_json
@options.debug
def command(
    query: str,
    limit: int,
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> int:
    """Search the documents for QUERY. Exit code 1 where nothing fits."""
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    found = loop.run(_search(query, limit=limit, configured=configured, url=url))
    if as_json:
        click.echo(json.dumps(found))
    elif not found["hits"]:
        click.echo(f"nothing fits in collection {configured.collection}", err=True)
    else:
        for number, hit in enumerate(found["hits"], 1):
            click.echo("\n".join(_lines(number, hit)))
    return Exit.OK if found["hits"] else Exit.FAILED


async def _search(query: str, *, limit: int, configured: settings.Settings, url: str | None) -> Any:
    bar = progress.for_console(Console(stderr=True))
    async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
        body = {"query": query, "limit": limit, "collection": configured.collection}
        return await clients.call(client, "POST", "/documents/search", json=body)


def _lines(number: int, hit: dict[str, Any]) -> list[str]:
    parts = [hit.get("source") or hit["title"]]
    if hit.get("page") is not None:
        parts.append(f"page {hit['page']}")
    heading = hit.get("heading") or ()
    if heading:
        parts.append(heading if isinstance(heading, str) else " > ".join(heading))
    fused = hit["scores"].get("fused")
    score = f" ({fused:.2f})" if isinstance(fused, (int, float)) else ""
    return [
        render.printable(f"[{number}] {', '.join(parts)}{score}"),
        f"    {short(hit['text'], longest=_EXCERPT)}",
    ]
