"""The checkpoint saver on a Redis that has lost the last writes, as a promoted replica may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from redis.asyncio import Redis

from graphs.fence import FENCE, IDLE, stamp
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.saver_steps import KnownSteps, StepsLostError
from tests.doubles.redis_kinds import Server

MINE = stamp("r", 1)
DOCUMENT = "words " * 50
MESSAGES = [HumanMessage(f"{n} " + "words " * 60, id=str(n)) for n in range(30)]


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    """Every kind of server that we promise to run on."""
    return redis_of_kind(redis_kind).url


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


@pytest.fixture
def data(keys: Keys) -> str:
    """The hash of the thread."""
    return keys.checkpoints("t") + "data"


def by(writer: str, config: Any) -> Any:
    return {"configurable": {**config["configurable"], FENCE: writer}}


async def held_by(redis: Redis, keys: Keys, writer: str) -> None:
    await redis.set(keys.fence("t"), writer)


async def put(saver: RedisSaver, config: Any, number: int, **changed: Any) -> Any:
    """A step in which the number changes, and what is given; all else is as it was."""
    values = {"document": DOCUMENT, "messages": MESSAGES, "number": number, **changed}
    versions: Any = {"document": 1, "messages": 1, "number": number}
    new: Any = versions if number == 1 else {"number": number}
    checkpoint = generate_checkpoint(channel_values=values, channel_versions=versions)
    return await saver.aput(config, checkpoint, generate_metadata(step=number, run_id="r"), new)


async def lose(redis: Redis, data: str, *starts: bytes) -> int:
    """Take away the fields that begin so."""
    fields: Any = await redis.hkeys(data)
    lost = [field for field in fields if field.startswith(starts)]
    await redis.hdel(data, *lost)
    return len(lost)


async def latest(saver: RedisSaver) -> Any:
    found = await saver.aget_tuple(generate_config("t"))
    assert found is not None
    return found.checkpoint["channel_values"]


@pytest.mark.parametrize("lost", [(b"b\x1f\x1fdocument",), (b"l", b"s"), (b"b", b"l", b"s")])
async def test_values_that_an_earlier_step_had_stored_and_that_are_gone_are_stored_again(
    saver: RedisSaver, redis: Redis, data: str, lost: tuple[bytes, ...]
) -> None:
    config = await put(saver, generate_config("t"), 1)
    assert await lose(redis, data, *lost)
    await put(saver, config, 2)
    assert await latest(saver) == {"document": DOCUMENT, "messages": MESSAGES, "number": 2}


async def test_what_is_there_is_not_sent_again(saver: RedisSaver, redis: Redis, data: str) -> None:
    config = await put(saver, generate_config("t"), 1)
    await redis.hset(data, "b\x1f\x1fdocument\x1f1", b"msgpack:\xa3old")
    await put(saver, config, 2)
    assert (await latest(saver))["document"] == "old"


async def test_a_run_whose_last_step_is_gone_writes_nothing_and_goes_on_from_what_is_there(
    saver: RedisSaver, redis: Redis, keys: Keys, data: str
) -> None:
    await held_by(redis, keys, MINE)
    first = by(MINE, await put(saver, by(MINE, generate_config("t")), 1))
    second = by(MINE, await put(saver, first, 2))
    lost = second["configurable"]["checkpoint_id"].encode()
    assert await lose(redis, data, b"c\x1f\x1f" + lost, b"h\x1f\x1f" + lost) == 2
    before = await redis.hgetall(data)
    with pytest.raises(StepsLostError):
        await put(saver, second, 3)
    assert await redis.hgetall(data) == before
    await put(saver, first, 3)
    assert (await saver.aget_tuple(first)) is not None


async def test_a_run_that_looks_where_it_stands_hears_that_its_last_step_is_gone(
    saver: RedisSaver, redis: Redis, keys: Keys, data: str
) -> None:
    await held_by(redis, keys, MINE)
    first = by(MINE, await put(saver, by(MINE, generate_config("t")), 1))
    second = by(MINE, await put(saver, first, 2))
    head = by(MINE, generate_config("t"))
    assert await saver.aget_tuple(head)
    lost = "c\x1f\x1f" + second["configurable"]["checkpoint_id"]
    await redis.hdel(data, lost)
    await redis.zrem(keys.checkpoints("t") + "index", lost)
    with pytest.raises(StepsLostError):
        await saver.aget_tuple(head)
    # Another attempt, and who is no run, see what is there.
    for writer in (stamp("r", 2), IDLE):
        found = await saver.aget_tuple(by(writer, generate_config("t")))
        assert found is not None
        assert (
            found.config["configurable"]["checkpoint_id"] == first["configurable"]["checkpoint_id"]
        )
    assert await saver.aget_tuple(first)


async def test_a_step_that_was_read_by_the_run_has_to_be_there_too(
    saver: RedisSaver, redis: Redis, keys: Keys, data: str
) -> None:
    await put(saver, generate_config("t"), 1)
    await held_by(redis, keys, MINE)
    fresh = RedisSaver(redis, keys)
    found = await fresh.aget_tuple(by(MINE, generate_config("t")))
    assert found is not None
    await lose(redis, data, b"c", b"h")
    with pytest.raises(StepsLostError):
        await put(fresh, by(MINE, found.config), 2)


def test_of_so_many_places_the_latest_are_known() -> None:
    known = KnownSteps(places=2)
    for thread_id in ("a", "b", "a", "c"):
        known.see(thread_id, "", MINE, "1")
    assert [known.has(thread_id, "", MINE, "1") for thread_id in "abc"] == [True, False, True]
    known.see("d", "", IDLE, "1")
    known.see("d", "", "", "1")
    assert not known.has("d", "", IDLE, "1")
    assert not known.has("d", "", "", "1")
    assert not known.has("a", "", stamp("r", 2), "1")
