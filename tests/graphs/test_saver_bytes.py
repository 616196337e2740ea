"""What the checkpoint saver stores and reads back: any value, in few bytes, no foreign class."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ormsgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.retention import KeepLast, KeepLatestAtEnd
from graphs.saver import RedisSaver
from graphs.saver_codec import Pieces, fields_of, framed, plain_serializer, unframed
from tests import examples
from tests.doubles.redis_kinds import Server


@pytest.fixture
def redis_url(redis_kind: str, redis_of_kind: Callable[[str], Server]) -> str:
    """Every kind of server that we promise to run on."""
    return redis_of_kind(redis_kind).url


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys)


async def step(saver: RedisSaver, config: Any, number: int, **values: Any) -> Any:
    """Put one checkpoint in which every value is new."""
    versions: Any = dict.fromkeys(values, number)
    checkpoint = generate_checkpoint(channel_values=values, channel_versions=versions)
    return await saver.aput(config, checkpoint, generate_metadata(step=number), versions)


async def values_of(saver: RedisSaver, config: Any) -> dict[str, Any]:
    found = await saver.aget_tuple(config)
    assert found is not None
    return dict(found.checkpoint["channel_values"])


def messages(count: int) -> list[Any]:
    return [
        (HumanMessage if n % 2 else AIMessage)(f"{n} " + "words " * 40, id=str(n))
        for n in range(count)
    ]


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=400)
    | st.binary(max_size=400)
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@settings(
    max_examples=examples.times(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(anything, max_size=8) | st.lists(st.text(max_size=3000), max_size=4))
def test_any_list_is_put_together_as_it_was_taken_apart(value: list[Any]) -> None:
    serde = plain_serializer()
    fields = list(fields_of(value, "name", serde=serde))
    pieces = {name: data for kind, name, data in fields if kind == "s"}
    ((kind, _, data),) = [field for field in fields if field[0] != "s"]
    if kind == "l":
        digests = [data[at : at + 12] for at in range(4, len(data), 12)]
        data = b"msgpack:\xdd" + data[:4] + b"".join(pieces[digest] for digest in digests)
    assert serde.loads_typed(unframed(data)) == value


def test_what_is_believed_to_be_stored_is_left_out_and_forgotten_in_bounds() -> None:
    pieces = Pieces(threads=2, each=3)
    fields: Any = [("s", b"1", b"x"), ("s", b"2", b"y"), ("l", "name", b"12")]
    assert pieces.new("a", fields) == fields
    assert pieces.new("a", fields) == fields[2:]
    assert pieces.new("b", fields) == fields
    assert pieces.new("c", fields) == fields
    assert pieces.new("a", fields) == fields


async def test_a_growing_list_costs_what_is_new(saver: RedisSaver) -> None:
    config: Any = generate_config("t")
    sizes = []
    for number in range(1, 61):
        config = await step(saver, config, number, messages=messages(number))
        sizes.append(await saver.size("t"))
    # Each of the last ten steps has some 55 messages of 400 bytes, and adds one.
    assert (sizes[-1] - sizes[-11]) / 10 < 4_000
    assert (await values_of(saver, config))["messages"] == messages(60)


async def test_a_piece_that_went_meanwhile_is_sent_again(saver: RedisSaver) -> None:
    config = await step(saver, generate_config("t"), 1, messages=messages(30))
    await saver.adelete_thread("t")
    config = await step(saver, generate_config("t"), 2, messages=messages(31))
    assert (await values_of(saver, config))["messages"] == messages(31)


async def test_lists_that_share_pieces_lose_none_when_one_goes(saver: RedisSaver) -> None:
    config = generate_config("t")
    for number in range(1, 8):
        config = await step(saver, config, number, messages=messages(10 + number))
    await saver.retain("t", KeepLast(count=2))
    found = [found async for found in saver.alist(generate_config("t"))]
    assert [f.checkpoint["channel_values"]["messages"] for f in found] == [
        messages(17),
        messages(16),
    ]
    fields: Any = await saver._redis.hkeys(saver._names("t")[0])
    assert len([field for field in fields if field.startswith(b"l")]) == 2


async def test_a_list_that_shrinks_and_changes_in_the_middle_is_read_back(
    saver: RedisSaver,
) -> None:
    whole = messages(20)
    for number, value in enumerate([whole, whole[:9], [*whole[:5], *whole[12:]], whole[::-1], []]):
        config = await step(saver, generate_config("t"), number + 1, messages=value)
        assert (await values_of(saver, config))["messages"] == value


async def test_a_thread_that_grows_is_held_to_so_many_checkpoints(redis: Redis, keys: Keys) -> None:
    saver = RedisSaver(redis, keys, retention=KeepLast(count=10))
    config = generate_config("t")
    longest = 0
    for number in range(60):
        config = await step(saver, config, number, word="x" * 500 + str(number))
        longest = max(longest, len(await saver._checkpoints("t")))
    assert longest < 10 + 8
    assert len(await saver._checkpoints("t")) >= 10
    assert (await values_of(saver, generate_config("t")))["word"] == "x" * 500 + "59"


async def test_a_thread_comes_down_to_its_latest_when_its_run_ends_but_not_while_it_waits(
    saver: RedisSaver,
) -> None:
    config = generate_config("t")
    for number in range(5):
        config = await step(saver, config, number, word=number)
    await saver.aput_writes(config, [("__interrupt__", ["may I?"])], "task")
    assert await saver.retain("t", KeepLatestAtEnd()) == 0
    config = await step(saver, config, 5, word=5)
    assert await saver.retain("t", KeepLatestAtEnd()) == 5
    assert (await values_of(saver, generate_config("t")))["word"] == 5


@dataclass
class Foreign:
    word: str


async def test_a_class_is_brought_back_only_when_it_is_allowed(redis: Redis, keys: Keys) -> None:
    strict = RedisSaver(redis, keys)
    config = await step(strict, generate_config("t"), 1, odd=[Foreign("x"), Foreign("y" * 2000)])
    assert Foreign("x") not in (await values_of(strict, config))["odd"]
    allowed = RedisSaver(redis, keys, allowed=[(Foreign.__module__, "Foreign")])
    assert (await values_of(allowed, config))["odd"][0] == Foreign("x")


class Bomb:
    def __reduce__(self) -> Any:
        return math.floor, (1.5,)


async def test_a_pickle_is_neither_written_nor_read(
    saver: RedisSaver, redis: Redis, keys: Keys
) -> None:
    with pytest.raises(ormsgpack.MsgpackEncodeError):
        await step(saver, generate_config("t"), 1, bomb=object())
    config = await step(saver, generate_config("t"), 1, word="x")
    field = "b\x1f\x1fword\x1f1"
    assert await redis.hget(keys.checkpoints("t") + "data", field)
    await redis.hset(
        keys.checkpoints("t") + "data", field, framed(("pickle", pickle.dumps(Bomb())))
    )
    with pytest.raises(NotImplementedError, match="pickle"):
        await saver.aget_tuple(config)


async def test_what_a_step_sends_does_not_grow_with_the_thread(
    saver: RedisSaver, redis: Redis
) -> None:
    config = await step(saver, generate_config("t"), 1, messages=messages(200))
    before = (await redis.info("stats"))["total_net_input_bytes"]
    await step(saver, config, 2, messages=messages(201))
    after = (await redis.info("stats"))["total_net_input_bytes"]
    assert after - before < 6_000
