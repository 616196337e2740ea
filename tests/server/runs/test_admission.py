"""Whose run is next: threads in order, tenants in turn, no more at once than there are slots."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from graphs import events
from server.runs.admission import Admission
from server.runs.emitter import Emit
from server.runs.leases import Leases
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from tests.server.runs.workshop import House, answer_at_once, finished


@dataclass
class Gauge:
    """Work that notes who was at it, in order and at once; held until so many are."""

    together: int = 0
    order: list[RunRecord] = field(default_factory=list)
    at_once: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, record: RunRecord, emit: Emit) -> events.RunFinished:
        self.order.append(record)
        names = (record.tenant, record.thread_id, "all")
        for name in names:
            self.at_once[name] += 1
            self.most[name] = max(self.most[name], self.at_once[name])
        if self.at_once["all"] >= self.together:
            self.enough.set()
        await self.enough.wait()
        self.at_once.subtract(names)
        return finished()


async def test_a_flood_delays_another_tenant_by_one_turn(house: House) -> None:
    flood = [await house.ask(tenant="flood") for _ in range(60)]
    other = await house.ask(tenant="other")
    gauge = Gauge()
    async with house.worker(gauge, concurrency=2):
        await house.ended(other.run_id)
        place = next(n for n, run in enumerate(gauge.order) if run.tenant == "other")
        await house.ended(flood[-1].run_id)
    # Those that were let in before it came, and at most one of a tenant in between.
    assert place <= house.records.admission.window + 1
    assert len(gauge.order) == 61


async def test_a_tenant_has_no_more_runs_at_once_than_its_limit(house: House) -> None:
    house.records.admission = Admission(tenant_concurrency=2)
    gauge = Gauge(together=6)
    async with house.worker(gauge, concurrency=10):
        runs = [await house.ask(tenant=f"t{n % 3}") for n in range(30)]
        for run in runs:
            assert (await house.ended(run.run_id)).status is RunStatus.SUCCESS
    assert gauge.most["all"] == 6
    assert {gauge.most[f"t{n}"] for n in range(3)} == {2}


async def test_a_thread_works_on_one_run_at_a_time_in_the_order_asked(house: House) -> None:
    gauge = Gauge()
    async with house.worker(gauge, concurrency=6):
        runs = [await house.ask(thread_id=f"t{n % 2}") for n in range(30)]
        await asyncio.gather(*(house.ended(run.run_id) for run in runs))
    assert (gauge.most["t0"], gauge.most["t1"]) == (1, 1)
    for thread in ("t0", "t1"):
        worked = [run.run_id for run in gauge.order if run.thread_id == thread]
        assert worked == [run.run_id for run in runs if run.thread_id == thread]


async def test_the_tenant_with_the_fewest_runs_under_way_is_next(house: House) -> None:
    records = replace(house).records
    records.admission = Admission(window=1)
    first = await house.ask(tenant="a")
    waiting = [await house.ask(tenant=tenant) for tenant in ("a", "a", "b", "c")]
    leases = Leases(records)
    _, queued = await leases.beat("w", slots=3, held={})
    # One of each: a has one already.
    assert [*queued.first] == [waiting[2].run_id, waiting[3].run_id]
    await records.claim(first.run_id)
    queued = await records.move(
        first.run_id,
        expected=frozenset({RunStatus.RUNNING}),
        to=RunStatus.SUCCESS,
        told=finished().model_dump(mode="json"),
    )
    assert [*queued.first] == [waiting[0].run_id]


async def test_no_more_is_let_in_than_the_workers_take(house: House) -> None:
    records, leases = house.records, Leases(house.records)
    await leases.beat("one", slots=2, held={})
    await leases.beat("two", slots=1, held={})
    for _ in range(5):
        await house.ask()
    keys = records.keys
    assert await records.redis.zcard(keys.runs_dispatched) == 3
    _, queued = await leases.beat("three", slots=4, held={})
    assert len(queued.first) == 2
    await leases.beat("three", slots=0, held={})
    assert int(await records.redis.get(keys.runs_capacity) or 0) == 3


async def test_a_run_for_later_begins_when_redis_says_so(house: House) -> None:
    async with house.worker(answer_at_once):
        later = await house.ask(after_seconds=3600)
        assert (await house.ended((await house.ask()).run_id)).status is RunStatus.SUCCESS
        assert "begins in 3600 s" in (await house.runs.explain(later.run_id)).sentence
        assert (await house.records.get(later.run_id)).status is RunStatus.PENDING
        await house.records.redis.zadd(house.records.keys.runs_due, {later.run_id: 1})
        assert (await house.ended(later.run_id)).status is RunStatus.SUCCESS


@pytest.mark.parametrize("at_once", [50])
async def test_one_key_makes_one_run_however_often_it_is_sent(house: House, at_once: int) -> None:
    async with house.worker(answer_at_once):
        runs = await asyncio.gather(*(house.ask(idempotency_key="key") for _ in range(at_once)))
        assert len({run.run_id for run in runs}) == 1
        await house.ended(runs[0].run_id)
        again = await house.ask(idempotency_key="key")
    assert (again.run_id, again.status) == (runs[0].run_id, RunStatus.SUCCESS)
    assert len(await house.runs.search()) == 1


async def test_why_a_run_waits_is_said_in_words(house: House) -> None:
    house.records.admission = Admission(tenant_concurrency=1)
    first = await house.ask(thread_id="t", tenant="a")
    second = await house.ask(thread_id="t", tenant="a")
    third = await house.ask(thread_id="u", tenant="a")

    async def said(run: RunRecord) -> str:
        return (await house.runs.explain(run.run_id)).sentence

    assert await said(first) == "No worker is there: start one."
    assert await said(second) == f"Run {first.run_id} of its thread comes first."
    await Leases(house.records).beat("w", slots=1, held={})
    assert "a worker takes it in a moment" in await said(first)
    assert "has 1 runs under way, as many as it may" in await said(third)
    claim = await house.records.claim(first.run_id, worker="w")
    assert "Worker w works on it, attempt 1, lease for 30 s more" in await said(first)
    found = await house.runs.explain(second.run_id)
    assert (found.place_in_thread, found.thread_head, found.workers) == (1, first.run_id, 1)
    await house.records.move(
        first.run_id,
        expected=frozenset({RunStatus.RUNNING}),
        to=RunStatus.INTERRUPTED,
        told={"type": "run.interrupted"},
        token=claim.token,
    )
    assert "waits for a person's decision" in await said(first)
