"""A Redis that is full takes what makes room, on every server that we promise to run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.approvals.record import ApprovalStatus
from server.runs.asked import CancelAction
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.threads.sweeper import ThreadSweeper
from server.threads.thread import Strategy, TimeToLive
from tests.doubles.redis_kinds import Server
from tests.server.people import People, at_work
from tests.server.surface import Parts

HOUR = 3_600_000_000
ITEM: dict[str, Any] = {"namespace": ["n"], "key": "k"}

Full = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    return redis_of_kind(redis_kind).url


@pytest.fixture
async def people(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[People]:
    async with at_work(parts, redis, keys) as found:
        yield found


@pytest.fixture
def full(redis: Redis) -> Full:
    @asynccontextmanager
    async def filled() -> AsyncIterator[None]:
        await redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            await redis.config_set("maxmemory", "0")

    return filled


async def left_of(redis: Redis, keys: Keys, *names: str) -> list[str]:
    """Keys that still name one of these, but for what approvals tell of the past."""
    found = [key.decode() async for key in redis.scan_iter(f"{keys.prefix}*", count=1000)]
    return [key for key in found if any(name in key for name in names) and "{approvals}" not in key]


async def test_a_thread_goes_with_all_that_hangs_on_it_also_an_empty_one(
    people: People, redis: Redis, keys: Keys, full: Full
) -> None:
    empty = (await people.client.post("/threads", json={})).json()["thread_id"]
    await people.ask("inbox")
    files = {"file": ("a.txt", b"hello")}
    at = f"/threads/{people.thread}"
    assert (await people.client.post(f"{at}/files", files=files)).status_code == 200
    (paused,) = await people.parts.runs.of_thread(people.thread)
    async with full():
        refused = await people.client.post(f"/threads/{empty}/runs", json={"assistant_id": "bare"})
        assert refused.status_code == 503
        assert "delete threads" in refused.json()["detail"]
        for thread in (empty, people.thread):
            assert (await people.client.delete(f"/threads/{thread}")).status_code == 204
    (asked,) = await people.all()
    assert asked.status is ApprovalStatus.CANCELLED
    assert not await redis.exists(keys.threads_leaving)
    assert await left_of(redis, keys, empty, people.thread, paused.run_id) == []


async def test_threads_are_found_in_any_order_and_pruned(
    people: People, redis: Redis, keys: Keys, full: Full
) -> None:
    await people.ask("bare")
    await people.answer("blue", graph="bare")
    other = (await people.client.post("/threads", json={})).json()["thread_id"]
    order = {"sort_by": "state_updated_at", "status": "idle"}
    async with full():
        listed = await people.client.post("/threads/search", json=order)
        assert {one["thread_id"] for one in listed.json()} == {people.thread, other}
        for thread, strategy in ((people.thread, "keep_latest"), (other, "delete")):
            body = {"thread_ids": [thread], "strategy": strategy}
            pruned = await people.client.post("/threads/prune", json=body)
            assert pruned.json() == {"pruned_count": 1}
        history = await people.client.get(f"/threads/{people.thread}/history")
        assert len(history.json()) == 1
    assert await left_of(redis, keys, other) == []


async def test_a_run_that_waits_for_a_person_is_cancelled_told_and_deleted(
    people: People, full: Full
) -> None:
    await people.ask("inbox")
    (paused,) = await people.parts.runs.of_thread(people.thread)
    at = f"/threads/{people.thread}/runs/{paused.run_id}"
    async with full():
        cancelled = await people.client.post(f"{at}/cancel")
        assert cancelled.status_code == 202
        assert (await people.parts.runs.wait(paused.run_id)).status is RunStatus.CANCELLED
        # Its end is in the log, where whoever follows it hears of it.
        assert await people.parts.records.untold() == []
        await people.sweeper.sweep()
        assert await people.waiting() == []
        assert (await people.client.delete(at)).status_code == 204
        assert (await people.client.get(at)).status_code == 404


async def test_a_run_is_taken_back_and_leaves_nothing(
    people: People, redis: Redis, keys: Keys, full: Full
) -> None:
    await people.ask("bare")
    await people.answer("blue", graph="bare")
    await people.ask("bare")
    (last, *_) = await people.parts.runs.of_thread(people.thread)
    parts = people.parts
    runs = Runs(
        records=parts.records, log=parts.log, queue=parts.queue, steps=RedisSaver(redis, keys)
    )
    async with full():
        await runs.cancel(last.run_id, action=CancelAction.ROLLBACK)
    assert (await people.client.get(f"/threads/{people.thread}")).json()["status"] == "idle"
    assert await left_of(redis, keys, f"checkpoint:run:{last.run_id}") == []


async def test_items_of_the_store_and_files_are_read_and_deleted(
    people: People, full: Full
) -> None:
    await people.client.put("/store/items", json={**ITEM, "value": {"x": 1}, "ttl": 60})
    await people.client.post("/threads", json={"thread_id": people.thread})
    at = f"/threads/{people.thread}/files"
    kept = await people.client.post(at, files={"file": ("a.txt", b"hello")})
    (file,) = kept.json()["items"]
    params = {"key": "k", "namespace": "n", "refresh_ttl": "true"}
    async with full():
        found = await people.client.get("/store/items", params=params)
        assert found.json()["value"] == {"x": 1}
        deleted = await people.client.request("DELETE", "/store/items", json=ITEM)
        assert deleted.status_code == 204
        assert (await people.client.get("/store/items", params=params)).json() is None
        assert (await people.client.delete(f"{at}/{file['id']}")).status_code == 204
        assert (await people.client.get(at)).json()["items"] == []


async def test_threads_whose_time_is_over_leave_though_others_live_on(
    people: People, redis: Redis, keys: Keys, full: Full
) -> None:
    threads = people.parts.threads
    used = await threads.create(ttl=TimeToLive(minutes=30))
    pruned = await threads.create(ttl=TimeToLive(minutes=30, strategy=Strategy.KEEP_LATEST))
    over = await threads.create(ttl=TimeToLive(minutes=30))
    for record in (used, pruned, over):
        await redis.zincrby(keys.threads_expiring, -2 * HOUR, record.checkpoint_thread)
    for record in (pruned, over):
        name = keys.thread_record(record.tenant, record.thread_id)
        await redis.hincrby(name, "updated_at", -HOUR)
    async with full():
        assert await ThreadSweeper(redis, keys, threads=threads).sweep() == 2
    left = await threads.many([one.thread_id for one in (used, pruned, over)])
    assert [one.thread_id for one in left] == [used.thread_id, pruned.thread_id]


async def test_a_thread_whose_worker_is_gone_is_let_go_of(
    people: People, redis: Redis, keys: Keys, full: Full
) -> None:
    await people.ask("inbox")
    record = await people.parts.threads.get(people.thread)
    (paused,) = await people.parts.runs.of_thread(people.thread)
    await redis.delete(keys.run(paused.run_id))
    async with full():
        released = await people.parts.repairs.unlock(people.thread, tenant=record.tenant)
    assert [one.run_id for one in released.released] == [paused.run_id]
