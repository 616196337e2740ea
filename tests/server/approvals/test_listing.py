"""However many wait, the queue is listed with the same few trips to Redis."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import AbstractConnection

from server.approvals.record import ApprovalStatus
from server.approvals.store import Filter
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
        made = 0
        send = AbstractConnection.send_packed_command

        async def counted(self: AbstractConnection, *args: object, **options: object) -> None:
            nonlocal made
            made += 1
            await send(self, *args, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(AbstractConnection, "send_packed_command", counted)
            items, total = await desk.approvals.list("default", wanted, limit=500)
            counts = await desk.approvals.store.counts("default")
        assert len(items) == total == counts[ApprovalStatus.PENDING] == count
        return made

    await desk.one()
    # Scripts are sent once, then known.
    await trips(1)
    few = await trips(1)
    run = await desk.running()
    asked = [asking(run, f"i{number}") for number in range(499)]
    await desk.approvals.request(asked, fence=run.fence)
    assert await trips(500) == few <= TRIPS
