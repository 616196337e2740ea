"""The ledger: no path spends more than the run may."""

from __future__ import annotations

import asyncio
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


async def test_fifty_branches_that_race_for_ten_model_calls_get_ten() -> None:
    """What is held counts: nobody passes between another's reservation and its settlement."""
    book = limits.Ledger(
        limits.Limits(steps=99, tokens=10_000, cost=1.0, seconds=60.0, model_calls=10),
        clock=Clock(),
    )
    called = 0
    stopped_by: set[limits.Limit] = set()
    gate = asyncio.Event()

    async def branch() -> bool:
        nonlocal called
        await gate.wait()
        try:
            held = book.reserve(tokens=10, cost=0.001)
        except limits.LimitExceededError as refused:
            stopped_by.add(refused.limit)
            return False
        called += 1
        await asyncio.sleep(0)
        book.settle(held, input_tokens=1, output_tokens=1, cost=0.0)
        return True

    racing = [asyncio.create_task(branch()) for _ in range(50)]
    gate.set()
    assert sum(await asyncio.gather(*racing)) == 10
    assert called == 10
    assert stopped_by == {limits.Limit.MODEL_CALLS}
    assert book.spent.model_calls == 10


def test_a_tool_call_beyond_the_limit_is_refused_before_it_is_made() -> None:
    book = limits.Ledger(
        limits.Limits(steps=9, tokens=9, cost=1, seconds=9, tool_calls=2), clock=Clock()
    )
    book.tool_call()
    book.tool_call()
    with pytest.raises(limits.LimitExceededError, match="max_tool_calls: 2 of 2 used"):
        book.tool_call()


def test_branches_start_together_or_not_at_all_and_make_room_when_they_end() -> None:
    book = limits.Ledger(
        limits.Limits(steps=9, tokens=9, cost=1, seconds=9, branches=3, depth=2), clock=Clock()
    )
    book.open_branches(2)
    with pytest.raises(limits.LimitExceededError, match="max_branches"):
        book.open_branches(2)
    book.close_branches(1)
    book.open_branches(2, depth=2)
    with pytest.raises(limits.LimitExceededError, match="max_depth"):
        book.open_branches(1, depth=3)
    assert (book.spent.branches, book.spent.depth) == (3, 2)


def test_a_limit_warns_once_when_four_fifths_are_used() -> None:
    clock = Clock()
    book = limits.Ledger(limits.Limits(steps=5, tokens=100, cost=1.0, seconds=10.0), clock=clock)
    for _ in range(3):
        book.step()
    assert book.warnings() == []
    book.step()
    assert [one.in_words for one in book.warnings()] == ["max_steps: 80% used (4 of 5)"]
    book.step()
    assert book.warnings() == []
    clock.now = 8.0
    assert [one.limit for one in book.warnings()] == [limits.Limit.SECONDS]


def test_a_resumed_run_does_not_warn_again_and_a_raised_limit_does() -> None:
    present = limits.Limits(steps=10, tokens=100, cost=1.0, seconds=10.0)
    spent = limits.Spent(steps=9)
    resumed = limits.Ledger(present, clock=Clock(), spent=spent)
    resumed.step()
    assert resumed.warnings() == []
    raised = limits.Ledger(present.raised(limits.Limit.STEPS, to=12), clock=Clock(), spent=spent)
    raised.step()
    assert [one.maximum for one in raised.warnings()] == [12]


@pytest.mark.parametrize(
    ("limit", "to", "said"),
    [
        (limits.Limit.STEPS, 10, "is not more than 10"),
        (limits.Limit.STEPS, 10.5, "whole number"),
        (limits.Limit.STEPS, float("nan"), "is not more"),
        (limits.Limit.TOOL_CALLS, 10, "has no such limit"),
        (limits.Limit.TENANT_DAY, 10, "has no such limit"),
    ],
)
def test_only_a_limit_that_is_there_is_raised_and_only_upwards(
    limit: limits.Limit, to: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        limits.Limits(steps=10, tokens=1, cost=1, seconds=1).raised(limit, to=to)


@given(st.lists(st.sampled_from(["reserve", "settle"]), max_size=60), st.integers(0, 8))
def test_calls_made_and_held_never_exceed_the_limit(moves: list[str], most: int) -> None:
    book = limits.Ledger(
        limits.Limits(steps=1, tokens=10_000, cost=1, seconds=9, model_calls=most), clock=Clock()
    )
    held: list[limits.Reservation] = []
    for move in moves:
        if move == "reserve":
            with contextlib.suppress(limits.LimitExceededError):
                held.append(book.reserve(tokens=1, cost=0))
        elif held:
            book.settle(held.pop(), input_tokens=0, output_tokens=0, cost=0)
        assert book.spent.model_calls + len(held) <= most
