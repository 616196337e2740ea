"""Which GPUs there are: as `nvidia-smi` tells, or as a person writes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

QUERY = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)

_MIB = 1024 * 1024
_UNITS = {"": 10**9, "g": 10**9, "gb": 10**9, "gib": 1024**3, "mb": 10**6, "mib": _MIB}
_SIZE = re.compile(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU: ``memory`` in bytes; ``capability`` is CUDA's, such as 8.9, None if unknown."""

    memory: int
    name: str = ""
    capability: float | None = None


def parse_sizes(text: str) -> list[Gpu]:
    """GPUs as a person writes them: ``24GB``, ``24GB,24GB``, ``2x80GB``, ``23034MiB``.

    GB is 10^9 bytes, which is what cards have at least of what their label says. Raises
    ``ValueError``, with a message for people.
    """
    gpus: list[Gpu] = []
    for part in text.split(","):
        match = _SIZE.fullmatch(part.strip())
        unit = _UNITS.get(match[3].lower()) if match else None
        if match is None or unit is None:
            raise ValueError(f"'{part.strip()}' is no GPU's memory: write 24GB or 2x80GB")
        gpus += [Gpu(memory=int(float(match[2]) * unit))] * int(match[1] or 1)
    if not gpus or any(gpu.memory < 10**9 for gpu in gpus):
        raise ValueError(f"'{text}' names no GPU of 1 GB or more: write 24GB or 2x80GB")
    return gpus


def parse_nvidia_smi(text: str) -> list[Gpu]:
    """What ``QUERY`` prints, a GPU a line; lines of other kinds (warnings, errors) are left out.

    A GPU without memory of its own to tell (``[N/A]``) is left out too.
    """
    gpus: list[Gpu] = []
    for line in text.splitlines():
        name, comma, rest = line.rpartition(",")
        name, second, memory = name.rpartition(",")
        if comma and second and memory.strip().isdigit():
            capability = re.fullmatch(r"\s*(\d+\.\d+)\s*", rest)
            gpus.append(
                Gpu(
                    name=name.strip(),
                    memory=int(memory) * _MIB,
                    capability=float(capability[1]) if capability else None,
                )
            )
    return gpus


async def found(query: Sequence[str] = QUERY) -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where ``nvidia-smi`` is absent or fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *query,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return []
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return []
    return parse_nvidia_smi(out.decode(errors="replace")) if process.returncode == 0 else []
