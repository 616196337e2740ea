"""When a failure is tried again, and how long is waited."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import (
    BadKey,
    ModelError,
    ModelFailed,
    ModelRefused,
    ModelTimeout,
    ModelUnreachable,
    RateLimited,
    StreamCut,
)
from models.retry import Enduring, Retry
from tests.models.chatting import Waits


class Flaky:
    """Fails with each given error in turn, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


async def test_passing_failures_are_tried_again_with_growing_waits() -> None:
    waits = Waits()
    flaky = Flaky(ModelFailed("500"), StreamCut("cut"))
    assert await Retry(sleep=waits, jitter=lambda: 1.0).run(flaky) == "done"
    assert waits.seconds == [0.5, 1.0]


async def test_the_last_failure_is_raised_when_attempts_are_used_up() -> None:
    flaky = Flaky(ModelFailed("1"), ModelFailed("2"), ModelTimeout("3"), ModelFailed("4"))
    with pytest.raises(ModelTimeout, match="3"):
        await Retry(sleep=Waits()).run(flaky)
    assert flaky.tries == 3


@pytest.mark.parametrize("failure", [BadKey("401"), ModelRefused("400"), ValueError("bug")])
async def test_lasting_failures_are_raised_at_once(failure: Exception) -> None:
    flaky = Flaky(failure)
    with pytest.raises(type(failure)):
        await Retry(sleep=Waits()).run(flaky)
    assert flaky.tries == 1


async def test_no_attempt_starts_after_the_total_time() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def slow() -> str:
        nonlocal now
        now += 50.0
        raise ModelTimeout("slow")

    with pytest.raises(ModelTimeout):
        await Retry(attempts=10, total=120.0, sleep=sleep, clock=lambda: now).run(slow)
    assert now < 120.0 + 50.0


async def test_a_wait_longer_than_the_total_time_is_not_begun() -> None:
    waits = Waits()
    with pytest.raises(RateLimited):
        await Retry(total=60.0, sleep=waits).run(Flaky(RateLimited("429", retry_after=61.0)))
    assert waits.seconds == []


@given(retry=st.integers(1, 50), jitter=st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_longest(retry: int, jitter: float) -> None:
    policy = Retry(longest_wait=20.0, jitter=lambda: jitter)
    wait = policy.wait_before(retry, ModelError("any"))
    assert 0.25 <= wait <= 20.0


async def test_a_provider_that_is_away_is_waited_for_and_one_that_fails_is_not() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    policy = Retry(sleep=sleep, clock=lambda: now, jitter=lambda: 1.0)
    away = [ModelUnreachable("refused") for _ in range(6)]
    loading = [ModelFailed("503", away=True) for _ in range(3)]
    assert await policy.run(Flaky(StreamCut("cut"), *away, *loading), outage=60.0) == "done"
    assert now < 60.0
    for failures in (away[:3], [StreamCut("1"), StreamCut("2"), ModelFailed("500")]):
        flaky = Flaky(*failures)
        with pytest.raises(ModelError):
            await policy.run(flaky, outage=0.0 if failures == away[:3] else 60.0)
        assert flaky.tries == 3
    now, gone = 0.0, Flaky(*[ModelUnreachable("refused") for _ in range(99)])
    with pytest.raises(ModelUnreachable):
        await policy.run(gone, outage=60.0)
    assert 50.0 < now <= 60.0


async def test_only_a_provider_that_has_answered_before_is_waited_for() -> None:
    waits = Waits()
    enduring = Enduring(Retry(sleep=waits, jitter=lambda: 1.0))
    with pytest.raises(ModelUnreachable):
        await enduring.run(Flaky(*[ModelUnreachable("refused") for _ in range(3)]))
    assert await enduring.run(Flaky()) == "done"
    flaky = Flaky(*[ModelUnreachable("refused") for _ in range(8)])
    assert await enduring.run(flaky) == "done"
    assert max(waits.seconds) == 5.0
