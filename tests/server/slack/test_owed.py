"""What is owed is put down once, and one process at a time has it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.slack.owed import LostError, Owed


@pytest.fixture
def owed(redis: Redis, keys: Keys) -> Owed:
    return Owed(redis, keys, name="thing")


async def test_it_is_put_down_once_also_behind_its_end(owed: Owed) -> None:
    assert await owed.add("a", {"n": 1})
    assert not await owed.add("a", {"n": 2})
    (item,), _ = await owed.claim(most=5)
    assert (item.item_id, item.says, item.attempts) == ("a", {"n": 1}, 1)
    await owed.end(item)
    assert not await owed.add("a", {"n": 3})
    assert await owed.claim(most=5) == ([], None)


async def test_what_somebody_has_nobody_else_gets_before_its_lease_is_over(
    redis: Redis, keys: Keys, owed: Owed
) -> None:
    await owed.add("a", {})
    ((first,), wait) = await owed.claim(most=5)
    assert wait is not None
    assert wait > 1
    assert (await owed.claim(most=5))[0] == []
    await redis.zadd(keys.slack("") + "thing-due", {"a": 0})
    (second,), _ = await owed.claim(most=5)
    assert second.attempts == 2
    for late in (owed.renew(first), owed.write(first, {}), owed.again(first, 0), owed.end(first)):
        with pytest.raises(LostError):
            await late
    await owed.renew(second)


async def test_what_is_given_back_says_what_it_said_last(owed: Owed) -> None:
    await owed.add("a", {"n": 1})
    (item,), _ = await owed.claim(most=5)
    await owed.write(item, {"n": 2})
    await owed.again(item, 0, calm=True)
    (item,), _ = await owed.claim(most=5)
    assert (item.says, item.attempts) == ({"n": 2}, 1)


async def test_of_one_lane_the_first_is_done_before_the_next(owed: Owed) -> None:
    for name in ("a", "b"):
        await owed.add(name, {}, lane="one")
    await owed.add("c", {}, lane="other")
    items, _ = await owed.claim(most=5)
    assert [item.item_id for item in items] == ["a", "c"]
    await owed.again(items[0], 3600)
    assert (await owed.claim(most=5))[0] == []
    await owed.hurry("a")
    (first,), _ = await owed.claim(most=5)
    await owed.end(first)
    await owed.hurry("b")
    (second,), _ = await owed.claim(most=5)
    assert second.item_id == "b"


async def test_what_is_hurried_while_somebody_has_it_is_due_as_it_is_given_back(
    owed: Owed,
) -> None:
    await owed.add("a", {})
    (item,), _ = await owed.claim(most=5)
    await owed.hurry("a")
    assert (await owed.claim(most=5))[0] == []
    await owed.again(item, 3600)
    (item,), _ = await owed.claim(most=5)
    await owed.again(item, 3600)
    assert (await owed.claim(most=5))[0] == []
    await owed.hurry("a")
    assert len((await owed.claim(most=5))[0]) == 1
    await owed.hurry("nothing")


async def test_what_a_dead_process_had_is_taken_over_at_once(owed: Owed) -> None:
    for name in ("a", "b"):
        await owed.add(name, {})
    items, _ = await owed.claim(most=5)
    await owed.again(items[1], 3600)
    await owed.take_over()
    assert [item.item_id for item in (await owed.claim(most=5))[0]] == ["a"]
