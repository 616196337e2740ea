"""One approval from its request to its execution, on every server that we promise to run on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.approvals.record import ApprovalStatus
from tests.doubles.redis_kinds import Server
from tests.server.approvals.desk import ARGS, Desk


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    return redis_of_kind(redis_kind).url


async def test_an_approval_goes_its_way_and_the_audit_log_is_whole(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(one, "edit", args={**ARGS, "amount": 90})
    assert await desk.use(done) is not None
    late = await desk.one()
    await desk.over_now(late)
    gone = await desk.one()
    await desk.runs.cancel(gone.run_id)
    await desk.sweeper.sweep()
    counts = await desk.approvals.store.counts("default")
    assert {status for status, many in counts.items() if many} == {
        ApprovalStatus.EDITED,
        ApprovalStatus.EXPIRED,
        ApprovalStatus.CANCELLED,
    }
    assert sorted(await desk.told()) == sorted(
        ["requested", "decided", "executed", "requested", "expired", "requested", "cancelled"]
    )
