"""A run's spending outlives its workers: what is stored is never less than what was used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from graphs.context import Attempt, LedgerGate
from graphs.fence import FencedError
from graphs.keys import Keys
from guardrails.limits import Ledger, LimitExceededError, Limits, Spent
from models.attempts import TokenUsage
from server.redis_client import open_redis
from server.runs.ledger import MemoryRunLedgers, RedisRunLedgers, RunLedgers
from server.runs.record import RunRecord
from tests import examples

ONE = Attempt(input_tokens=10, output_tokens=5, cost=0.01)
RUN = RunRecord(run_id="r", thread_id="t")
Make = Callable[[], RunLedgers]


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest, redis: Redis, keys: Keys) -> Make:
    def made() -> RunLedgers:
        if request.param == "memory":
            return MemoryRunLedgers()
        return RedisRunLedgers(redis, keys)

    return made


async def test_an_attempt_counts_as_its_worst_until_it_is_settled(make: Make) -> None:
    ledgers = make()
    _, ledger = await ledgers.open(RUN)
    attempt = await ledger.reserve(ONE, spent=Spent(steps=1))
    held = (await ledgers.account("r")).spent
    assert (held.model_calls, held.tokens, held.cost, held.steps) == (1, 15, 0.01, 1)
    used = Attempt(input_tokens=8, output_tokens=1, cost=0.004)
    await ledger.settle(attempt, ONE, used, spent=Spent(steps=1, model_calls=1))
    await ledger.flush(spent=Spent(steps=1, tool_calls=2, seconds=1.5), over=False)
    assert (await ledgers.account("r")).spent == Spent(
        steps=1,
        model_calls=1,
        tool_calls=2,
        input_tokens=8,
        output_tokens=1,
        cost=0.004,
        seconds=1.5,
    )


async def test_what_used_more_than_expected_is_counted_at_once(make: Make) -> None:
    ledgers = make()
    _, ledger = await ledgers.open(RUN)
    attempt = await ledger.reserve(ONE, spent=Spent())
    await ledger.settle(attempt, ONE, replace(ONE, output_tokens=500), spent=Spent())
    assert (await ledgers.account("r")).spent.output_tokens == 500


async def test_the_next_attempt_begins_with_what_a_dead_one_may_have_spent(make: Make) -> None:
    ledgers = make()
    _, ledger = await ledgers.open(RUN)
    await ledger.reserve(ONE, spent=Spent(steps=3))
    account, again = await ledgers.open(replace(RUN, token=0))
    assert (account.spent.tokens, account.spent.steps) == (15, 3)
    attempt = await again.reserve(ONE, spent=replace(account.spent, steps=4))
    await again.settle(attempt, ONE, replace(ONE, output_tokens=1), spent=Spent())
    await again.flush(spent=Spent(), over=False)
    assert (await ledgers.account("r")).spent.tokens == 15 + 11


async def test_a_run_that_answers_a_pause_goes_on_with_the_paused_runs_spending(
    make: Make,
) -> None:
    ledgers = make()
    _, ledger = await ledgers.open(RUN)
    await ledger.reserve(ONE, spent=Spent(steps=2, seconds=3))
    new = RunRecord(run_id="new", thread_id="t")
    account, following = await ledgers.open(new, after="r", answering=["i"])
    assert (account.spent.tokens, account.spent.seconds) == (15, 3.0)
    await following.reserve(ONE, spent=account.spent)
    again, _ = await ledgers.open(new, after="r", answering=["i"])
    assert again.spent.tokens == 30, "taken over once"
    assert again.answering == (0, ["i"])
    assert (await ledgers.account("r")).spent.tokens == 15


async def test_a_worker_that_lost_the_run_spends_nothing(redis: Redis, keys: Keys) -> None:
    ledgers = RedisRunLedgers(redis, keys)
    old, new = replace(RUN, token=1), replace(RUN, token=2)
    await redis.set(keys.fence(old.checkpoint_thread), old.fence)
    _, zombie = await ledgers.open(old)
    attempt = await zombie.reserve(ONE, spent=Spent())
    await redis.set(keys.fence(old.checkpoint_thread), new.fence)
    await ledgers.open(new)
    with pytest.raises(FencedError):
        await zombie.reserve(ONE, spent=Spent())
    with pytest.raises(FencedError):
        await zombie.settle(attempt, ONE, replace(ONE, output_tokens=99), spent=Spent())
    with pytest.raises(FencedError):
        await zombie.flush(spent=Spent(), over=True)
    with pytest.raises(FencedError):
        await ledgers.open(old)
    assert (await ledgers.account("r")).spent.tokens == 15


async def test_a_ledger_is_forgotten_only_after_its_run_is_over(redis: Redis, keys: Keys) -> None:
    ledgers = RedisRunLedgers(redis, keys, retention_seconds=100)
    _, ledger = await ledgers.open(RUN)
    await ledger.reserve(ONE, spent=Spent())
    assert await redis.ttl(keys.run_ledger("r")) == -1
    await ledger.flush(spent=Spent(), over=True)
    assert 0 < await redis.ttl(keys.run_ledger("r")) <= 100
    await ledger.reserve(ONE, spent=Spent())
    assert await redis.ttl(keys.run_ledger("r")) == -1, "it goes on after all"


def gate(ledger: Ledger, durable: Any, sent: list[str]) -> LedgerGate:
    return LedgerGate(
        ledger, agent="a", task_id="", emit=lambda event: sent.append(event.type), durable=durable
    )


async def test_of_fifty_branches_that_race_for_ten_at_most_ten_are_admitted(make: Make) -> None:
    ledgers = make()
    _, durable = await ledgers.open(RUN)
    limits = Limits(steps=100, tokens=10 * 15, cost=1.0, seconds=60)
    ledger = Ledger(limits, clock=time.monotonic)
    told: list[str] = []
    admitted: list[int] = []

    async def branch(number: int) -> None:
        mine = gate(ledger, durable, told)
        try:
            await mine.reserve("m", input_tokens=10, max_output_tokens=5, max_cost=0)
        except LimitExceededError:
            return
        admitted.append(number)
        usage = TokenUsage(input_tokens=10, output_tokens=5)
        await mine.settle("m", usage=usage, cost=0, seconds=0)

    await asyncio.gather(*(branch(number) for number in range(50)))
    await durable.flush(spent=ledger.spent, over=False)
    assert len(admitted) == len(told) == 10
    stored = (await ledgers.account("r")).spent
    assert (stored.model_calls, stored.tokens) == (10, 150)


async def test_a_reservation_that_redis_refuses_is_not_sent(redis: Redis, keys: Keys) -> None:
    record = replace(RUN, token=1)
    await redis.set(keys.fence(record.checkpoint_thread), record.fence)
    _, durable = await RedisRunLedgers(redis, keys).open(record)
    await redis.set(keys.fence(record.checkpoint_thread), "another:1")
    limits = Limits(steps=1, tokens=100, cost=1, seconds=60)
    mine = gate(Ledger(limits, clock=time.monotonic), durable, [])
    with pytest.raises(FencedError):
        await mine.reserve("m", input_tokens=1, max_output_tokens=1, max_cost=0)
    with pytest.raises(RuntimeError, match="without a reservation"):
        await mine.settle("m", usage=TokenUsage(), cost=0, seconds=0)


TOKENS = st.integers(0, 50)
ATTEMPTS = st.builds(Attempt, input_tokens=TOKENS, output_tokens=TOKENS, cost=st.just(0.0))
# A worker's life: attempts with what they really use, None where it dies in the middle of one.
LIVES = st.lists(
    st.lists(st.tuples(ATTEMPTS, ATTEMPTS, st.booleans()), max_size=4), min_size=1, max_size=4
)


@settings(
    deadline=None,
    max_examples=examples.times(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lives=LIVES)
def test_what_is_stored_is_never_less_than_what_was_used(
    redis_url: str, keys: Keys, lives: list[list[tuple[Attempt, Attempt, bool]]]
) -> None:
    """Whenever a worker dies: before, within or behind an attempt, settled or not."""

    async def live() -> None:
        redis = open_redis(redis_url)
        ledgers = RedisRunLedgers(redis, keys)
        used_tokens = used_calls = 0
        for life in lives:
            account, ledger = await ledgers.open(RUN)
            assert account.spent.tokens >= used_tokens
            for worst, used, dies in life:
                attempt = await ledger.reserve(worst, spent=Spent())
                used_calls += 1
                if dies:
                    # Killed while the provider writes: at most what was reserved.
                    used_tokens += min(used.input_tokens, worst.input_tokens)
                    break
                used_tokens += used.input_tokens + used.output_tokens
                await ledger.settle(attempt, worst, used, spent=Spent())
                stored = (await ledgers.account("r")).spent
                assert stored.tokens >= used_tokens
                assert stored.model_calls >= used_calls
        await redis.aclose()

    with BlockingRedis.from_url(redis_url) as blocking:
        blocking.delete(keys.run_ledger("r"))
    asyncio.run(live())
