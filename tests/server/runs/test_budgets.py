"""What a tenant may spend in a day and a month: held before it is spent, over all its runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from graphs.context import Attempt
from graphs.keys import Keys
from guardrails.budgets import Amounts, Budget, BudgetExceededError, Period
from guardrails.limits import Spent
from server.runs.budgets import TenantBudgets
from server.runs.ledger import RedisRunLedgers
from server.runs.record import RunRecord

WORST = Attempt(input_tokens=50, output_tokens=50, cost=0.1)
USED = Attempt(input_tokens=10, output_tokens=10, cost=0.02)
RECORD = RunRecord(run_id="run", thread_id="t")


class Day:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 23, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def budgets(redis: Redis, keys: Keys, clock: Day, **maxima: float) -> TenantBudgets:
    found = {Period.DAY: Budget(**maxima)}  # type: ignore[arg-type]
    return TenantBudgets(
        redis, keys, budget_of=lambda tenant: found if tenant == "default" else {}, clock=clock
    )


async def test_fifty_runs_racing_for_ten_attempts_get_ten(redis: Redis, keys: Keys) -> None:
    ledgers = RedisRunLedgers(redis, keys, tenant_budgets=budgets(redis, keys, Day(), tokens=1000))

    async def one(number: int) -> bool:
        ledger = ledgers.fresh(RunRecord(run_id=f"run-{number}", thread_id="t"))
        try:
            await ledger.reserve(WORST, spent=Spent())
        except BudgetExceededError:
            return False
        return True

    assert sum(await asyncio.gather(*(one(number) for number in range(50)))) == 10


async def test_what_was_used_replaces_what_was_held_and_the_next_day_begins_anew(
    redis: Redis, keys: Keys
) -> None:
    clock = Day()
    held = budgets(redis, keys, clock, cost=0.15)
    await held.hold(RECORD, "a", WORST, more=Amounts())
    with pytest.raises(BudgetExceededError, match=r"tenant_day: 0\.1 of 0\.15 cost used"):
        await held.hold(RECORD, "b", WORST, more=Amounts())
    await held.hold(
        RunRecord(run_id="x", thread_id="x", tenant="other"), "c", WORST, more=Amounts()
    )
    # What is settled behind midnight belongs to the day before.
    clock.now += timedelta(hours=2)
    await held.settle("a", USED)
    assert await held.used("default", Period.DAY) == Amounts()
    clock.now -= timedelta(hours=2)
    used = await held.used("default", Period.DAY)
    assert (used.tokens, round(used.cost, 6), used.model_calls) == (20, 0.02, 1)
    await held.hold(RECORD, "b", WORST, more=Amounts())


async def test_an_attempt_that_is_held_twice_counts_once(redis: Redis, keys: Keys) -> None:
    held = budgets(redis, keys, Day(), tokens=150)
    for _ in range(2):
        await held.hold(RECORD, "a", WORST, more=Amounts(steps=1))
    used = await held.used("default", Period.DAY)
    assert (used.tokens, used.steps) == (100, 1)


async def test_steps_tool_calls_and_seconds_stop_the_next_attempt(redis: Redis, keys: Keys) -> None:
    ledgers = RedisRunLedgers(redis, keys, tenant_budgets=budgets(redis, keys, Day(), tool_calls=3))
    ledger = ledgers.fresh(RECORD)
    await ledger.reserve(WORST, spent=Spent(tool_calls=2))
    with pytest.raises(BudgetExceededError, match="tool_calls"):
        await ledger.reserve(WORST, spent=Spent(tool_calls=3))


async def test_what_a_run_does_behind_its_last_attempt_is_counted_once(
    redis: Redis, keys: Keys
) -> None:
    held = budgets(redis, keys, Day(), seconds=100.0)
    ledgers = RedisRunLedgers(redis, keys, tenant_budgets=held)
    ledger = ledgers.fresh(RECORD)
    attempt = await ledger.reserve(WORST, spent=Spent(steps=1, seconds=1.0))
    await ledger.settle(attempt, WORST, USED, spent=Spent(steps=1, seconds=60.0))
    await ledger.flush(spent=Spent(steps=2, tool_calls=1, seconds=61.0), over=False)
    _, resumed = await ledgers.open(RECORD)
    await resumed.flush(spent=Spent(steps=2, tool_calls=1, seconds=71.0), over=True)
    used = await held.used("default", Period.DAY)
    assert (used.steps, used.tool_calls, used.seconds) == (2, 1, 71.0)
    later = ledgers.fresh(RunRecord(run_id="later", thread_id="t"))
    with pytest.raises(BudgetExceededError, match="seconds"):
        await later.reserve(WORST, spent=Spent(seconds=30.0))
