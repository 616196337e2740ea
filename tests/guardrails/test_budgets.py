"""A tenant's budgets: a day and a month of UTC, over all its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import budgets
from guardrails.budgets import Amounts, Budget, Period
from guardrails.limits import Limit

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)


def test_a_period_is_named_and_ends_by_utc_wherever_the_clock_stands() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert budgets.label(Period.DAY, late) == "2027-01-01"
    assert budgets.label(Period.MONTH, NOON) == "2026-12"
    assert budgets.end(Period.DAY, NOON) == datetime(2027, 1, 1, tzinfo=UTC)
    assert budgets.end(Period.MONTH, NOON) == datetime(2027, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001
def test_the_end_of_a_period_is_the_first_moment_of_the_next(at: datetime) -> None:
    for period in Period:
        end = budgets.end(period, at)
        assert end > at
        assert budgets.label(period, end) != budgets.label(period, at)
        assert budgets.label(period, end - timedelta(microseconds=1)) == budgets.label(period, at)


def test_the_month_stops_what_the_day_would_allow() -> None:
    with pytest.raises(budgets.BudgetExceededError) as refused:
        budgets.check(
            {Period.DAY: Budget(cost=5.0), Period.MONTH: Budget(cost=20.0)},
            used={Period.DAY: Amounts(cost=1.0), Period.MONTH: Amounts(cost=19.5)},
            worst=Amounts(cost=1.0),
            at=NOON,
        )
    assert refused.value.limit is Limit.TENANT_MONTH
    assert str(refused.value) == (
        "tenant_month: 19.5 of 20 cost used; the next month begins 2027-01-01 00:00 UTC"
    )


def test_what_costs_nothing_goes_on_where_the_money_is_spent() -> None:
    budgets.check(
        {Period.DAY: Budget(cost=1.0)},
        used={Period.DAY: Amounts(cost=1.0)},
        worst=Amounts(tokens=500, model_calls=1),
        at=NOON,
    )


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(0, 100))
def test_what_was_let_through_never_exceeds_the_budget(wanted: list[int], most: int) -> None:
    used = Amounts()
    for tokens in wanted:
        worst = Amounts(tokens=tokens)
        try:
            budgets.check(
                {Period.DAY: Budget(tokens=most)}, used={Period.DAY: used}, worst=worst, at=NOON
            )
        except budgets.BudgetExceededError:
            assert used.tokens + tokens > most
        else:
            used += worst
    assert used.tokens <= most


def test_amounts_near_their_maximum_are_named() -> None:
    assert budgets.near(Budget(tokens=100, cost=1.0), Amounts(tokens=80, cost=0.5)) == ["tokens"]
