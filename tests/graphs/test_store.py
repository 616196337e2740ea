"""The long-term store does what LangGraph's own does, on plain Redis and apart for each tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, IndexConfig, PutOp
from langgraph.store.memory import InMemoryStore
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.store import RedisStore
from graphs.store_match import matches


class Letters(Embeddings):
    """How often a, b and c stand in a text."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count(letter)) for letter in "abc"]


INDEX = IndexConfig(dims=3, embed=Letters(), fields=["text"])
Make = Callable[..., BaseStore]


@pytest.fixture(params=["langgraph", "redis"])
async def make(request: pytest.FixtureRequest, redis: Redis, keys: Keys) -> Make:
    def made(index: IndexConfig | None = None) -> BaseStore:
        if request.param == "langgraph":
            return InMemoryStore(index=index)
        return RedisStore(redis, keys, index=index)

    return made


async def test_what_was_put_is_there_until_it_is_deleted(make: Make) -> None:
    store = make()
    await store.aput(("users", "7"), "likes", {"food": "pie", "deep": {"list": [1, None]}})
    found = await store.aget(("users", "7"), "likes")
    assert found is not None
    assert (found.namespace, found.key) == (("users", "7"), "likes")
    assert found.value == {"food": "pie", "deep": {"list": [1, None]}}
    assert await store.aget(("users",), "likes") is None
    await store.adelete(("users", "7"), "likes")
    await store.adelete(("users", "7"), "likes")
    assert await store.aget(("users", "7"), "likes") is None


async def test_a_later_put_replaces_the_value(make: Make) -> None:
    store = make()
    await store.aput(("n",), "k", {"a": 1, "b": 2})
    await store.aput(("n",), "k", {"a": 3})
    found = await store.aget(("n",), "k")
    assert found is not None
    assert found.value == {"a": 3}
    assert found.updated_at >= found.created_at


FILTERS: list[tuple[dict[str, Any] | None, set[str]]] = [
    (None, {"1", "2", "3"}),
    ({"kind": "x"}, {"1", "2"}),
    ({"kind": {"$eq": "x"}}, {"1", "2"}),
    ({"kind": {"$ne": "x"}}, {"3"}),
    ({"n": {"$gt": 1}}, {"2", "3"}),
    ({"n": {"$gte": 2, "$lt": 3}}, {"2"}),
    ({"n": {"$lte": 1}}, {"1"}),
    ({"kind": "x", "n": 2}, {"2"}),
    ({"in": {"side": {"$gt": 5}}}, {"3"}),
    ({"in": {"side": 5}}, {"1"}),
    ({"list": [1, 2]}, {"1"}),
    ({"list": [1]}, set()),
]


@pytest.mark.parametrize(("wanted", "keys_found"), FILTERS)
async def test_a_search_filters(
    make: Make, wanted: dict[str, Any] | None, keys_found: set[str]
) -> None:
    store = make()
    await store.aput(("a", "b"), "1", {"kind": "x", "n": 1, "in": {"side": 5}, "list": [1, 2]})
    await store.aput(("a", "c"), "2", {"kind": "x", "n": 2, "in": {"side": 0}})
    await store.aput(("a", "c"), "3", {"kind": "y", "n": 3, "in": {"side": 6}})
    await store.aput(("ab",), "4", {"kind": "x", "n": 2})
    found = await store.asearch(("a",), filter=wanted)
    assert {item.key for item in found} == keys_found


async def test_an_operator_that_nobody_knows_is_an_error(make: Make) -> None:
    store = make()
    await store.aput(("a",), "1", {"n": 1})
    with pytest.raises(ValueError, match="near"):
        await store.asearch(("a",), filter={"n": {"$near": 1}})


async def test_pages_of_a_search_hold_each_item_once(make: Make) -> None:
    store = make()
    for number in range(7):
        await store.aput(("a",), str(number), {"n": number})
    pages = [await store.asearch(("a",), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert {item.key for page in pages for item in page} == {str(number) for number in range(7)}
    assert len(await store.asearch(())) == 7


async def test_namespaces_are_listed_by_their_begin_end_and_depth(make: Make) -> None:
    store = make()
    for namespace in (("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("z",)):
        await store.aput(namespace, "k", {"v": 1})
    listed = store.alist_namespaces
    assert await listed() == [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("z",)]
    assert await listed(prefix=("a", "b")) == [("a", "b", "c"), ("a", "b", "d")]
    assert await listed(suffix=("c",)) == [("a", "b", "c"), ("a", "x", "c")]
    assert await listed(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x", "c")]
    assert await listed(prefix=("a",), suffix=("*", "d")) == [("a", "b", "d")]
    assert await listed(max_depth=2) == [("a", "b"), ("a", "x"), ("z",)]
    assert await listed(limit=1, offset=1) == [("a", "b", "d")]


async def test_many_operations_travel_together_and_the_last_write_of_a_key_wins(
    make: Make,
) -> None:
    store = make()
    await store.aput(("a",), "old", {"n": 0})
    await store.abatch(
        [
            PutOp(("a",), "k", {"n": 1}),
            PutOp(("a",), "k", {"n": 2}),
            PutOp(("b",), "k", {"n": 3}),
            PutOp(("a",), "old", None),
        ]
    )
    found = {(item.namespace, item.key, item.value["n"]) for item in await store.asearch(())}
    assert found == {(("a",), "k", 2), (("b",), "k", 3)}


async def test_a_query_ranks_by_likeness_where_there_is_an_index(make: Make) -> None:
    store = make(INDEX)
    await store.aput(("n",), "a", {"text": "aaab"})
    await store.aput(("n",), "b", {"text": "bbba"})
    await store.aput(("n",), "c", {"text": "ccc"})
    await store.aput(("n",), "none", {"text": "bbb"}, index=False)
    await store.aput(("n",), "other", {"title": "bb"}, index=["title"])
    found = await store.asearch(("n",), query="b", limit=3)
    assert [item.key for item in found] == ["other", "b", "a"]
    assert found[0].score == pytest.approx(1.0)
    everything = await store.asearch(("n",), query="b")
    assert [item.key for item in everything][-1] == "none"
    assert everything[-1].score is None


async def test_without_an_index_a_query_changes_nothing(make: Make) -> None:
    store = make()
    await store.aput(("n",), "a", {"text": "a"})
    found = await store.asearch(("n",), query="something else")
    assert [(item.key, item.score) for item in found] == [("a", None)]


async def test_synchronous_methods_work_from_other_threads(make: Make) -> None:
    store = make()

    def work() -> Any:
        store.put(("n",), "k", {"v": 1})
        return store.get(("n",), "k"), store.search(("n",)), store.list_namespaces()

    found, searched, namespaces = await asyncio.to_thread(work)
    assert found.value == searched[0].value == {"v": 1}
    assert namespaces == [("n",)]


async def test_on_the_loop_a_synchronous_method_says_what_to_use(redis: Redis, keys: Keys) -> None:
    with pytest.raises(RuntimeError, match="aget"):
        RedisStore(redis, keys).get(("n",), "k")


async def test_latest_comes_first_and_the_day_of_creation_stays(redis: Redis, keys: Keys) -> None:
    store = RedisStore(redis, keys)
    await store.aput(("n",), "one", {"v": 1})
    before = await store.aget(("n",), "one")
    await store.aput(("n",), "two", {"v": 2})
    await store.aput(("n",), "one", {"v": 3})
    found = await store.asearch(("n",))
    assert before is not None
    assert [item.key for item in found] == ["one", "two"]
    assert found[0].created_at == before.created_at < found[0].updated_at


async def test_tenants_never_see_each_others_items(redis: Redis, keys: Keys) -> None:
    one, other = (RedisStore(redis, keys).for_tenant(name) for name in ("one", "other"))
    await one.aput(("n",), "k", {"v": 1})
    assert await other.aget(("n",), "k") is None
    assert await other.asearch(()) == []
    assert await other.alist_namespaces() == []
    await other.adelete(("n",), "k")
    assert await one.aget(("n",), "k") is not None


async def test_an_item_lives_as_long_as_it_was_given_and_its_neighbours_go_on(
    redis: Redis, keys: Keys
) -> None:
    store = RedisStore(redis, keys)
    # A microsecond: over before the next command.
    await store.aput(("n",), "short", {"v": 1}, ttl=1.1 / 60e6)
    await store.aput(("m",), "short", {"v": 1}, ttl=1.1 / 60e6)
    await store.aput(("n",), "long", {"v": 2}, ttl=5)
    await store.aput(("n",), "ever", {"v": 3})
    assert await store.aget(("n",), "short") is None
    assert {item.key for item in await store.asearch(())} == {"long", "ever"}
    assert await store.sweep() == 2
    assert await store.sweep() == 0
    assert await store.alist_namespaces() == [("n",)]
    assert {item.key for item in await store.asearch(())} == {"long", "ever"}


async def test_reading_makes_an_item_live_on_unless_asked_not_to(redis: Redis, keys: Keys) -> None:
    store = RedisStore(redis, keys)
    expiries = keys.store("default") + "expiries"

    async def end() -> float:
        return float((await redis.zrange(expiries, 0, -1, withscores=True))[0][1])

    await store.aput(("n",), "k", {"v": 1}, ttl=5)
    first = await end()
    await store.aget(("n",), "k", refresh_ttl=False)
    await store.asearch(("n",), refresh_ttl=False)
    assert await end() == first
    await store.aget(("n",), "k")
    second = await end()
    assert second > first
    await store.asearch(("n",))
    third = await end()
    assert third > second
    await store.aput(("n",), "k", {"v": 2})
    assert await redis.exists(expiries) == 0


async def test_a_default_time_to_live_is_for_items_that_name_none(redis: Redis, keys: Keys) -> None:
    store = RedisStore(redis, keys, ttl={"default_ttl": 5, "refresh_on_read": False})
    await store.aput(("n",), "k", {"v": 1})
    assert await redis.zcard(keys.store("default") + "expiries") == 1


async def test_the_last_item_of_a_namespace_leaves_nothing_behind(redis: Redis, keys: Keys) -> None:
    store = RedisStore(redis, keys)
    await store.aput(("n", "m"), "k", {"v": 1}, ttl=5)
    await store.adelete(("n", "m"), "k")
    assert [key async for key in redis.scan_iter()] == []


async def test_values_that_are_no_json_are_kept_as_what_they_mean(redis: Redis, keys: Keys) -> None:
    store = RedisStore(redis, keys)
    await store.aput(("n",), "k", {"set": {1}, "big": 2**70})
    found = await store.aget(("n",), "k")
    assert found is not None
    assert found.value == {"set": [1], "big": str(2**70)}


@given(value=st.integers(), bound=st.integers())
def test_comparisons_agree_with_arithmetic(value: int, bound: int) -> None:
    held = {"n": float(value)}
    assert matches(held, {"n": {"$gt": bound}}) == (float(value) > float(bound))
    assert matches(held, {"n": {"$lte": bound}}) == (float(value) <= float(bound))
    assert not matches({}, {"n": {"$lt": bound}})
