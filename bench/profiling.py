"""What a process does while it is measured, as py-spy sees it from outside."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

SAMPLES_A_SECOND = 200


@asynccontextmanager
async def recorded(pids: Mapping[str, int], folder: Path | None) -> AsyncIterator[None]:
    """Samples each Python process into ``folder/NAME.raw``; without a folder it does nothing."""
    if folder is None:
        yield
        return
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if spy is None:
        raise RuntimeError("--profile needs py-spy: `.venv/bin/pip install -e '.[bench]'`")
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    watching = []
    for name, pid in pids.items():
        if name != "redis":
            words = ["record", "--pid", str(pid), "--format", "raw", "--rate", SAMPLES_A_SECOND]
            words += ["--duration", "600", "--output", folder / f"{name}.raw"]
            watching.append(
                await asyncio.create_subprocess_exec(
                    spy,
                    *map(str, words),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            )
    await asyncio.sleep(1.0)
    try:
        yield
    finally:
        for process in watching:
            process.send_signal(signal.SIGINT)
            await process.wait()


def shares(raw: Path, *, groups: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Which part of the samples belongs to which group, by the innermost frame that names one."""
    found: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        found[_group(stack.split(";"), groups)] += int(count)
    total = sum(found.values()) or 1
    return {name: number / total for name, number in found.most_common()}


def _group(stack: list[str], groups: Mapping[str, tuple[str, ...]]) -> str:
    for frame in reversed(stack):
        for name, words in groups.items():
            if any(word in frame for word in words):
                return name
    return "other"
