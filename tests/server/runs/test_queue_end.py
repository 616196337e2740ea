"""The queue's end comes, also where a cancel was lost on its way."""

from __future__ import annotations

import asyncio

import pytest
from docket.strikelist import StrikeList

from graphs.keys import Keys
from server.runs.queue import RunQueue

SECONDS = 30.0


async def test_a_queue_closes_though_its_engine_lost_a_cancel(
    redis_url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Python 3.12, where `wait_for` ended in the same turn of the loop as the cancel."""
    lost = asyncio.Event()

    async def monitor(self: StrikeList) -> None:
        del self
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(StrikeList, "_monitor_strikes", monitor)
    queue = RunQueue(redis_url, keys)
    await queue.__aenter__()
    await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        await queue.__aexit__(None, None, None)
    assert lost.is_set()
