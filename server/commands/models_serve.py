"""`counterpoint models serve`: vLLM with the right flags for a model on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ValidationError

from models import gpus, open_models, vllm_flags, vllm_process
from models.fitting import Need, best_fit
from models.gpus import Gpu
from models.open_models import Format, OpenModel
from models.vllm_flags import CannotServe, Command, Lora, Wanted
from server import settings
from server.exits import CommandFailed, Exit

_SHELL, _DOCKER = "shell", "docker"
# Tokens of one request that have to fit before a format of more loss is taken.
_ROOMY = 8192


class _Adapter(BaseModel):
    """Of an adapter's ``adapter_config.json``: what vLLM has to be told."""

    r: int


class _Config(BaseModel):
    """Of a model's ``config.json``: what says which parsers it takes."""

    model_type: str | None = None


@click.command("serve")
@click.argument("name")
@click.option(
    "--print",
    "shown",
    is_flag=False,
    flag_value=_SHELL,
    type=click.Choice((_SHELL, _DOCKER)),
    help="Print the command, for a shell or for Docker; start nothing.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    help="Take the quantized weights; fp8 is made of bf16 where there are none.",
)
@click.option("--gpu", "sizes", help="GPUs to reckon with instead of those found: 24GB; 2x80GB.")
@click.option("--cpu", is_flag=True, help="No GPU, even where there is one.")
@click.option("--context", type=click.IntRange(min=256), help="Longest request, tokens.")
@click.option("--max-num-seqs", "sequences", type=click.IntRange(min=1), help="Requests at once.")
@click.option(
    "--kv-cache", type=click.Choice(("auto", "fp8")), help="How keys and values are kept."
)
@click.option("--lora", "loras", multiple=True, help="An adapter: NAME=FOLDER; may be repeated.")
@click.option("--served-name", help="What requests call the model; default: NAME.")
@click.option("--tool-parser", help="vLLM's parser of tool calls, for a model of your own.")
@click.option("--reasoning-parser", help="vLLM's parser of reasoning, for a model of your own.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--vllm", "program", type=click.Path(path_type=Path), help="The vllm to start.")
@click.option("--json", "as_json", is_flag=True, help="Print the command as JSON; start nothing.")
def serve(
    name: str,
    shown: str | None,
    form: str | None,
    sizes: str | None,
    context: int | None,
    sequences: int | None,
    kv_cache: str | None,
    loras: tuple[str, ...],
    served_name: str | None,
    tool_parser: str | None,
    reasoning_parser: str | None,
    host: str,
    port: int,
    program: Path | None,
    *,
    cpu: bool,
    as_json: bool,
) -> None:
    """Serve NAME with vLLM: a model that `recommend` names, a repository, or a folder of weights.

    The key that callers have to present is COUNTERPOINT_MODEL_KEY, where it is set.
    """
    configured = settings.load()
    cards = _cards(sizes, cpu=cpu)
    model, stored, weights = _weights(name, form, cards=cards, context=context)
    # A repository that has the format is not quantized once more.
    quantization = "fp8" if form == Format.FP8.value and stored is not Format.FP8 else None
    try:
        wanted = Wanted(
            weights=weights,
            served_name=served_name or name.rstrip("/").rpartition("/")[2],
            model=model,
            form=stored,
            family=_family(weights),
            host=host,
            port=port,
            context=context,
            sequences=sequences,
            tool_parser=tool_parser,
            reasoning_parser=reasoning_parser,
            quantization=quantization,
            kv_cache=kv_cache,
            loras=[_lora(given) for given in loras],
            keyed=configured.model_key is not None,
            offline=configured.offline,
        )
        command = vllm_flags.command(wanted, cards)
        if as_json:
            click.echo(_described(command))
            return
        if shown is not None:
            _show(shown, command, wanted=wanted, cards=cards)
            return
        made = configured.models_dir.parent / "vllm-cpu" / "bin" / "vllm"
        found = vllm_process.executable(program, made=made)
        _check_free(host, port)
    except CannotServe as error:
        raise CommandFailed(str(error), code=Exit.UNAVAILABLE) from None
    for note in command.notes:
        click.echo(note, err=True)
    # Our own variables hold secrets that are none of its business.
    inherited = {
        name: value
        for name, value in settings.environment().items()
        if not name.startswith(settings.PREFIX)
    }
    environment = inherited | dict(command.environment)
    if configured.model_key is not None:
        environment["VLLM_API_KEY"] = configured.model_key.get_secret_value()
    process = vllm_process.VllmProcess(found, command.arguments, environment=environment)
    code = asyncio.run(_run(process, wanted=wanted))
    if code:
        raise CommandFailed(
            f"vllm ended with code {code}; its own words above say why", code=Exit.FAILED
        )


def _weights(
    name: str, form: str | None, *, cards: Sequence[Gpu], context: int | None
) -> tuple[OpenModel | None, Format | None, str]:
    """What the table knows of NAME, the format of the weights, and where they are.

    A name of the table alone leaves the format to what fits.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return None, None, str(folder.absolute())
    known = open_models.load()
    found = known.find(name)
    if found is None:
        if "/" not in name:
            raise click.UsageError(
                f"NAME: '{name}' is no folder, no repository (OWNER/NAME) and none of: "
                f"{', '.join(known.names)}"
            )
        return None, None, name
    model, stored = found
    if form is None and name.lower() == model.name and cards:
        need = Need(context=context or min(model.context, _ROOMY), concurrency=1)
        stored = best_fit(model, gpus=cards, need=need).form
    if form is None or form == stored.value:
        return model, stored, model.checkpoints[stored]
    wanted = Format(form)
    if wanted in model.checkpoints:
        return model, wanted, model.checkpoints[wanted]
    if wanted is Format.FP8 and model.native is Format.BF16:
        return model, Format.BF16, model.repo
    have = ", ".join(each.value for each in model.checkpoints)
    raise click.UsageError(f"--format {form}: {model.name} is known in {have}")


def _cards(sizes: str | None, *, cpu: bool) -> Sequence[Gpu]:
    if cpu:
        return []
    if sizes is None:
        return asyncio.run(gpus.found())
    try:
        return gpus.parse_sizes(sizes)
    except ValueError as error:
        raise click.UsageError(f"--gpu: {error}") from None


def _check_free(host: str, port: int) -> None:
    """Else whoever listens there would be taken for the vLLM that is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise CannotServe(
                f"cannot listen at {host}, port {port} ({error.strerror}): name another, --port"
            ) from None


def _lora(given: str) -> Lora:
    name, equals, folder = given.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--lora {given}: write NAME=FOLDER")
    path = Path(folder).expanduser().absolute()
    try:
        config = _Adapter.model_validate_json((path / "adapter_config.json").read_bytes())
    except (OSError, ValidationError):
        raise click.UsageError(
            f"--lora {given}: {path} is no LoRA adapter (adapter_config.json with its rank r)"
        ) from None
    return Lora(name=name, path=str(path), rank=config.r)


def _family(weights: str) -> str | None:
    """``model_type`` of a folder's config.json; None of a repository, which is not asked."""
    try:
        raw = (Path(weights) / "config.json").read_bytes()
        return _Config.model_validate_json(raw).model_type
    except (OSError, ValidationError):
        return None


def _described(command: Command) -> str:
    body: dict[str, Any] = {
        "command": ["vllm", *command.arguments],
        "environment": dict(command.environment),
        "notes": list(command.notes),
    }
    return json.dumps(body)


def _show(shown: str, command: Command, *, wanted: Wanted, cards: Sequence[Gpu]) -> None:
    for note in command.notes:
        click.echo(note, err=True)
    if shown == _SHELL:
        click.echo(vllm_flags.shell_form(command, keyed=wanted.keyed))
        return
    click.echo(
        vllm_flags.docker_form(
            command, keyed=wanted.keyed, host=wanted.host, port=wanted.port, gpus=bool(cards)
        )
    )


async def _run(process: vllm_process.VllmProcess, *, wanted: Wanted) -> int:
    """Until it ends, or someone ends it; its exit code, 0 where we ended it."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    shown = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    url = f"http://{'127.0.0.1' if wanted.host == '0.0.0.0' else shown}:{wanted.port}"  # noqa: S104
    await process.start()
    ended = asyncio.create_task(process.wait(), name="vllm")
    stopped = asyncio.create_task(told.wait(), name="stop")
    ready = asyncio.create_task(_ready(process, url=url, wanted=wanted), name="vllm ready")
    try:
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if told.is_set():
            click.echo("stopping vllm", err=True)
            return 0
        return ended.result()
    finally:
        ready.cancel()
        stopped.cancel()
        await asyncio.gather(ready, stopped, return_exceptions=True)
        await process.close()
        with contextlib.suppress(asyncio.CancelledError):
            await ended


async def _ready(process: vllm_process.VllmProcess, *, url: str, wanted: Wanted) -> None:
    await process.until_ready(url)
    click.echo(
        f"ready: COUNTERPOINT_MODEL_URL={url}/v1 COUNTERPOINT_MODEL={wanted.served_name}", err=True
    )
