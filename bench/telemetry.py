"""``python -m bench.telemetry``: what tracing adds to the CPU of a run.

The run is that of ``bench.server``: five streamed model calls and four searches of the team, asked
for and followed over HTTP, in a real `counterpoint up`. The same process does it untraced, with
traces kept, and with traces kept and sent to a collector, in short rounds that take turns, forwards
and backwards, so that what else the machine does falls on all of them. A block is one such pair of
turns; the ratio to untraced is taken within blocks, and its interval is that of a bootstrap over
them. CPU is that of the process with all its threads and of Redis; model, collector and client are
others and not counted. Beside that difference stands what tracing's own code takes, by the clocks
of its threads: without Redis and what it costs the others' caches, but steady on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench import endpoint, server
from bench.installation import ROOT, scripted
from bench.sse_client import Connection
from bench.switched import MODES, OFF
from evals.product import finished

# With ten runs a round what is sent comes to about one batch of OpenTelemetry's.
BLOCKS, RUNS, AT_ONCE = 40, 10, 5
RESAMPLES = 10_000
COLLECTOR = """
import http.server
class Takes(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(kw_only=True)
class Blocks:
    """CPU milliseconds of a run by mode, one figure a block."""

    spent: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    own: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    sent: int = 0
    lost: int = 0

    def added(self, mode: str) -> Interval:
        """What a mode adds to a run, as a share of the untraced one."""
        pairs = zip(self.spent[mode], self.spent[OFF], strict=True)
        return interval([one / off - 1 for one, off in pairs])

    def itself(self, mode: str) -> Interval:
        """What tracing's own code takes, as a share of the untraced run."""
        pairs = zip(self.own[mode], self.spent[OFF], strict=True)
        return interval([one / off for one, off in pairs])


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with the bounds that hold 95 % of resamples."""

    low: float
    middle: float
    high: float


def interval(found: Sequence[float], *, seed: int = 1) -> Interval:
    """A percentile bootstrap of ``middle``; resamples are the same for the same seed."""
    chance = random.Random(seed)
    drawn = sorted(middle(chance.choices(found, k=len(found))) for _ in range(RESAMPLES))
    low, high = drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]
    return Interval(low=low, middle=middle(found), high=high)


def middle(ratios: Sequence[float]) -> float:
    """Their mean without the highest and the lowest fifth: others' work comes in bursts."""
    cut = len(ratios) // 5
    return statistics.fmean(sorted(ratios)[cut : len(ratios) - cut])


class Program:
    """The server under measurement, spoken to by lines."""

    def __init__(self, process: asyncio.subprocess.Process, redis: Redis) -> None:
        self._process = process
        self._redis = redis

    async def told(self) -> dict[str, Any]:
        """Its next line. Raises RuntimeError where it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server under measurement has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    async def switch(self, mode: str) -> tuple[float, float, Mapping[str, float]]:
        """CPU milliseconds up to the end of the mode before, and from where ``mode`` begins."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n".encode())
        told = await self.told()
        info: Mapping[str, Any] = await self._redis.info("cpu")
        redis = 1_000 * (float(info["used_cpu_user"]) + float(info["used_cpu_sys"]))
        return told["spent"] + redis, told["from"] + redis, told


async def a_round(url: str, runs: int) -> None:
    """Some runs at once, all followed to their end."""
    left = iter(range(runs))

    async def client() -> None:
        connection = Connection(url)
        for _ in left:
            await server.one_run(connection, server.asked())
        connection.close()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def measure(program: Program, url: str, *, blocks: int, runs: int) -> Blocks:
    """Blocks of rounds, each forwards and backwards from another mode on."""
    found = Blocks()
    await a_round(url, 4 * runs)
    for number in range(blocks):
        order = list(MODES[number % 3 :] + MODES[: number % 3])
        spent, own = dict.fromkeys(MODES, 0.0), dict.fromkeys(MODES, 0.0)
        for mode in order + order[::-1]:
            _, before, began = await program.switch(mode)
            await a_round(url, runs)
            after, _, told = await program.switch(OFF)
            spent[mode] += (after - before) / (2 * runs)
            own[mode] += (told["own"] - began["own"]) / (2 * runs)
            found.sent, found.lost = int(told["sent"]), int(told["lost"])
        for mode in MODES:
            found.spent[mode].append(spent[mode])
            found.own[mode].append(own[mode])
    return found


@asynccontextmanager
async def opened(folder: Path, model_url: str) -> AsyncIterator[tuple[Program, str]]:
    """The server, and where it is reached."""
    collector = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COLLECTOR, stdout=asyncio.subprocess.PIPE
    )
    assert collector.stdout is not None
    port = (await collector.stdout.readline()).decode().strip()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.switched"),
        cwd=folder,
        env={
            **scripted(model_url),
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "COUNTERPOINT_DATA_DIR": str(folder / "data"),
            "COUNTERPOINT_CONCURRENCY": "16",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with Redis.from_url(f"unix://{folder / 'data' / 'redis' / 'redis.sock'}") as redis:
            program = Program(process, redis)
            url = (await program.told())["url"]
            connection = Connection(url)
            document = {"title": "plans.md", "text": endpoint.DOCUMENT}
            await connection.request("POST", "/documents", {"documents": [document]})
            connection.close()
            yield program, url
    finally:
        assert process.stdin is not None
        # Its end: it stops by itself.
        process.stdin.close()
        await process.wait()
        collector.terminate()
        await collector.wait()


async def main(blocks: int, runs: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            endpoint.Running() as model,
            opened(Path(folder), model.url) as (program, url),
        ):
            found = await measure(program, url, blocks=blocks, runs=runs)
    print(
        "traces        | CPU ms a run | against off (95 % interval)  | its own code (95 % interval)"
    )
    for mode in MODES:
        line = f"{mode:13} | {statistics.median(found.spent[mode]):12.2f} |"
        if mode != OFF:
            for one in (found.added(mode), found.itself(mode)):
                told = f"{one.middle:+.2%} ({one.low:+.2%} to {one.high:+.2%})"
                line += f" {told:27} |"
            line += f" {statistics.median(found.own[mode]):.2f} ms"
        print(line)
    print(f"{blocks} blocks of {2 * runs} runs of each; ", end="")
    print(f"{found.sent} spans sent, {found.lost} lost")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What tracing adds to a run's CPU.")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--runs", type=int, default=RUNS, help="of a mode in one round")
    given = parser.parse_args()
    finished(main(given.blocks, given.runs))
