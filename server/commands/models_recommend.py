"""`counterpoint models recommend`: which open models fit on a GPU, and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from models import fitting, gpus, open_models, sizing
from models.fitting import CONTEXTS, Fit, Need
from models.gpus import Gpu
from models.open_models import Task
from server.commands import options

_KV_ELEMENTS = {"auto": 2, "fp8": 1}
_SHOWN = 12
_PIPED_WIDTH = 140


@click.command("recommend")
@click.option("--gpu", "sizes", help="Memory of each GPU: 24GB; 24GB,24GB; 2x80GB.")
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    default=Task.AGENTS.value,
    show_default=True,
    help="What it is for.",
)
@click.option("--context", type=click.IntRange(min=256), help="Tokens of a request with its reply.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Requests at once.",
)
@click.option(
    "--kv-cache",
    type=click.Choice(tuple(_KV_ELEMENTS)),
    default="auto",
    show_default=True,
    help="How keys and values are kept.",
)
@options.as_json
def recommend(
    sizes: str | None,
    task: str,
    context: int | None,
    concurrency: int,
    kv_cache: str,
    *,
    as_json: bool,
) -> None:
    """Which open models fit, in which format, and the arithmetic of it."""
    cards = _cards(sizes)
    wanted = Task(task)
    need = Need(
        context=context or CONTEXTS[wanted],
        concurrency=concurrency,
        kv_element=_KV_ELEMENTS[kv_cache],
    )
    known = open_models.load().model
    fits = fitting.recommended(known, task=wanted, gpus=cards, need=need)
    if as_json:
        body = {
            "gpus": [{"name": card.name, "memory": card.memory} for card in cards],
            "task": wanted.value,
            "context": need.context,
            "concurrency": need.concurrency,
            "items": [_item(one) for one in fits],
        }
        click.echo(json.dumps(body))
        return
    _tell(fits, cards=cards, task=wanted, need=need)


def _cards(sizes: str | None) -> list[Gpu]:
    if sizes is not None:
        try:
            return gpus.parse_sizes(sizes)
        except ValueError as error:
            raise click.UsageError(f"--gpu: {error}") from None
    found = asyncio.run(gpus.found())
    if not found:
        raise click.UsageError("no NVIDIA GPU was found here: say which you mean, --gpu 24GB")
    return found


def _tell(fits: Sequence[Fit], *, cards: Sequence[Gpu], task: Task, need: Need) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH)
    sizes = " + ".join(f"{card.memory / 1e9:.0f} GB" for card in cards)
    chosen = [one for one in fits if one.fits]
    say = f"For {task.value} on {sizes}, {need.concurrency} requests of {need.context:,} tokens"
    if not chosen:
        console.print(f"{say}: no model of the table fits.", markup=False, soft_wrap=True)
    else:
        best = chosen[0]
        console.print(f"{say}: {best.repo}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  {fitting.why(best)}", markup=False, highlight=False, soft_wrap=True)
        serve = f"counterpoint models serve {best.repo} --context {need.context}"
        if need.kv_element == 1:
            serve += " --kv-cache fp8"
        console.print(f"  {serve}\n", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None)
    for heading in ("model", "format", "GPUs"):
        table.add_column(heading, no_wrap=True)
    for heading in ("weights", "KV", "spare", "context", "requests"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("tools", "licence"):
        table.add_column(heading, overflow="fold", min_width=8)
    for one in chosen[:_SHOWN]:
        table.add_row(
            one.model.name,
            one.form.value,
            str(one.ways),
            _gb(one.weights * one.ways),
            _gb(one.kv * one.ways),
            _gb(one.spare * one.ways),
            f"{one.longest:,}",
            str(one.requests(need.context)),
            one.model.tool_parser or "by schema",
            one.model.licence,
        )
    if chosen:
        console.print(table)
    rest = [one for one in fits if not one.fits]
    if rest:
        console.print("\nDo not fit:", markup=False)
    for one in rest:
        line = f"  {one.model.name}: {fitting.why(one)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _item(one: Fit) -> dict[str, Any]:
    counted = sizing.parameters(one.model.shape)
    return {
        "name": one.model.name,
        "repo": one.repo,
        "format": one.form.value,
        "fits": one.fits,
        "why": fitting.why(one),
        "gpus": one.ways,
        "per_gpu": {
            "usable": one.usable,
            "weights": one.weights,
            "kv_cache": one.kv,
            "reserve": one.reserve,
            "spare": one.spare,
        },
        "kv_bytes_per_request": sizing.kv_bytes(
            one.model.shape, context=one.need.context, element=one.need.kv_element
        ),
        "longest_context": one.longest,
        "requests": one.requests(one.need.context),
        "parameters": counted.total,
        "active_parameters": counted.active,
        "context": one.model.context,
        "vocabulary": one.model.shape.vocabulary,
        "tool_parser": one.model.tool_parser,
        "reasoning_parser": one.model.reasoning_parser,
        "licence": one.model.licence,
        "released": one.model.released,
        "formats": {form.value: repo for form, repo in one.model.checkpoints.items()},
    }


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
