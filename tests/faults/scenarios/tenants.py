"""Many at once: one tenant's flood, and one run's branches at its limit."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from graphs.context import LedgerGate
from guardrails import limits
from models.attempts import TokenUsage
from tests.faults.oracle import OracleError
from tests.faults.stage import Stage

FLOOD = 300
SAMPLES = 20
_AT_ONCE = 8
_WORST = 1_000
_NOISE_SECONDS = 0.1


async def fair(there: Stage) -> None:
    """23. One tenant floods; another's wait at the 95th percentile at most doubles."""
    for _ in range(2):
        await there.worker(concurrency=4, tenant_concurrency=4)
    # Its first run meets cold connections.
    await _wait(there, tenant="quiet")
    idle = [await _wait(there, tenant="quiet") for _ in range(SAMPLES)]
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with turn:
            await there.accept("s", tenant="loud", pace=0.1)

    await asyncio.gather(*(one() for _ in range(FLOOD)))
    busy = [await _wait(there, tenant="quiet") for _ in range(SAMPLES)]
    left = await there.redis.zcard(there.keys.tenant_waiting("loud"))
    if not left:
        raise OracleError("the flood was over before the other tenant was measured")
    # What a machine that is busy needs longer is no unfairness; waiting in line would be seconds.
    if _p95(busy) > 2 * _p95(idle) + _NOISE_SECONDS:
        raise OracleError(f"p95 of the wait rose from {_p95(idle):.3f} to {_p95(busy):.3f} s")
    await there.settled(within=120)
    await there.judge(within=15)
    await there.cleared()


async def _wait(there: Stage, *, tenant: str) -> float:
    """Seconds from when a run was stored until its work began, both by Redis' clock."""
    run = await there.accept("s", tenant=tenant)
    async with asyncio.timeout(30):
        ids = [entry.id async for entry in there.runs.events(run.run_id)]
    record = await there.runs.get(run.run_id, tenant=tenant)
    assert record.created_at is not None
    return int(ids[0].partition("-")[0]) / 1000 - record.created_at.timestamp()


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


async def budget_race(there: Stage) -> None:
    """22. Fifty branches want what is enough for ten: at most ten are let through."""
    run = await there.accept_team()
    ledger = limits.Ledger(
        limits.Limits(steps=100, tokens=10 * _WORST, cost=1.0, seconds=60.0), clock=time.monotonic
    )
    record = await there.runs.get(run.run_id)
    _, durable = await there.ledgers.open(record)
    admitted: list[LedgerGate] = []

    async def branch(number: int) -> None:
        gate = LedgerGate(
            ledger, agent="any", task_id=f"{number}", emit=lambda event: None, durable=durable
        )
        await there.pause(there.rng.uniform(0, 0.01))
        try:
            await gate.reserve(
                "model", input_tokens=_WORST - 10, max_output_tokens=10, max_cost=0.0
            )
        except limits.LimitExceededError:
            return
        admitted.append(gate)

    await asyncio.gather(*map(branch, range(50)))
    if not 0 < len(admitted) <= 10:
        raise OracleError(f"{len(admitted)} of 50 were let through, the limit is 10")
    held = (await there.ledgers.account(run.run_id)).spent
    if held.input_tokens + held.output_tokens != len(admitted) * _WORST:
        raise OracleError(f"the ledger holds {held} for {len(admitted)} attempts")
    for gate in admitted:
        usage = TokenUsage(input_tokens=5, output_tokens=5)
        await gate.settle("model", usage=usage, cost=0.0, seconds=0.0)
    await durable.flush(spent=ledger.spent, over=True)
    held = (await there.ledgers.account(run.run_id)).spent
    if held.input_tokens + held.output_tokens != 10 * len(admitted):
        raise OracleError(f"the ledger holds {held} once {len(admitted)} attempts are settled")
    await there.runs.cancel(run.run_id)
    there.accepted[-1] = replace(run, ends=("cancelled",))
    await there.worker()
    await there.judge(killed=True)
    await there.cleared()
