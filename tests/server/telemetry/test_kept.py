"""Traces are kept, bounded by number, age and size; both places pass the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.telemetry.kept import Batch, Bounds, MemoryTraces, RedisTraces, Traces
from server.telemetry.span import Link, Span

Make = Callable[[Bounds], Traces]


@pytest.fixture(params=["redis", "memory"])
def make(request: pytest.FixtureRequest, redis: Redis, keys: Keys) -> Make:
    if request.param == "memory":
        return lambda bounds: MemoryTraces(bounds=bounds)
    return lambda bounds: RedisTraces(redis, keys, bounds=bounds)


def one(name: str, *, start: float = 1.0, end: float | None = 2.0) -> Span:
    return Span(span_id=f"{name:0>16}", parent="", name=name, start=start, end=end)


def names_of(traces: list[Span]) -> list[str]:
    return [span.name for span in traces]


async def test_batches_of_segments_are_one_trace_in_the_order_of_their_begin(make: Make) -> None:
    traces = make(Bounds())
    linked = one("b", start=3.0)
    linked.links.append(Link(trace_id="0" * 32, span_id="1" * 16, why="asked"))
    linked.attributes["x"] = ["y"]
    await traces.put([Batch(run_id="r", token=2, number=1, ended=[linked])], at=10.0)
    await traces.put([Batch(run_id="r", token=1, number=1, ended=[one("a")])], at=11.0)
    found = await traces.get("r")
    assert found is not None
    assert found.spans == [one("a"), linked]
    assert await traces.get("other") is None


async def test_an_open_span_is_seen_until_it_ends_and_lost_where_another_attempt_began(
    make: Make,
) -> None:
    traces = make(Bounds())
    await traces.put([Batch(run_id="r", token=1, number=1, open=[one("a", end=None)])], at=1.0)
    found = await traces.get("r")
    assert found is not None
    assert [(span.end, span.error) for span in found.spans] == [(None, "")]
    await traces.put([Batch(run_id="r", token=2, number=1, open=[one("b", end=None)])], at=2.0)
    found = await traces.get("r")
    assert found is not None
    assert {span.name: span.error for span in found.spans} == {"a": "lost", "b": ""}
    await traces.put([Batch(run_id="r", token=2, number=2, ended=[one("b")])], at=3.0)
    found = await traces.get("r")
    assert found is not None
    assert {span.name: span.end for span in found.spans} == {"a": None, "b": 2.0}


async def test_only_the_last_traces_are_kept(make: Make) -> None:
    traces = make(Bounds(traces=2))
    for place, run in enumerate("abc"):
        await traces.put([Batch(run_id=run, token=1, number=1, ended=[one("s")])], at=place + 1.0)
    kept = [run for run in "abc" if await traces.get(run) is not None]
    assert kept == ["b", "c"]


async def test_a_trace_that_grows_too_large_says_what_it_left_out(make: Make) -> None:
    traces = make(Bounds(bytes=300))
    for number in range(1, 5):
        batch = Batch(run_id="r", token=1, number=number, ended=[one(str(number))])
        await traces.put([batch], at=float(number))
    found = await traces.get("r")
    assert found is not None
    assert names_of(found.spans) == ["1", "2"]
    assert found.left_out == 2


async def test_a_trace_can_be_forgotten(make: Make) -> None:
    traces = make(Bounds())
    await traces.put([Batch(run_id="r", token=1, number=1, ended=[one("s")])], at=1.0)
    await traces.forget(["r", "never"])
    await traces.forget([])
    assert await traces.get("r") is None


async def test_traces_expire(redis: Redis, keys: Keys) -> None:
    traces = RedisTraces(redis, keys, bounds=Bounds(seconds=100))
    await traces.put([Batch(run_id="r", token=1, number=1, ended=[one("s")])], at=1.0)
    assert 0 < await redis.ttl(keys.trace("r")) <= 100
    assert 0 < await redis.ttl(keys.traces) <= 100
