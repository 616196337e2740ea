"""However many wait, the queue is listed with the same few trips to Redis."""

from __future__ import annotations

import pytest

from server.approvals.record import ApprovalStatus
from server.approvals.store import Filter
from tests.doubles.trips import counted_trips
from tests.server.approvals.desk import Desk, asking

PENDING = frozenset({ApprovalStatus.PENDING})
TRIPS = 5


@pytest.mark.parametrize(
    "wanted", [Filter(statuses=PENDING), Filter(statuses=PENDING, tool="refund"), Filter()]
)
async def test_five_hundred_are_listed_in_as_many_trips_as_five(
    desk: Desk, wanted: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trips(count: int) -> int:
        with counted_trips(monkeypatch) as made:
            items, total = await desk.approvals.list("default", wanted, limit=500)
            counts = await desk.approvals.store.counts("default")
        assert len(items) == total == counts[ApprovalStatus.PENDING] == count
        return len(made)

    await desk.one()
    # Scripts are sent once, then known.
    await trips(1)
    few = await trips(1)
    run = await desk.running()
    asked = [asking(run, f"i{number}") for number in range(499)]
    await desk.approvals.request(asked, fence=run.fence)
    assert await trips(500) == few <= TRIPS
