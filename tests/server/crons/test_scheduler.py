"""Who fires a cron, when, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphs.keys import Keys
from server.clock import microseconds
from server.crons.cron import Cron, CronNotFoundError, Definition, Due
from server.crons.records import CLAIM_SECONDS, Crons
from server.crons.scheduler import NeverAgainError, NotFiredError, Scheduler, scheduling

START = datetime(2026, 5, 5, 12, 0, 30, tzinfo=UTC)
EVERY_MINUTE = Definition(schedule="* * * * *", assistant_id="team")


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    async def __call__(self) -> int:
        return microseconds(self.now)

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


class Fired:
    """What was fired; fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.due: list[Due] = []
        self.failures = list(failures)
        self.told = asyncio.Event()

    async def __call__(self, due: Due) -> None:
        self.due.append(due)
        self.told.set()
        if self.failures:
            raise self.failures.pop(0)

    @property
    def at(self) -> Sequence[str]:
        return [due.at.strftime("%H:%M:%S") for due in self.due]


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def crons(redis: Redis, keys: Keys, clock: Hand) -> Crons:
    return Crons(redis, keys, clock=clock)


async def next_of(crons: Crons, cron: Cron) -> str | None:
    found = (await crons.get(cron.cron_id, tenant=cron.tenant)).next_at
    return found.strftime("%H:%M:%S") if found else None


async def test_a_cron_fires_when_it_is_due_and_not_before(crons: Crons, clock: Hand) -> None:
    fired = Fired()
    scheduler = Scheduler(crons, fire=fired)
    await crons.create(EVERY_MINUTE, tenant="a")
    assert await scheduler.tick() == 30.0
    assert fired.at == []
    clock.forward(seconds=30)
    await scheduler.tick()
    await scheduler.tick()
    assert fired.at == ["12:01:00"]
    assert await scheduler.tick() == 60.0
    clock.forward(minutes=1)
    await scheduler.tick()
    assert fired.at == ["12:01:00", "12:02:00"]


async def test_each_firing_goes_to_one_of_many_workers(crons: Crons, clock: Hand) -> None:
    fired = Fired()
    workers = [Scheduler(crons, fire=fired) for _ in range(8)]
    made = [await crons.create(EVERY_MINUTE, tenant="a") for _ in range(20)]
    for _ in range(3):
        clock.forward(minutes=1)
        await asyncio.gather(*(worker.tick() for worker in workers))
    assert len(fired.due) == 60
    assert len({(due.cron.cron_id, due.at) for due in fired.due}) == 60
    assert {due.cron.cron_id for due in fired.due} == {cron.cron_id for cron in made}


async def test_what_was_missed_is_made_up_for_once(crons: Crons, clock: Hand) -> None:
    fired = Fired()
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(days=3)
    await Scheduler(crons, fire=fired).tick()
    assert fired.at == ["12:01:00"]
    assert await next_of(crons, cron) == "12:01:00"
    assert (await crons.get(cron.cron_id, tenant="a")).next_at == datetime(
        2026, 5, 8, 12, 1, tzinfo=UTC
    )


async def test_a_firing_whose_worker_died_is_another_s_after_the_claim(
    crons: Crons, clock: Hand
) -> None:
    await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(minutes=1)
    lost = await crons.claim()
    assert [due.again for due in lost.due] == [False]
    fired = Fired()
    scheduler = Scheduler(crons, fire=fired)
    assert await scheduler.tick() == CLAIM_SECONDS
    clock.forward(seconds=CLAIM_SECONDS)
    await scheduler.tick()
    assert fired.at == ["12:01:00"]
    assert fired.due[0].again


async def test_a_firing_that_redis_could_not_take_is_tried_again(crons: Crons, clock: Hand) -> None:
    fired = Fired(RedisError("away"))
    scheduler = Scheduler(crons, fire=fired)
    await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(seconds=30)
    await scheduler.tick()
    clock.forward(seconds=CLAIM_SECONDS)
    await scheduler.tick()
    assert fired.at == ["12:01:00", "12:01:00"]


async def test_a_firing_begun_long_ago_is_not_begun_again(crons: Crons, clock: Hand) -> None:
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(minutes=1)
    await crons.claim()
    clock.forward(days=2)
    fired = Fired()
    await Scheduler(crons, fire=fired).tick()
    assert fired.at == []
    after = await crons.get(cron.cron_id, tenant="a")
    assert "process that died" in str(after.error)
    assert after.next_at is not None
    assert after.next_at > clock.now


async def test_a_firing_that_makes_no_run_says_why_and_the_next_one_comes(
    crons: Crons, clock: Hand
) -> None:
    fired = Fired(NotFiredError("the thread is busy"))
    scheduler = Scheduler(crons, fire=fired)
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(seconds=30)
    await scheduler.tick()
    assert (await crons.get(cron.cron_id, tenant="a")).error == "the thread is busy"
    clock.forward(minutes=1)
    await scheduler.tick()
    assert fired.at == ["12:01:00", "12:02:00"]
    assert (await crons.get(cron.cron_id, tenant="a")).error is None


async def test_a_cron_that_can_make_no_run_any_more_stops(crons: Crons, clock: Hand) -> None:
    fired = Fired(NeverAgainError("no thread t"))
    scheduler = Scheduler(crons, fire=fired)
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    clock.forward(seconds=30)
    await scheduler.tick()
    clock.forward(hours=1)
    assert await scheduler.tick() is None
    assert len(fired.due) == 1
    assert await next_of(crons, cron) is None


async def test_a_firing_that_breaks_keeps_no_other_from_coming(crons: Crons, clock: Hand) -> None:
    fired = Fired(KeyError("a fault of ours"))
    scheduler = Scheduler(crons, fire=fired)
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    for _ in range(2):
        clock.forward(minutes=1)
        await scheduler.tick()
    assert fired.at == ["12:01:00", "12:02:00"]
    assert (await crons.get(cron.cron_id, tenant="a")).error is None


async def test_a_cron_that_cannot_be_read_keeps_no_other_from_firing(
    crons: Crons, clock: Hand, redis: Redis, keys: Keys
) -> None:
    bad, good = [await crons.create(EVERY_MINUTE, tenant="a") for _ in range(2)]
    await redis.hset(keys.cron(bad.cron_id), "data", "{}")
    fired = Fired()
    clock.forward(minutes=1)
    await Scheduler(crons, fire=fired).tick()
    assert [due.cron.cron_id for due in fired.due] == [good.cron_id]


async def test_a_timezone_that_went_stops_the_cron_and_says_so(
    crons: Crons, clock: Hand, redis: Redis, keys: Keys
) -> None:
    cron = await crons.create(replace(EVERY_MINUTE, timezone="Europe/Berlin"), tenant="a")
    stored = cast("bytes", await redis.hget(keys.cron(cron.cron_id), "data"))
    await redis.hset(keys.cron(cron.cron_id), "data", stored.replace(b"Europe/", b"Atlantis/"))
    fired = Fired()
    clock.forward(minutes=1)
    await Scheduler(crons, fire=fired).tick()
    assert fired.at == ["12:01:00"]
    assert "no timezone" in str((await crons.get(cron.cron_id, tenant="a")).error)


async def test_a_cron_ends_at_its_end(crons: Crons, clock: Hand) -> None:
    end = datetime(2026, 5, 5, 12, 2, tzinfo=UTC)
    fired = Fired()
    scheduler = Scheduler(crons, fire=fired)
    cron = await crons.create(replace(EVERY_MINUTE, end_time=end), tenant="a")
    for _ in range(5):
        clock.forward(minutes=1)
        await scheduler.tick()
    assert fired.at == ["12:01:00", "12:02:00"]
    assert await next_of(crons, cron) is None


async def test_what_was_missed_is_not_made_up_for_after_the_end(crons: Crons, clock: Hand) -> None:
    end = datetime(2026, 5, 5, 12, 2, tzinfo=UTC)
    fired = Fired()
    cron = await crons.create(replace(EVERY_MINUTE, end_time=end), tenant="a")
    clock.forward(hours=1)
    await Scheduler(crons, fire=fired).tick()
    assert fired.at == []
    assert "end_time" in str((await crons.get(cron.cron_id, tenant="a")).error)


async def test_one_that_is_not_enabled_waits_until_it_is(crons: Crons, clock: Hand) -> None:
    fired = Fired()
    scheduler = Scheduler(crons, fire=fired)
    cron = await crons.create(replace(EVERY_MINUTE, enabled=False), tenant="a")
    clock.forward(minutes=5)
    assert await scheduler.tick() is None
    await crons.update(cron.cron_id, lambda old: replace(old, enabled=True), tenant="a")
    clock.forward(minutes=1)
    await scheduler.tick()
    assert fired.at == ["12:06:00"]


async def test_a_change_of_other_things_keeps_the_time_and_one_of_the_schedule_moves_it(
    crons: Crons,
) -> None:
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    changed = await crons.update(
        cron.cron_id, lambda old: replace(old, metadata={"x": 1}), tenant="a"
    )
    assert (changed.next_at, changed.version) == (cron.next_at, cron.version + 1)
    moved = await crons.update(
        cron.cron_id, lambda old: replace(old, schedule="30 18 * * *"), tenant="a"
    )
    assert moved.next_at == datetime(2026, 5, 5, 18, 30, tzinfo=UTC)
    assert moved.definition.metadata == {"x": 1}


async def test_a_change_while_it_fires_has_the_last_word(crons: Crons, clock: Hand) -> None:
    cron = await crons.create(EVERY_MINUTE, tenant="a")

    async def change(due: Due) -> None:
        await crons.update(
            due.cron.cron_id, lambda old: replace(old, schedule="0 20 * * *"), tenant="a"
        )

    clock.forward(minutes=1)
    await Scheduler(crons, fire=change).tick()
    assert await next_of(crons, cron) == "20:00:00"


async def test_many_changes_at_once_all_count(crons: Crons) -> None:
    cron = await crons.create(EVERY_MINUTE, tenant="a")

    async def change(number: int) -> None:
        await crons.update(
            cron.cron_id,
            lambda old: replace(old, metadata={**old.metadata, str(number): True}),
            tenant="a",
        )

    await asyncio.gather(*(change(number) for number in range(3)))
    after = await crons.get(cron.cron_id, tenant="a")
    assert after.definition.metadata == {"0": True, "1": True, "2": True}


async def test_a_deleted_cron_never_fires_and_leaves_nothing(
    crons: Crons, clock: Hand, redis: Redis, keys: Keys
) -> None:
    fired = Fired()
    cron = await crons.create(EVERY_MINUTE, tenant="a")
    with pytest.raises(CronNotFoundError):
        await crons.delete(cron.cron_id, tenant="b")
    await crons.delete(cron.cron_id, tenant="a")
    clock.forward(minutes=5)
    assert await Scheduler(crons, fire=fired).tick() is None
    assert fired.at == []
    assert await redis.keys(f"{keys.prefix}*") == []


async def test_one_deleted_while_it_fires_stays_deleted(crons: Crons, clock: Hand) -> None:
    cron = await crons.create(EVERY_MINUTE, tenant="a")

    async def delete(due: Due) -> None:
        await crons.delete(due.cron.cron_id, tenant="a")

    clock.forward(minutes=1)
    scheduler = Scheduler(crons, fire=delete)
    await scheduler.tick()
    with pytest.raises(CronNotFoundError):
        await crons.get(cron.cron_id, tenant="a")
    assert await scheduler.tick() is None


async def test_in_the_background_it_fires_by_redis_clock(redis: Redis, keys: Keys) -> None:
    crons, fired = Crons(redis, keys), Fired()
    await crons.create(Definition(schedule="* * * * * *", assistant_id="team"), tenant="a")
    async with scheduling(Scheduler(crons, fire=fired)):
        await asyncio.wait_for(fired.told.wait(), timeout=30)
    assert fired.due[0].cron.definition.assistant_id == "team"
