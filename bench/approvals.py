"""How fast the approval queue is listed and decided: ``python -m bench.approvals``.

A server of its own with a user's graph that asks, 500 runs that wait, and what a person's page asks
for: the whole list, one page, the counts. Memory is that of the server, before and with them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx

from bench import endpoint
from bench.installation import Installation, together
from bench.processes import memory
from bench.sse_client import percentile
from evals.product import finished

WAITING = 500
LISTS = 50
DECISIONS = 100
AT_ONCE = 8


async def _wait(client: httpx.AsyncClient, count: int) -> None:
    """So many runs that wait for a person."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turn:
            said = [{"role": "user", "content": "May I?"}]
            body = {
                "assistant_id": "pausing",
                "input": {"messages": said},
                "if_not_exists": "create",
            }
            reply = await client.post(f"/threads/{uuid.uuid4()}/runs/wait", json=body)
            reply.raise_for_status()

    await asyncio.gather(*(one() for _ in range(count)))


async def _timed(call: Callable[[], Awaitable[object]], times: int) -> str:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        took.append(1000 * (time.perf_counter() - started))
    return f"{percentile(took, 0.5):.1f} / {percentile(took, 0.99):.1f} ms (p50 / p99)"


async def main() -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as path:
        async with (
            endpoint.Running() as model,
            together(Path(path), model_url=model.url, concurrency=AT_ONCE) as there,
        ):
            await _measure(there)


async def _measure(there: Installation) -> None:
    async with httpx.AsyncClient(base_url=there.url, timeout=60.0) as client:

        async def get(path: str, total: int) -> None:
            reply = await client.get(path)
            if reply.json()["total"] != total:
                raise RuntimeError(f"{path}: {reply.json()['total']} wait, expected {total}")

        pids = list(there.pids.values())
        # By parts: what only the first ones cost is no cost of a paused run.
        for part in (100, 200, 200):
            before = sum(map(memory, pids))
            await _wait(client, part)
            grown = (sum(map(memory, pids)) - before) / 1024 / part
            print(f"memory of the server's processes, {part} more: {grown:+.2f} KiB a paused run")
        for limit in (WAITING, 50):
            path = f"/approvals?status=pending&limit={limit}"
            told = await _timed(partial(get, path, WAITING), LISTS)
            print(f"listed, {limit} of {WAITING} that wait: {told}")
        filtered = "/approvals?status=pending&agent=pausing&limit=50"
        print(f"filtered by agent: {await _timed(partial(get, filtered, WAITING), LISTS)}")
        found = (await client.get(f"/approvals?status=pending&limit={DECISIONS}")).json()["items"]
        left = iter(found)

        async def decide() -> None:
            one = next(left)
            body = {"decision": "respond", "message": "yes"}
            reply = await client.post(f"/approvals/{one['id']}/decision", json=body)
            reply.raise_for_status()

        print(f"decided, on disk and resumed: {await _timed(decide, DECISIONS)}")


if __name__ == "__main__":
    finished(main())
