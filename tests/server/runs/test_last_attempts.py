"""Two runs at their last attempt never share a worker: one of them may be what kills it."""

from __future__ import annotations

from server.runs.moves import ClaimOutcome
from server.runs.records import RunRecords
from tests.server.runs.workshop import stored, success


async def worn(records: RunRecords, run_id: str) -> None:
    """A run whose worker has died twice."""
    await stored(records, run_id, run_id)
    for _ in range(2):
        await records.claim(run_id, worker="dead", lease_seconds=0)


async def test_one_last_attempt_at_a_time_on_a_worker(records: RunRecords) -> None:
    for run_id in ("r1", "r2"):
        await worn(records, run_id)
    first = await records.claim("r1", worker="a")
    assert first.outcome is ClaimOutcome.HELD
    refused = await records.claim("r2", worker="a")
    assert (refused.outcome, refused.attempt) == (ClaimOutcome.ELSEWHERE, 2)
    await success(records, "r1", token=first.token)
    assert (await records.claim("r2", worker="a")).outcome is ClaimOutcome.HELD


async def test_another_worker_takes_it_meanwhile(records: RunRecords) -> None:
    for run_id in ("r1", "r2"):
        await worn(records, run_id)
    await records.claim("r1", worker="a")
    assert (await records.claim("r2", worker="b")).outcome is ClaimOutcome.HELD


async def test_a_last_attempt_whose_lease_is_over_keeps_nobody_out(records: RunRecords) -> None:
    for run_id in ("r1", "r2"):
        await worn(records, run_id)
    await records.claim("r1", worker="a", lease_seconds=0)
    assert (await records.claim("r2", worker="a")).outcome is ClaimOutcome.HELD


async def test_a_run_that_is_not_at_its_last_attempt_is_never_kept_out(
    records: RunRecords,
) -> None:
    await worn(records, "r1")
    await stored(records, "r2", "r2")
    await records.claim("r1", worker="a")
    assert (await records.claim("r2", worker="a")).outcome is ClaimOutcome.HELD
