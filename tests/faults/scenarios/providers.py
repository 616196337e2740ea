"""A model provider on a bad day."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.oracle import OracleError
from tests.faults.provider import Fault
from tests.faults.stage import Stage

_SURVIVED = frozenset(
    {
        Fault.RATE_LIMITED,
        Fault.RATE_LIMITED_AFTER,
        Fault.FAILED,
        Fault.SLOW,
        Fault.NO_USAGE,
        Fault.CUT,
        Fault.SILENT,
    }
)
"""What one repetition gets over; the others may end a run, cleanly."""


async def bad_day(there: Stage) -> None:
    """16. Whatever the provider does, the run ends cleanly and its ledger is right."""
    await there.worker(concurrency=2, model_timeout=2.0)
    survives = True
    for _ in range(2):
        fault = there.rng.choice(list(Fault))
        there.provider.faults = [fault]
        run = await there.accept_team()
        record = await there.until(run, "success", "error", within=30)
        survives = fault in _SURVIVED
        if survives and record.status != "success":
            raise OracleError(f"the provider's {fault.value!r} ended a run: {record.error}")
        if record.status == "error":
            told = (record.result or {}).get("message", "")
            if "Traceback" in told or not told:
                raise OracleError(f"the provider's {fault.value!r} was told as {told!r}")
            there.accepted[-1] = replace(run, ends=("error",))
    await there.judge()
    await there.cleared()


async def dies_in_a_call(there: Stage) -> None:
    """16. A worker killed in the middle of a model call: what was served is in the ledger."""
    first = await there.worker(concurrency=2)
    there.provider.faults = [Fault.SLOW] * 3
    there.provider.slow_seconds = 0.1
    run = await there.accept_team()
    await there.until(run, "running")
    await there.pause(there.rng.uniform(0.1, 1.5))
    await first.kill()
    there.provider.slow_seconds = 0.0
    await there.worker(concurrency=2)
    await there.settled()
    await there.judge(killed=True)
    await there.cleared()
