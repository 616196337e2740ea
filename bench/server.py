"""What a run costs in the server itself: `python -m bench.server`, part of `make bench`.

A run of the team makes five streamed model calls and four searches; the endpoint answers at once,
so that time and CPU are the server's own. All processes of the server count, Redis and the document
engine among them; the endpoint and the clients do not.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench import baseline, endpoint, installation, profiling, report
from bench.installation import Installation
from bench.processes import cpu_by_name, cpu_ms, memory
from bench.sse_client import Connection, Followed, UnexpectedError, percentile
from evals.product import finished

AT_ONCE = (1, 8, 32, 128)
MODES = ["values", "messages-tuple", "custom"]
RUNS = {1: 20, 8: 80, 32: 96, 128: 128}
ROUNDS = 2
GROWTH_RUNS = 500
READERS = 100
STREAMS = 16
PACE = "[pace 20 ms, 100 tokens] "


def asked(text: str = endpoint.QUESTION, **more: Any) -> dict[str, Any]:
    """The body of a run of the team."""
    return {
        "assistant_id": "team",
        "input": {"messages": [{"role": "user", "content": text}]},
        "stream_mode": MODES,
        "if_not_exists": "create",
        **more,
    }


async def one_run(connection: Connection, body: Mapping[str, Any], **more: Any) -> Followed:
    """A run on a thread of its own, followed to its end. Raises UnexpectedError if it failed."""
    path = f"/threads/{uuid.uuid4()}/runs/stream"
    followed = await connection.follow("POST", path, body, **more)
    if followed.status != 200 or b"event: error" in followed.body:
        said = bytes(followed.body[-600:]).decode(errors="replace")
        raise UnexpectedError(f"the run failed: {followed.status} {said}")
    return followed


@dataclass(frozen=True, kw_only=True)
class Load:
    """Runs at so many at once: a second, CPU ms each, and how long a client waited, in ms."""

    at_once: int
    rate: float
    cpu: float
    by_name: Mapping[str, float]
    first_event: tuple[float, float]
    first_token: tuple[float, float] | None
    whole: tuple[float, float]


Body = Callable[[], Mapping[str, Any]]


def unseen() -> Body:
    """Bodies of which each asks for something that was not asked before."""
    numbers = itertools.count(1)
    return lambda: asked(f"{endpoint.QUESTION} This is case {next(numbers)}.")


async def load(there: Installation, *, at_once: int, runs: int, body: Body = asked) -> Load:
    """Clients that each start the next run when one has ended."""
    left = iter(range(runs))
    found: list[Followed] = []

    async def client() -> None:
        connection = Connection(there.url)
        for _ in left:
            found.append(await one_run(connection, body()))
        connection.close()

    roots = there.pids.values()
    before, names = cpu_ms(*roots), cpu_by_name(*roots)
    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    elapsed = time.perf_counter() - started
    spent = cpu_ms(*roots) - before
    after = cpu_by_name(*roots)
    tokens = [one.first_token for one in found if one.first_token is not None]
    return Load(
        at_once=at_once,
        rate=runs / elapsed,
        cpu=spent / runs,
        by_name={n: (ms - names.get(n, 0.0)) / runs for n, ms in after.items()},
        first_event=_ms([one.first_event for one in found]),
        first_token=_ms(tokens) if tokens else None,
        whole=_ms([one.ended for one in found]),
    )


def _ms(seconds: list[float]) -> tuple[float, float]:
    return 1000 * percentile(seconds, 0.5), 1000 * percentile(seconds, 0.99)


async def token_delay(there: Installation, *, streams: int) -> tuple[float, float] | None:
    """From the endpoint's write to the client's read of a token, over streams at once, in ms."""
    delays: list[float] = []

    async def follow() -> None:
        connection = Connection(there.url)
        body = asked(PACE + endpoint.QUESTION, assistant_id="researcher")
        await one_run(connection, body, on_piece=_reading(delays))
        connection.close()

    await asyncio.gather(*(follow() for _ in range(streams)))
    return _ms(delays) if delays else None


def _reading(delays: list[float]) -> Any:
    """Notes each token's delay where it is first seen in a message event.

    What was written before the reader had anything tells when it came, not how long that took.
    """
    seen: set[bytes] = set()
    joined = float("inf")

    def piece(data: bytes) -> None:
        nonlocal joined
        now = time.time()
        joined = min(joined, now)
        for letters in endpoint.STAMP.findall(data):
            if letters not in seen:
                seen.add(letters)
                if (written := endpoint.stamped(letters)) >= joined:
                    delays.append(now - written)

    return piece


async def readers(there: Installation, *, count: int) -> report.Readers:
    """The same delay for many who read one run, and when each had its first event, in ms.

    They all come at once, as the run begins.
    """
    delays: list[float] = []
    joined: list[float] = []
    thread_id = str(uuid.uuid4())
    connection = Connection(there.url)
    body = asked(PACE + endpoint.QUESTION, assistant_id="researcher")
    await connection.request("POST", "/threads", {"thread_id": thread_id})
    run = await connection.request("POST", f"/threads/{thread_id}/runs", body)
    path = f"/threads/{thread_id}/runs/{run['run_id']}/stream?stream_mode=messages-tuple"

    async def follow() -> None:
        following = Connection(there.url)
        headers = {"last-event-id": "-1"}
        found = await following.follow("GET", path, on_piece=_reading(delays), headers=headers)
        joined.append(found.first_event)
        following.close()

    await asyncio.gather(*(follow() for _ in range(count)))
    connection.close()
    return report.Readers(delay=_ms(delays) if delays else None, joined=_ms(joined))


@dataclass(frozen=True, kw_only=True)
class Growth:
    """KiB a run: in the server's processes, and in Redis."""

    server: float
    redis: float


async def growth(there: Installation, *, runs: int, body: Body = asked) -> Growth:
    """What is still held per run once it is over or paused.

    After as many that are not counted: caches fill, and the heap finds its size.
    """
    servers = [pid for name, pid in there.pids.items() if name != "redis"]
    async with Redis.from_url(there.redis_url) as redis:
        await load(there, at_once=8, runs=runs, body=body)
        before = sum(map(memory, servers)), await _used(redis)
        await load(there, at_once=8, runs=runs, body=body)
        after = sum(map(memory, servers)), await _used(redis)
    return Growth(
        server=(after[0] - before[0]) / 1024 / runs, redis=(after[1] - before[1]) / 1024 / runs
    )


async def _used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory_dataset"])


async def measure(there: Installation, *, quick: bool, profile: Path | None) -> report.Row:
    """All figures of one installation."""
    await load(there, at_once=8, runs=40)
    loads = []
    for at_once in (8,) if quick else AT_ONCE:
        tries = []
        async with profiling.recorded(there.pids, profile if at_once == 8 else None):
            for _ in range(ROUNDS):
                tries.append(await load(there, at_once=at_once, runs=RUNS[at_once]))
        loads.append(min(tries, key=lambda one: one.cpu))
        print(f"  {there.name}: {at_once} at once: {loads[-1].rate:.1f} runs/s, ", end="")
        print(f"{loads[-1].cpu:.1f} ms CPU", flush=True)
    runs = 100 if quick else GROWTH_RUNS
    return report.Row(
        name=there.name,
        loads=loads,
        unseen=await load(there, at_once=8, runs=RUNS[8], body=unseen()),
        token_delay=await token_delay(there, streams=STREAMS),
        readers=await readers(there, count=READERS),
        finished=await growth(there, runs=runs),
        paused=await growth(there, runs=runs, body=lambda: asked(assistant_id="pausing")),
    )


async def main() -> None:
    """Measure, print the tables, with ``--write`` put them into a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--write", type=Path, help="write the page with the tables here")
    parser.add_argument("--quick", action="store_true", help="8 at once, fewer runs")
    parser.add_argument("--only", choices=["up", "apart"], help="one kind of installation")
    parser.add_argument("--profile", type=Path, help="where py-spy writes what it saw")
    parser.add_argument("--concurrency", type=int, default=16, help="runs at once in a worker")
    given = parser.parse_args()
    rows = []
    async with endpoint.Running() as model:
        flat = await baseline.measure(model.url)
        for kind in ("up", "apart"):
            if given.only in (None, kind):
                with tempfile.TemporaryDirectory() as folder:
                    opened = installation.together if kind == "up" else installation.apart
                    async with opened(
                        Path(folder), model_url=model.url, concurrency=given.concurrency
                    ) as there:
                        rows.append(await measure(there, quick=given.quick, profile=given.profile))
        # Others may use the cores too: what was there before and after is nearer to what was there.
        flat = baseline.mean(flat, await baseline.measure(model.url))
    page = report.page(rows, flat=flat)
    print(page)
    if given.write is not None:
        given.write.write_text(page)


if __name__ == "__main__":
    finished(main())
