"""`counterpoint models bench`: how fast an OpenAI-compatible endpoint answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models.registry import ModelSpec, Registry, Role
from server import settings
from server.commands import options
from server.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from models.pace import Level

_WARM_UP_TOKENS = 4


@click.command("bench")
@click.option("--url", help="OpenAI-compatible base URL, ending in /v1; default: as configured.")
@click.option("--model", help="The model's name there; default: as configured.")
@click.option("--concurrency", default="1,4,16", show_default=True, help="Requests at once, each.")
@click.option("--requests", type=click.IntRange(min=1), help="Of each level; default: 4 times it.")
@click.option(
    "--prompt-tokens", type=click.IntRange(1), default=512, show_default=True, help="About so long."
)
@click.option(
    "--output-tokens", type=click.IntRange(1), default=128, show_default=True, help="At most."
)
@click.option(
    "--ignore-eos", is_flag=True, help="Write all output tokens (vLLM and llama.cpp know this)."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the words of the prompts.")
@options.as_json
def bench(
    url: str | None,
    model: str | None,
    concurrency: str,
    requests: int | None,
    prompt_tokens: int,
    output_tokens: int,
    seed: int,
    *,
    ignore_eos: bool,
    as_json: bool,
) -> None:
    """Tokens a second, time to the first token, between tokens, and to the last: P50, P95, P99.

    Every prompt is different from its first word on, so that no prefix cache answers. The key is
    COUNTERPOINT_MODEL_KEY, where it is set.
    """
    levels = _levels(concurrency)
    spec = _spec(url, model, longest=output_tokens)
    extra = {"extra_body": {"ignore_eos": True}} if ignore_eos else {}
    counts = [requests or 4 * level for level in levels]
    console = Console(stderr=as_json)
    with _bar(console) as bar:
        task = bar.add_task(f"{spec.model} at {spec.place}", total=sum(counts))
        measured = asyncio.run(
            _measure(
                spec,
                levels=levels,
                counts=counts,
                prompt_tokens=prompt_tokens,
                seed=seed,
                done=lambda: bar.advance(task),
                output_tokens=output_tokens,
                extra=extra,
            )
        )
    if as_json:
        about = {"url": spec.place, "model": spec.model, "prompt_tokens": prompt_tokens}
        body = {**about, "output_tokens": output_tokens, "items": [_item(one) for one in measured]}
        click.echo(json.dumps(body))
    else:
        _tell(measured, console=console)
    if all(sum(one.errors.values()) == one.requests for one in measured):
        raise CommandFailed(next(iter(measured[0].errors)), code=Exit.UNAVAILABLE)


async def _measure(
    spec: ModelSpec,
    *,
    levels: Sequence[int],
    counts: Sequence[int],
    prompt_tokens: int,
    output_tokens: int,
    seed: int,
    done: Callable[[], None],
    extra: dict[str, Any],
) -> list[Level]:
    # Late, as below: a client of models, which the commands beside this one do not need.
    from models import lean, pace

    client = lean.connect(spec)
    measured: list[Level] = []
    made = seed * 1_000_003
    try:
        # The first request of a server pays for what later ones find made.
        await pace.level(
            client, [pace.prompt(16, seed=made - 1)], concurrency=1, max_tokens=_WARM_UP_TOKENS
        )
        for level, count in zip(levels, counts, strict=True):
            prompts = [pace.prompt(prompt_tokens, seed=made + number) for number in range(count)]
            made += count
            measured.append(
                await pace.level(
                    client,
                    prompts,
                    concurrency=level,
                    done=done,
                    max_tokens=output_tokens,
                    **extra,
                )
            )
    finally:
        await client.aclose()
    return measured


def _levels(text: str) -> list[int]:
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError:
        levels = [0]
    if any(level < 1 for level in levels):
        raise click.UsageError(f"--concurrency: '{text}' is no list of numbers: write 1,4,16")
    return levels


def _spec(url: str | None, model: str | None, *, longest: int) -> ModelSpec:
    """The endpoint to measure, and at most so many tokens of it."""
    configured = settings.load()
    if url is None:
        from server import house_models

        known = house_models.configured(configured)
        if known is None:
            raise click.UsageError(
                "no model is configured: name an endpoint, --url http://127.0.0.1:8000/v1 "
                "--model NAME"
            )
        given = _chosen(known, model)
        return dataclasses.replace(given, max_output=longest)
    if model is None:
        raise click.UsageError("--url needs --model beside it")
    return ModelSpec(
        name=model, model=model, url=url, key=configured.model_key, max_output=longest, timeout=600
    )


def _chosen(known: Registry, name: str | None) -> ModelSpec:
    if name is None:
        return known.for_role(Role.WORKER)
    if name not in known.models:
        raise click.UsageError(
            f"--model: no configured model is named '{name}'; known: {', '.join(known.models)}"
        )
    return known.named(name)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _tell(measured: Sequence[Level], *, console: Console) -> None:
    for one in measured:
        console.print(_report(one), markup=False, highlight=False, soft_wrap=True)
    if not all(one.counted for one in measured):
        console.print("The endpoint does not count tokens: they are estimated.", markup=False)


def _report(one: Level) -> str:
    done = one.requests - sum(one.errors.values())
    lines = [f"{one.concurrency} at once: {done} of {one.requests} replies in {one.seconds:.1f} s"]
    if done:
        read, wrote = one.input_tokens / done, one.output_tokens / done
        lines.append(
            f"  {read:.0f} tokens in and {wrote:.0f} out a reply; "
            f"{one.output_rate:.1f} tokens/s, {one.request_rate:.2f} replies/s"
        )
        lines.append(f"  {'':14} {'P50':>9} {'P95':>9} {'P99':>9}")
    for name, series in (
        ("first token", one.first_token),
        ("between tokens", one.between_tokens),
        ("whole reply", one.latency),
    ):
        if series is not None:
            shown = (_seconds(value) for value in (series.p50, series.p95, series.p99))
            lines.append(f"  {name:14} " + " ".join(f"{value:>9}" for value in shown))
    lines += [f"  {count} failed: {message}" for message, count in one.errors.items()]
    return "\n".join(lines)


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _item(one: Level) -> dict[str, Any]:
    return {
        **dataclasses.asdict(one),
        "output_tokens_per_second": one.output_rate,
        "requests_per_second": one.request_rate,
    }
