"""What a session of the sandbox costs: ``python -m bench.sandbox``.

Beside a bare kernel of Jupyter's, asked over ``jupyter_client`` in the same run: a cell's round
trip is compared with its own. ``--packages`` names the folder that `counterpoint sandbox install`
filled, the data folder's own by default.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server import sandboxing, settings
from tools.sandbox.bubblewrap import BubblewrapSandbox
from tools.sandbox.find import Sizes, Unavailable, open_sandbox
from tools.sandbox.memory import descendants, memory_of
from tools.sandbox.sandbox import MEBIBYTE, Sandbox

CELLS = 300
ROUNDS = 5
MANY = 50
COLD = 5


@dataclass(frozen=True, kw_only=True)
class Trip:
    """Round trips of one cell after the other, milliseconds."""

    median: float
    p99: float


async def _trips(run: Callable[[str], Awaitable[object]], *, cells: int) -> list[float]:
    found = []
    for number in range(cells):
        start = time.perf_counter()
        await run(f"print({number})")
        found.append(1000 * (time.perf_counter() - start))
    return found


def _trip(times: Sequence[float]) -> Trip:
    ordered = sorted(times)
    return Trip(median=statistics.median(ordered), p99=ordered[int(len(ordered) * 0.99)])


async def round_trips(sandbox: Sandbox) -> tuple[Trip, Trip]:
    """Ours, then a bare kernel's, in turns so that both see the same machine."""
    from jupyter_client.manager import AsyncKernelManager

    session = await sandbox.create()
    manager = AsyncKernelManager()
    await manager.start_kernel(env={**os.environ, "OMP_NUM_THREADS": "1"})
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)

    async def bare(code: str) -> None:
        await client.execute_interactive(code, output_hook=lambda message: None, timeout=60)

    try:
        await _trips(session.run, cells=20)
        await _trips(bare, cells=20)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            ours += await _trips(session.run, cells=CELLS // ROUNDS)
            theirs += await _trips(bare, cells=CELLS // ROUNDS)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        await session.close()
    return _trip(ours), _trip(theirs)


async def first_cell(sandbox: Sandbox) -> float:
    """Milliseconds from wanting a session to its first cell's end."""
    start = time.perf_counter()
    session = await sandbox.create()
    await session.run("1 + 1")
    elapsed = 1000 * (time.perf_counter() - start)
    await session.close()
    return elapsed


async def warmth(packages: Path) -> tuple[list[float], list[float]]:
    """First cells without and with a kernel that was ready."""
    cold_one = await _opened(packages, Sizes(kernels=2))
    cold = [await first_cell(cold_one) for _ in range(COLD)]
    await cold_one.close()
    warm_one = await _opened(packages, Sizes(kernels=2, warm=1))
    warm = []
    for _ in range(COLD):
        await ready(warm_one, 1)
        warm.append(await first_cell(warm_one))
    await warm_one.close()
    return cold, warm


async def ready(sandbox: Sandbox, count: int) -> None:
    """Wait until so many kernels are warm."""
    assert isinstance(sandbox, BubblewrapSandbox)
    async with asyncio.timeout(300):
        while sandbox.ready < count:  # noqa: ASYNC110 - a bench may wait
            await asyncio.sleep(0.01)


async def many(packages: Path) -> tuple[float, float, float]:
    """Seconds until ``MANY`` sessions have run a cell, the median trip (ms) of all of them asked
    at once, and bytes that one holds idle."""
    sandbox = await _opened(packages, Sizes(kernels=MANY))
    start = time.perf_counter()
    sessions = await asyncio.gather(*(sandbox.create() for _ in range(MANY)))
    await asyncio.gather(*(session.run("1 + 1") for session in sessions))
    elapsed = time.perf_counter() - start
    trips = await asyncio.gather(*(_trips(session.run, cells=10) for session in sessions))
    held = sum(memory_of(process, exact=True) for process in list(descendants(os.getpid()))[1:])
    await sandbox.close()
    return elapsed, statistics.median(one for trip in trips for one in trip), held / MANY


async def _opened(packages: Path, sizes: Sizes) -> Sandbox:
    sandbox = await open_sandbox(packages=packages, sizes=sizes)
    if isinstance(sandbox, Unavailable):
        raise SystemExit(f"no sandbox here: {sandbox.reason}; {sandbox.remedy}")
    return sandbox


async def main(packages: Path) -> None:
    """Print the table."""
    sandbox = await _opened(packages, Sizes())
    python = next(one.detail for one in sandbox.describe().guarantees if one.name == "python")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {python}")
    ours, theirs = await round_trips(sandbox)
    await sandbox.close()
    print(f"cell round trip          {ours.median:8.2f} ms median, {ours.p99:.2f} ms p99")
    print(f"  a bare Jupyter kernel's{theirs.median:8.2f} ms median, {theirs.p99:.2f} ms p99")
    print(f"  ratio                  {ours.median / theirs.median:8.2f}")
    cold, warm = await warmth(packages)
    print(f"first cell, cold         {statistics.median(cold):8.0f} ms median of {COLD}")
    print(f"first cell, warm         {statistics.median(warm):8.1f} ms, slowest {max(warm):.1f} ms")
    elapsed, trip, held = await many(packages)
    print(f"{MANY} kernels at once      {elapsed:8.1f} s until each has run a cell")
    print(f"  all asked at once      {trip:8.2f} ms median")
    print(f"  memory of an idle one  {held / MEBIBYTE:8.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=None)
    given = parser.parse_args().packages
    asyncio.run(main(given or sandboxing.packages_folder(settings.load())))
