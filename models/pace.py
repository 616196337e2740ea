"""How fast an endpoint answers: time to the first token, between tokens, and to the last."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from models.errors import ModelError
from models.pieces import Client, Usage, Written
from models.tokens import count_messages, count_text

Clock = Callable[[], float]

# Short common words, most of which are one token to most tokenizers.
_WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line"
).split()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One reply, in seconds since its request; ``gaps`` lie between its frames with tokens."""

    first: float
    gaps: Sequence[float]
    total: float
    input_tokens: int
    output_tokens: int
    counted: bool
    """Whether the endpoint counted the tokens; else they are estimated."""


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of a series in seconds; by linear interpolation, as numpy does it."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a number of requests at once gave; ``seconds`` from the first request to the last token.

    Rates are of all requests together. ``errors`` counts failures by their message.
    """

    concurrency: int
    requests: int
    errors: dict[str, int]
    seconds: float
    input_tokens: int
    output_tokens: int
    counted: bool
    first_token: Percentiles | None
    between_tokens: Percentiles | None
    latency: Percentiles | None

    @property
    def output_rate(self) -> float:
        """Tokens written a second."""
        return self.output_tokens / self.seconds if self.seconds else 0.0

    @property
    def request_rate(self) -> float:
        """Replies a second."""
        done = self.requests - sum(self.errors.values())
        return done / self.seconds if self.seconds else 0.0


def prompt(tokens: int, *, seed: int) -> list[BaseMessage]:
    """About so many tokens of plain words; another ``seed`` differs from the first word on.

    So that no prefix cache answers for the model.
    """
    dice = random.Random(seed)  # noqa: S311 - words, no secrets
    words = [dice.choice(_WORDS) for _ in range(max(tokens - 16, 1))]
    return [HumanMessage(f"{' '.join(words)}\n\nGo on in this manner, at length.")]


def percentiles(series: Sequence[float]) -> Percentiles | None:
    """None of nothing."""
    if not series:
        return None
    ordered = sorted(series)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    mean = math.fsum(ordered) / len(ordered)
    return Percentiles(mean=mean, p50=at(0.5), p95=at(0.95), p99=at(0.99))


async def measure(
    client: Client, messages: Sequence[BaseMessage], *, clock: Clock, **options: Any
) -> Timing:
    """One request; raises ``ModelError``."""
    started = clock()
    times: list[float] = []
    written = Written()
    async with aclosing(client.pieces(messages, **options)) as pieces:
        async for piece in pieces:
            written.add(piece)
            if piece.text or piece.reasoning or piece.calls:
                times.append(clock())
    ended = clock()
    usage = written.usage or Usage(count_messages(messages), count_text(written.everything))
    return Timing(
        first=(times[0] if times else ended) - started,
        gaps=[later - earlier for earlier, later in pairwise(times)],
        total=ended - started,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        counted=written.usage is not None,
    )


async def level(
    client: Client,
    prompts: Sequence[Sequence[BaseMessage]],
    *,
    concurrency: int,
    done: Callable[[], None] = lambda: None,
    clock: Clock = time.perf_counter,
    **options: Any,
) -> Level:
    """All prompts, ``concurrency`` at once; a failure is counted and the rest goes on.

    ``done`` is called after each; ``options`` are those of a request (``max_tokens``, ...).
    """
    left = iter(prompts)
    timings: list[Timing] = []
    errors: dict[str, int] = {}

    async def work() -> None:
        for messages in left:
            try:
                timings.append(await measure(client, messages, clock=clock, **options))
            except ModelError as error:
                errors[str(error)] = errors.get(str(error), 0) + 1
            done()

    started = clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(prompts))):
            group.create_task(work())
    seconds = clock() - started
    return Level(
        concurrency=concurrency,
        requests=len(prompts),
        errors=errors,
        seconds=seconds,
        input_tokens=sum(one.input_tokens for one in timings),
        output_tokens=sum(one.output_tokens for one in timings),
        counted=all(one.counted for one in timings),
        first_token=percentiles([one.first for one in timings]),
        between_tokens=percentiles([gap for one in timings for gap in one.gaps]),
        latency=percentiles([one.total for one in timings]),
    )
