"""`counterpoint search`: the passages that fit a query, without any chat model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from server import client as clients
from server import loop, progress, settings
from server.commands import options
from server.exits import Exit
from server.wire.printable import printable, short
from tools.retrieval.fusion import Fusion
from tools.retrieval.options import Mode

_EXCERPT = 300
_STAGES = ("bm25", "dense", "fused", "rerank")


@click.command("search")
@click.argument("query")
@click.option("--limit", default=8, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--filter",
    "filters",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Only passages whose field is VALUE, one of VALUE,VALUE, or within FROM..TO (numbers or "
    "dates; either may be left out). Repeat it for several fields.",
)
@click.option("--explain", is_flag=True, help="Tell every score, and the stages of the search.")
@click.option("--mode", type=click.Choice([one.value for one in Mode]), help="Which searches.")
@click.option(
    "--fusion", type=click.Choice([one.value for one in Fusion]), help="How two lists become one."
)
@click.option("--diversity", type=click.FloatRange(0, 1), help="How much repeating counts against.")
@click.option("--per-document", type=click.IntRange(1, 100), help="Passages of one document.")
@click.option("--no-rerank", is_flag=True, help="Leave the reranker out.")
@options.collection
@options.url
@options.as_json
@options.debug
def command(
    query: str,
    limit: int,
    filters: tuple[str, ...],
    mode: str | None,
    fusion: str | None,
    diversity: float | None,
    per_document: int | None,
    collection: str | None,
    url: str | None,
    data_dir: Path | None,
    *,
    explain: bool,
    no_rerank: bool,
    as_json: bool,
) -> int:
    """Search the documents for QUERY. Exit code 1 where nothing fits."""
    configured = settings.load(data_dir=data_dir, collection=collection)
    options.invocation().data_dir = configured.data_dir
    asked = {
        "mode": mode,
        "fusion": fusion,
        "diversity": diversity,
        "per_document": per_document,
        "rerank": False if no_rerank else None,
    }
    body = {
        "query": query,
        "limit": limit,
        "collection": configured.collection,
        "filters": parsed(filters) or None,
        "options": {name: value for name, value in asked.items() if value is not None} or None,
        "explain": explain,
    }
    found = loop.run(_search(body, configured=configured, url=url))
    if as_json:
        click.echo(json.dumps(found))
        return Exit.OK if found["hits"] else Exit.FAILED
    if not found["hits"]:
        click.echo(f"nothing fits in collection {configured.collection}", err=True)
    for number, hit in enumerate(found["hits"], 1):
        click.echo("\n".join(_lines(number, hit, every=explain)))
    if explain:
        click.echo("\n".join(_stages(found["explain"])))
    return Exit.OK if found["hits"] else Exit.FAILED


def parsed(filters: Sequence[str]) -> dict[str, Any]:
    """``year=2020..2024`` and the like as the API's filters. Raises click.BadParameter."""
    made: dict[str, Any] = {}
    for one in filters:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{one!r}: write FIELD=VALUE", param_hint="--filter")
        if name in made:
            raise click.BadParameter(
                f"{name} stands there twice; write {name}=ONE,OTHER", param_hint="--filter"
            )
        low, between, high = value.partition("..")
        if between and (low or high):
            bounds = {"gte": _value(low), "lte": _value(high)}
            made[name] = {bound: given for bound, given in bounds.items() if given != ""}
        elif "," in value:
            made[name] = [_value(part) for part in value.split(",") if part]
        else:
            made[name] = _value(value)
    return made


def _value(text: str) -> Any:
    """A number or a truth as JSON has it; all else is text, quotes make any value one."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str | int | float | bool) else text


async def _search(
    body: Mapping[str, Any], *, configured: settings.Settings, url: str | None
) -> Any:
    bar = progress.for_console(Console(stderr=True))
    async with clients.connect(configured, url=url, progress=bar, runs=False) as client:
        return await clients.call(client, "POST", "/documents/search", json=dict(body))


def _lines(number: int, hit: dict[str, Any], *, every: bool) -> list[str]:
    parts = [hit.get("source") or hit["title"]]
    if hit.get("page") is not None:
        parts.append(f"page {hit['page']}")
    heading = hit.get("heading") or ()
    if heading:
        parts.append(heading if isinstance(heading, str) else " > ".join(heading))
    scores = hit["scores"]
    shown = _STAGES if every else ("fused",)
    told = [
        f"{name} {scores[name]:.3f}" if every else f"{scores[name]:.2f}"
        for name in shown
        if isinstance(scores.get(name), int | float)
    ]
    score = f" ({', '.join(told)})" if told else ""
    return [
        printable(f"[{number}] {', '.join(parts)}{score}"),
        f"    {short(hit['text'], longest=_EXCERPT)}",
    ]


def _stages(explained: dict[str, Any]) -> list[str]:
    lines = [f"{explained['ms']:.1f} ms:"]
    for stage in explained["stages"]:
        why = f", skipped: {stage['skipped']}" if stage["skipped"] else ""
        counted = f", {stage['candidates']} candidates" if stage["candidates"] else ""
        lines.append(printable(f"  {stage['name']} {stage['ms']:.1f} ms{counted}{why}"))
    return lines
