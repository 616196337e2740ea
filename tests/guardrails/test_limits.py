"""The ledger: no path spends more than the run may."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import limits


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ledger(clock: Clock | None = None, **changes: float) -> limits.Ledger:
    maxima = {"steps": 3, "tokens": 100, "cost": 1.0, "seconds": 10.0} | changes
    return limits.Ledger(
        limits.Limits(
            steps=int(maxima["steps"]),
            tokens=int(maxima["tokens"]),
            cost=maxima["cost"],
            seconds=maxima["seconds"],
        ),
        clock=clock or Clock(),
    )


def test_a_step_beyond_the_limit_is_refused_and_names_it() -> None:
    book = ledger()
    for _ in range(3):
        book.step()
    with pytest.raises(limits.LimitExceededError, match="max_steps: 3 of 3 used") as refused:
        book.step()
    assert refused.value.limit is limits.Limit.STEPS
    assert book.spent.steps == 3


def test_what_parallel_branches_hold_counts_before_it_is_settled() -> None:
    book = ledger()
    held = book.reserve(tokens=60, cost=0.1)
    with pytest.raises(limits.LimitExceededError, match="max_tokens"):
        book.reserve(tokens=60, cost=0.1)
    book.settle(held, input_tokens=10, output_tokens=5, cost=0.02)
    book.reserve(tokens=60, cost=0.1)
    assert book.spent.tokens == 15


def test_a_model_that_costs_nothing_is_not_stopped_by_a_cost_limit_of_zero() -> None:
    book = ledger(cost=0.0)
    book.reserve(tokens=10, cost=0.0)
    with pytest.raises(limits.LimitExceededError, match="max_cost"):
        book.reserve(tokens=10, cost=0.01)


def test_time_counts_across_attempts_of_one_run() -> None:
    clock = Clock()
    before = limits.Spent(steps=1, seconds=8.0)
    book = limits.Ledger(
        limits.Limits(steps=9, tokens=9, cost=1, seconds=10), clock=clock, spent=before
    )
    clock.now = 1.5
    assert book.seconds_left == pytest.approx(0.5)
    clock.now = 2.5
    with pytest.raises(limits.LimitExceededError, match="max_seconds"):
        book.step()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), max_size=30))
def test_whatever_the_order_the_worst_case_never_exceeds_the_limit(
    attempts: list[tuple[int, int, bool]],
) -> None:
    """Reserve is the worst case, use is at most that; held and used stay within the limit."""
    book = ledger()
    open_ones: list[limits.Reservation] = []
    for tokens, used, settle_one in attempts:
        with contextlib.suppress(limits.LimitExceededError):
            open_ones.append(book.reserve(tokens=tokens, cost=0.0))
        if settle_one and open_ones:
            held = open_ones.pop(0)
            spent = min(used, held.tokens)
            book.settle(held, input_tokens=spent, output_tokens=0, cost=0.0)
        assert book.spent.tokens + sum(one.tokens for one in open_ones) <= 100
