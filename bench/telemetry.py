"""``python -m bench.telemetry``: what tracing adds to the CPU of a run.

The same team does the same runs through the real worker, queue, log and checkpoints: untraced,
with traces kept, and with traces kept and sent to a collector. Rounds take turns, so that what
else the machine does falls on all of them, and the ratio is that of the rounds beside each other.
CPU is this process's and that of Redis; the collector is another process and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from agents import roster
from bench.__main__ import Instant, _search
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from guardrails import limits, policy
from models.registry import Role
from server.executor import Executor, GraphExecutor
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.registry import GraphRegistry
from server.runs.asked import of_messages
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.runs.worker import RunWorker
from server.team import TeamExecutor
from server.telemetry import otlp
from server.telemetry.hearing import Listeners
from server.telemetry.kept import RedisTraces
from server.telemetry.tracing import Tracing
from tools.search_documents import SearchDocuments
from tools.tool import Effect, Tool

ROUNDS, RUNS, AT_ONCE = 12, 60, 8
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
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


@asynccontextmanager
async def working(
    redis: Redis, url: str, keys: Keys, tracing: Tracing | None
) -> AsyncIterator[Runs]:
    """A worker of the team, and what takes runs for it."""
    records, log, saver = RunRecords(redis, keys), EventLog(redis, keys), RedisSaver(redis, keys)
    listeners = Listeners([] if tracing is None else [tracing])
    search = Tool(
        name="search_documents",
        description="Search.",
        parameters=SearchDocuments,
        effect=Effect.READS,
        call=_search,
    )
    registry, ledgers = GraphRegistry(saver=saver), RedisRunLedgers(redis, keys)
    most = limits.Limits(steps=40, tokens=200_000, cost=1.0, seconds=600.0)
    team = TeamExecutor(
        registry=registry,
        ledgers=ledgers,
        agents=roster.build(),
        models=dict.fromkeys(Role, Instant()),
        tools={search.name: search},
        rules=[policy.Rule(tool="*", decision=policy.Decision.ALLOW)],
        limits=most,
        listeners=listeners,
    )
    graph = GraphExecutor(registry=registry, ledgers=ledgers, limits=most)
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(RunQueue(url, keys))
        if tracing is not None:
            await stack.enter_async_context(tracing)
        await stack.enter_async_context(
            RunWorker(
                records=records,
                log=log,
                queue=queue,
                executor=Executor(team_executor=team, graph_executor=graph),
                steps=saver,
                concurrency=AT_ONCE,
                listeners=listeners,
            )
        )
        created = None if tracing is None else tracing.created
        yield Runs(records=records, log=log, queue=queue, steps=saver, created=created)


async def cpu_of(redis: Redis) -> float:
    """Seconds of CPU so far, of this process with its threads and of Redis."""
    told: dict[str, Any] = await redis.info("cpu")
    return time.process_time() + float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


async def a_round(redis: Redis, url: str, keys: Keys, tracing: Tracing | None) -> float:
    """CPU milliseconds a run."""
    async with working(redis, url, keys, tracing) as runs:
        turn = asyncio.Semaphore(2 * AT_ONCE)

        async def one() -> None:
            async with turn:
                said = {"role": "user", "content": "How long can I return an annual plan?"}
                record = await runs.wait((await runs.create(of_messages([said]))).run_id)
                if record.status is not RunStatus.SUCCESS:
                    raise RuntimeError(f"the run ended as {record.status}: {record.error}")

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        gc.collect()
        before = await cpu_of(redis)
        await asyncio.gather(*(one() for _ in range(RUNS)))
        if tracing is not None:
            await tracing.flush()
        return 1_000 * (await cpu_of(redis) - before) / RUNS


async def main(rounds: int) -> None:
    """Print the table."""
    collector = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COLLECTOR, stdout=asyncio.subprocess.PIPE
    )
    assert collector.stdout is not None
    os.environ[ENDPOINT] = (
        f"http://127.0.0.1:{(await collector.stdout.readline()).decode().strip()}"
    )
    found: dict[str, list[float]] = {"off": [], "kept": [], "kept and sent": []}
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        await server.start()
        redis, keys = open_redis(server.url), Keys(prefix="bench:")
        lost = sent = 0
        try:
            await a_round(redis, server.url, keys, None)
            for number in range(rounds):
                order = list(found)
                for mode in order[number % 3 :] + order[: number % 3]:
                    exporting = otlp.opened(dict(os.environ)) if mode == "kept and sent" else None
                    tracing = None
                    if mode != "off":
                        tracing = Tracing(
                            kept=RedisTraces(redis, keys),
                            exporting=exporting,
                            tools=["search_documents"],
                        )
                    found[mode].append(await a_round(redis, server.url, keys, tracing))
                    if exporting is not None:
                        lost, sent = lost + exporting.lost, sent + exporting.sent
        finally:
            await redis.aclose()
            await server.close()
            collector.terminate()
            await collector.wait()
    print("traces        | CPU ms a run (median) | against off: least of each | rounds: quartiles")
    for mode, spent in found.items():
        ratios = [one / off - 1 for one, off in zip(spent, found["off"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        # What else the machine does only ever adds: the least of many rounds is nearest to the run.
        least = min(spent) / min(found["off"]) - 1
        print(
            f"{mode:13} | {statistics.median(spent):21.2f} "
            f"| {least:+26.1%} | {low:+.1%}, {middle:+.1%}, {high:+.1%}"
        )
    print(f"{rounds} rounds of {RUNS} runs each; {sent} spans sent, {lost} lost")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What tracing adds to a run's CPU.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(main(parser.parse_args().rounds))
