"""A receiver that lets us wait keeps no other from being told."""

from __future__ import annotations

from redis.asyncio import Redis

from graphs.keys import Keys
from server.webhooks.deliveries import State
from server.webhooks.sender import AT_ONCE, AT_SLOW
from tests.server.surface import Parts, Team
from tests.server.webhooks.receiver import receiving, silence
from tests.server.webhooks.sending import Clock, Making, delivery, ended

MANY = 5 * AT_ONCE


async def test_others_are_told_behind_a_few_attempts_at_a_receiver_that_is_silent(
    parts: Parts, team: Team, made: Making, clock: Clock
) -> None:
    async with receiving(*[silence] * 2 * MANY) as dead, receiving() as good:
        waiting = [await ended(parts, dead.url) for _ in range(MANY)]
        await ended(parts, good.url)
        async with made(seconds=0.5) as sender:
            await sender.tick()
        assert len(good.got) == 1
        # The first ones found out that it is silent.
        assert len(dead.got) == AT_ONCE + AT_SLOW
        found = [await delivery(parts, record) for record in waiting]
    assert {one.state for one in found} == {State.PENDING}
    # What was put off counts as no attempt.
    assert sum(one.attempts for one in found) == AT_ONCE + AT_SLOW
    assert sum(one.tried_at is not None for one in found) == AT_ONCE + AT_SLOW


async def test_what_was_put_off_is_sent_once_its_receiver_answers_again(
    parts: Parts, team: Team, made: Making, clock: Clock
) -> None:
    async with receiving(*[silence] * (AT_ONCE + AT_SLOW)) as receiver:
        waiting = [await ended(parts, receiver.url) for _ in range(MANY)]
        async with made(seconds=0.5) as sender:
            await sender.tick()
            for _ in range(MANY):
                clock.ahead += 30.0
                await sender.tick()
        found = [await delivery(parts, record) for record in waiting]
    assert {one.state for one in found} == {State.DELIVERED}


async def test_the_more_are_put_off_the_later_the_last_of_them_is_looked_at_again(
    parts: Parts, team: Team, made: Making, clock: Clock, redis: Redis, keys: Keys
) -> None:
    async with receiving(*[silence] * 2 * MANY) as dead:
        waiting = [await ended(parts, dead.url) for _ in range(MANY)]
        async with made(seconds=0.5) as sender:
            await sender.tick()
        found = [await delivery(parts, record) for record in waiting]
    put_off = [one.delivery_id for one in found if not one.attempts]
    turns = sorted([await redis.zscore(keys.webhooks_due, one) or 0 for one in put_off])
    assert turns[-1] - turns[0] > 5_000_000


async def test_a_full_redis_counts_no_attempt_that_was_put_off(
    parts: Parts, team: Team, made: Making, clock: Clock, redis: Redis
) -> None:
    async with receiving(*[silence] * 2 * MANY) as dead:
        first = await ended(parts, dead.url)
        async with made(seconds=0.5) as sender:
            await sender.tick()
            waiting = [first, *[await ended(parts, dead.url) for _ in range(MANY)]]
            await redis.config_set("maxmemory", "1")
            try:
                await sender.tick()
            finally:
                await redis.config_set("maxmemory", "0")
        found = [await delivery(parts, record) for record in waiting]
    assert sum(one.attempts for one in found) == len(dead.got) == 1 + AT_SLOW
