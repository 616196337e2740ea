"""The command that serves a model with vLLM on given hardware. Pure: no IO.

Names of flags, parsers and variables are those of vLLM 0.32.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from models.fitting import SEQUENCES, UTILIZATION, Fit, Need, fit
from models.gpus import Gpu
from models.open_models import Format, OpenModel

IMAGE = "vllm/vllm-openai:latest"
DEFAULT_CONTEXT = 32768
SHORTEST_CONTEXT = 2048

FAMILIES: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "gpt_oss": ("openai", "openai_gptoss"),
        "llama": ("llama3_json", None),
        "llama4": ("llama4_pythonic", None),
        "mistral": ("mistral", None),
        "qwen2": ("hermes", None),
        "qwen3": ("hermes", "qwen3"),
        "qwen3_moe": ("hermes", "qwen3"),
    }
)
"""Tool and reasoning parser by the ``model_type`` of config.json, for models not in the table."""

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_CPU_SEQUENCES = 16
_CPU_CONTEXT = 8192
_CPU_FORMATS = (Format.BF16, Format.AWQ, Format.GPTQ, Format.W4A16)


class CannotServe(Exception):  # noqa: N818 - it says what happened
    """The model cannot be served so; the message has the remedy."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """An adapter under the name that requests ask for it by; ``rank`` as it was trained."""

    name: str
    path: str
    rank: int = 16


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to serve, and how.

    ``weights`` is a repository or a folder; ``model`` and ``form`` what the table knows of it;
    ``family`` the ``model_type`` of its config.json. What is None is chosen: ``context`` in tokens,
    ``sequences`` as requests at once.
    """

    weights: str
    served_name: str
    model: OpenModel | None = None
    form: Format | None = None
    family: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    context: int | None = None
    sequences: int | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    quantization: str | None = None
    kv_cache: str | None = None
    loras: Sequence[Lora] = ()
    keyed: bool = False
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class Command:
    """``arguments`` of ``vllm``; ``environment`` beside this process's; ``notes`` for people."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())


def command(wanted: Wanted, gpus: Sequence[Gpu]) -> Command:
    """The command for these GPUs, or for the CPU where there are none.

    Raises ``CannotServe`` where the weights do not fit, or the key is missing that an address
    beyond this machine calls for.
    """
    if not wanted.keyed and wanted.host not in ("127.0.0.1", "localhost", "::1"):
        raise CannotServe(
            f"--host {wanted.host} lets others in: set COUNTERPOINT_MODEL_KEY, the key that they "
            "have to present"
        )
    notes: list[str] = []
    hardware, environment = _on_gpus(wanted, gpus, notes) if gpus else _on_cpu(wanted, notes)
    arguments = [
        *("serve", wanted.weights),
        *("--served-model-name", wanted.served_name),
        *("--host", wanted.host, "--port", str(wanted.port)),
        *hardware,
        "--enable-prefix-caching",
        *_parsers(wanted, notes),
        *_own_format(wanted),
        *_loras(wanted.loras),
    ]
    if wanted.quantization is not None:
        arguments += ["--quantization", wanted.quantization]
    if wanted.kv_cache is not None:
        arguments += ["--kv-cache-dtype", wanted.kv_cache]
    environment |= {"VLLM_NO_USAGE_STATS": "1"}
    if wanted.offline:
        environment["HF_HUB_OFFLINE"] = "1"
    return Command(arguments=tuple(arguments), environment=environment, notes=tuple(notes))


def shell_form(given: Command, *, keyed: bool) -> str:
    """A line for a shell; the key stays in the variable that it is in."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in given.environment.items()]
    if keyed:
        variables.append('VLLM_API_KEY="$COUNTERPOINT_MODEL_KEY"')
    return " ".join([*variables, "vllm", shlex.join(given.arguments)])


def docker_form(given: Command, *, keyed: bool, host: str, port: int, gpus: bool) -> str:
    """A line that runs vLLM's image, whose port is published at ``host`` alone.

    Folders of weights and adapters have to be absolute: they are mounted where they are.
    """
    arguments = list(given.arguments[1:])
    arguments[arguments.index("--host") + 1] = "0.0.0.0"  # noqa: S104 - the port is published on host
    shown = f"[{host}]" if ":" in host else host
    line = ["docker", "run", "--rm", "--ipc=host"]
    if gpus:
        line += ["--gpus", "all"]
    line += ["-p", f"{'127.0.0.1' if host == 'localhost' else shown}:{port}:{port}"]
    folders = [argument.rpartition("=")[2] for argument in arguments]
    for folder in dict.fromkeys(folder for folder in folders if folder.startswith("/")):
        line += ["-v", f"{folder}:{folder}:ro"]
    for name, value in given.environment.items():
        line += ["-e", f"{name}={value}"]
    quoted = shlex.join(line)
    if keyed:
        quoted += ' -e VLLM_API_KEY="$COUNTERPOINT_MODEL_KEY"'
    hub = '-v "$HOME/.cache/huggingface:/root/.cache/huggingface"'
    return f"{quoted} {hub} {IMAGE} {shlex.join(arguments)}"


def _on_gpus(
    wanted: Wanted, gpus: Sequence[Gpu], notes: list[str]
) -> tuple[list[str], dict[str, str]]:
    arguments = ["--gpu-memory-utilization", str(UTILIZATION)]
    oldest = min((gpu.capability for gpu in gpus if gpu.capability is not None), default=None)
    if oldest is not None and oldest < 8.0:
        arguments += ["--dtype", "half"]
        notes.append(f"compute capability {oldest} has no bfloat16: half precision instead")
    if wanted.model is None or wanted.form is None:
        notes.append(f"{wanted.weights} is not in the table: whether it fits is not computed")
        if len(gpus) > 1:
            # Heads are most often a power of two.
            arguments += ["--tensor-parallel-size", str(1 << (len(gpus).bit_length() - 1))]
        return arguments + _sizes(wanted.context, wanted.sequences), {}
    fitted = _fitted(wanted, wanted.model, wanted.form, gpus)
    if fitted.ways > 1:
        arguments += ["--tensor-parallel-size", str(fitted.ways)]
    environment: dict[str, str] = {}
    if fitted.ways < len(gpus):
        # As nvidia-smi counts them; CUDA's own order is by speed.
        taken = ",".join(str(place) for place in fitted.taken)
        environment = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": taken}
        notes.append(
            f"{fitted.ways} of {len(gpus)} GPUs used: the model's {wanted.model.shape.heads} "
            "attention heads are dealt out evenly, and the smallest GPU bounds each share"
        )
    # Requests seldom fill their context; those that do are made to wait.
    held = fitted.requests(max(fitted.need.context // 4, 1))
    sequences = wanted.sequences or max(1, min(SEQUENCES, held))
    full = fitted.requests(fitted.need.context)
    notes.append(f"room for {full} at once of {fitted.need.context:,} tokens each")
    return arguments + _sizes(fitted.need.context, sequences), environment


def _fitted(wanted: Wanted, model: OpenModel, form: Format, gpus: Sequence[Gpu]) -> Fit:
    """With the context that was asked for, or the longest of a few that fits."""
    element = 1 if (wanted.kv_cache or "").startswith("fp8") else 2
    # vLLM makes FP8 of bfloat16 weights itself.
    stored = Format.FP8 if wanted.quantization == "fp8" and form is Format.BF16 else form
    context = wanted.context or min(model.context, DEFAULT_CONTEXT)
    while True:
        need = Need(context=context, concurrency=1, kv_element=element)
        fitted = fit(model, stored, gpus=gpus, need=need)
        if fitted.fits:
            return fitted
        if context > model.context:
            raise CannotServe(f"--context {context}: {model.name} ends at {model.context} tokens")
        if wanted.context is not None or context // 2 < SHORTEST_CONTEXT:
            raise CannotServe(
                f"{model.name} ({form.value}) lacks {-fitted.spare / 1e9:.1f} GB on each GPU at "
                f"{context} tokens; `counterpoint models recommend` says what fits"
            )
        context //= 2


def _on_cpu(wanted: Wanted, notes: list[str]) -> tuple[list[str], dict[str, str]]:
    if wanted.form is not None and wanted.form not in _CPU_FORMATS:
        raise CannotServe(
            f"{wanted.form.value} weights need a GPU, and none was found; without one take "
            "bf16 or awq (--format)"
        )
    known = wanted.model.context if wanted.model is not None else _CPU_CONTEXT
    context = wanted.context or min(known, _CPU_CONTEXT)
    sequences = wanted.sequences or _CPU_SEQUENCES
    space = 4
    if wanted.model is not None:
        need = Need(context=context, concurrency=max(2, sequences // 4))
        kv = fit(wanted.model, Format.BF16, gpus=[Gpu(memory=1)], need=need).kv
        space = max(1, min(64, -(-kv // 1024**3)))
    notes.append(f"no GPU was found: on the CPU, with {space} GiB of memory for the KV cache")
    # Compiled graphs take minutes to make and gain little on a CPU.
    arguments = ["--dtype", "bfloat16", "--enforce-eager", *_sizes(context, sequences)]
    return arguments, {"VLLM_CPU_KVCACHE_SPACE": str(space)}


def _sizes(context: int | None, sequences: int | None) -> list[str]:
    arguments: list[str] = []
    if context is not None:
        arguments += ["--max-model-len", str(context)]
    if sequences is not None:
        arguments += ["--max-num-seqs", str(sequences)]
    return arguments


def _parsers(wanted: Wanted, notes: list[str]) -> list[str]:
    if wanted.model is not None:
        tool, reasoning = wanted.model.tool_parser, wanted.model.reasoning_parser
    else:
        tool, reasoning = FAMILIES.get(wanted.family or "", (None, None))
    tool, reasoning = wanted.tool_parser or tool, wanted.reasoning_parser or reasoning
    arguments: list[str] = []
    if tool is not None:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", tool]
    else:
        notes.append(
            f"{wanted.served_name} calls no tools by itself: Counterpoint holds it to a JSON "
            "schema instead (tools: constrained)"
        )
    if reasoning is not None:
        arguments += ["--reasoning-parser", reasoning]
    return arguments


def _own_format(wanted: Wanted) -> list[str]:
    model = wanted.model
    if model is None or model.own_format is None or wanted.form is not model.native:
        return []
    return [
        *("--tokenizer-mode", model.own_format),
        *("--config-format", model.own_format),
        *("--load-format", model.own_format),
    ]


def _loras(loras: Sequence[Lora]) -> list[str]:
    if not loras:
        return []
    highest = max(lora.rank for lora in loras)
    rank = next((rank for rank in _RANKS if rank >= highest), None)
    if rank is None:
        raise CannotServe(f"an adapter has the rank {highest}: vLLM serves up to {_RANKS[-1]}")
    return [
        *("--enable-lora", "--max-loras", str(len(loras)), "--max-lora-rank", str(rank)),
        *("--lora-modules", *(f"{lora.name}={lora.path}" for lora in loras)),
    ]
