"""What a scrape reads of what all processes share, on a real Redis."""

from __future__ import annotations

import pytest

from graphs.keys import Keys
from server.redis_client import open_redis
from server.runs import endings
from server.runs.asked import of_messages
from server.runs.transitions import RunStatus
from server.telemetry import metric_names as names
from server.telemetry.metrics import Metrics
from server.telemetry.metrics_redis import RedisState, watch
from tests.doubles.trips import counted_trips
from tests.server.approvals.desk import RUNNING, Desk, asking

ASKED = of_messages([{"role": "user", "content": "Refund A-7"}])


def watched(desk: Desk) -> tuple[Metrics, RedisState]:
    metrics = Metrics(process=False)
    return metrics, watch(metrics, desk.redis, desk.keys)


async def test_the_queue_is_told_with_the_age_of_its_oldest_run(desk: Desk) -> None:
    metrics, state = watched(desk)
    await desk.running("busy")
    waiting = [await desk.runs.create(ASKED, tenant=tenant) for tenant in ("default", "acme")]
    many = [await desk.runs.create(ASKED, tenant="crowd") for _ in range(20)]
    await desk.runs.create(ASKED, after_seconds=600)
    await desk.redis.hset(desk.keys.run(waiting[1].run_id), "updated_at", "1")
    await state.refresh()
    assert metrics.value(names.QUEUE_DEPTH) == len(waiting) + len(many)
    assert metrics.value(names.QUEUE_RUNNING) == 1
    assert metrics.value(names.QUEUE_DUE) == 1
    assert metrics.value(names.QUEUE_OLDEST) > 50 * 365 * 24 * 3600  # since 1970
    assert metrics.value(names.REDIS_UP) == 1
    assert metrics.value(names.REDIS_MEMORY) > 0


async def test_pending_approvals_are_counted_over_all_tenants_with_the_oldest(desk: Desk) -> None:
    metrics, state = watched(desk)
    for tenant in ("default", "acme"):
        run = await desk.running(tenant=tenant)
        await desk.pause(run, asking(run), asking(run, "other"))
    await state.refresh()
    assert metrics.value(names.APPROVALS_PENDING) == 4
    assert metrics.value(names.APPROVALS_OLDEST) > 0


async def test_a_run_that_was_given_up_is_a_dead_letter(desk: Desk) -> None:
    metrics, state = watched(desk)
    run = await desk.running()
    await desk.records.move(
        run.run_id,
        expected=RUNNING,
        to=RunStatus.ERROR,
        told=endings.attempts_spent(3).model_dump(mode="json"),
        token=run.token,
        given_up=True,
    )
    await state.refresh()
    assert metrics.value(names.DEAD_LETTERS) == 1
    assert metrics.value(names.QUEUE_DEPTH) == 0
    assert metrics.value(names.QUEUE_OLDEST) == 0


async def test_a_scrape_is_one_trip_and_the_next_one_at_once_is_none(
    redis_url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_redis(redis_url)
    await client.ping()
    state = watch(Metrics(process=False), client, keys)
    with counted_trips(monkeypatch) as trips:
        await state.refresh()
        assert len(trips) == 1
        await state.refresh()
        assert len(trips) == 1
    await client.aclose()


async def test_a_redis_that_is_away_is_told_as_down_and_nothing_else_of_it(desk: Desk) -> None:
    metrics = Metrics(process=False)
    gone = open_redis("unix:///nowhere/redis.sock")
    state = watch(metrics, gone, desk.keys)
    await state.refresh()
    told = metrics.text().decode()
    assert "counterpoint_redis_up 0.0" in told
    assert "counterpoint_queue_depth" not in told
    await gone.aclose()
