"""Paces measured on a clock that the test turns."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from models import pace
from models.errors import ModelFailed
from models.pieces import Piece, Usage


class Paced:
    """A client whose tokens come at a known pace, on a clock of its own."""

    def __init__(self, *, first: float, gap: float, tokens: int, counts: bool = True) -> None:
        self.now = 0.0
        self.options: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.failing: set[int] = set()
        self._first, self._gap, self._tokens, self._counts = first, gap, tokens, counts

    def clock(self) -> float:
        return self.now

    async def pieces(
        self, messages: Sequence[BaseMessage], /, **options: Any
    ) -> AsyncGenerator[Piece, None]:
        self.options.append(options)
        self.asked.append(str(messages[0].content))
        if len(self.asked) in self.failing:
            raise ModelFailed("it is down")
        yield Piece(about={"model_name": "m"})
        self.now += self._first
        for number in range(self._tokens):
            if number:
                self.now += self._gap
            yield Piece(text="word ")
        yield Piece(finish="stop")
        if self._counts:
            yield Piece(usage=Usage(100, self._tokens))

    async def aclose(self) -> None:
        pass


async def test_one_reply_is_timed_from_request_to_last_token() -> None:
    client = Paced(first=0.5, gap=0.1, tokens=5)
    one = await pace.measure(client, pace.prompt(64, seed=1), clock=client.clock, max_tokens=5)
    assert one.first == pytest.approx(0.5)
    assert one.gaps == pytest.approx([0.1] * 4)
    assert one.total == pytest.approx(0.9)
    assert (one.input_tokens, one.output_tokens, one.counted) == (100, 5, True)
    assert client.options == [{"max_tokens": 5}]


async def test_a_level_adds_up_and_counts_what_failed() -> None:
    client = Paced(first=0.5, gap=0.1, tokens=5)
    client.failing = {2}
    done: list[None] = []
    prompts = [pace.prompt(64, seed=seed) for seed in range(4)]
    one = await pace.level(
        client, prompts, concurrency=1, clock=client.clock, done=lambda: done.append(None)
    )
    assert (one.requests, one.errors, len(done)) == (4, {"it is down": 1}, 4)
    assert one.seconds == pytest.approx(2.7)
    assert (one.input_tokens, one.output_tokens) == (300, 15)
    assert one.output_rate == pytest.approx(15 / 2.7)
    assert one.request_rate == pytest.approx(3 / 2.7)
    assert one.first_token is not None
    assert one.first_token.p99 == pytest.approx(0.5)
    assert one.between_tokens is not None
    assert one.between_tokens.mean == pytest.approx(0.1)
    assert one.latency is not None
    assert one.latency.p50 == pytest.approx(0.9)


async def test_where_nothing_came_there_is_no_series() -> None:
    client = Paced(first=0.5, gap=0.1, tokens=5)
    client.failing = {1}
    one = await pace.level(client, [pace.prompt(8, seed=1)], concurrency=4, clock=client.clock)
    assert (one.first_token, one.latency, one.output_rate) == (None, None, 0.0)


async def test_tokens_that_nobody_counts_are_estimated() -> None:
    client = Paced(first=0.5, gap=0.1, tokens=7, counts=False)
    one = await pace.measure(client, pace.prompt(64, seed=1), clock=client.clock)
    assert not one.counted
    assert one.output_tokens == 10  # 35 characters
    assert one.input_tokens > 48


def test_percentiles_lie_between_the_values() -> None:
    series = [float(number) for number in range(1, 101)]
    found = pace.percentiles(series[::-1])
    assert found is not None
    assert found.mean == pytest.approx(50.5)
    assert (found.p50, found.p95, found.p99) == pytest.approx((50.5, 95.05, 99.01))
    assert pace.percentiles([]) is None
    assert pace.percentiles([2.0]) == pace.Percentiles(mean=2.0, p50=2.0, p95=2.0, p99=2.0)


def test_prompts_differ_from_their_first_words_on() -> None:
    texts = [str(pace.prompt(512, seed=seed)[0].content) for seed in range(50)]
    assert len({text[:40] for text in texts}) == 50
    assert texts[0] == str(pace.prompt(512, seed=0)[0].content)
    assert 480 < len(texts[0].split()) < 512
