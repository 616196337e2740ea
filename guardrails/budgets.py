"""What a tenant may spend in a day and in a month, over all its runs; calendar of UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from guardrails.limits import WARN_AT, Limit, LimitExceededError


class Period(StrEnum):
    """What a budget is for."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What was used, or would be: ``cost`` in US dollars, ``seconds`` active."""

    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            steps=self.steps + other.steps,
            model_calls=self.model_calls + other.model_calls,
            tool_calls=self.tool_calls + other.tool_calls,
            tokens=self.tokens + other.tokens,
            cost=self.cost + other.cost,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Maxima of one tenant in one period; None is no limit."""

    steps: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None


class BudgetExceededError(LimitExceededError):
    """The tenant may spend no more in this period: names it, the amount and when it ends."""

    def __init__(
        self, period: Period, *, amount: str, used: float, maximum: float, until: datetime
    ) -> None:
        limit = Limit.TENANT_DAY if period is Period.DAY else Limit.TENANT_MONTH
        super().__init__(limit, used=used, maximum=maximum)
        self.period = period
        self.amount = amount
        self.until = until
        told = f"{used:g} of {maximum:g} {amount} used"
        self.args = (f"{limit}: {told}; the next {period} begins {until:%Y-%m-%d %H:%M} UTC",)


def label(period: Period, at: datetime) -> str:
    """The name of the period around an aware time, such as `2026-11-24` or `2026-11`."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if period is Period.DAY else f"{at:%Y-%m}"


def end(period: Period, at: datetime) -> datetime:
    """When the period around an aware time is over, and the next begins."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.DAY:
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def check(
    budgets: Mapping[Period, Budget],
    *,
    used: Mapping[Period, Amounts],
    worst: Amounts,
    at: datetime,
) -> None:
    """Whether ``worst`` still fits on top of what is ``used`` (what is held counted in).

    What costs nothing is not stopped by a budget that is used up for it. Raises
    BudgetExceededError for the first amount that does not fit, the day's before the month's.
    """
    for period in Period:
        wanted = asdict(worst)
        had = asdict(used.get(period, Amounts()))
        for amount, most in asdict(budgets.get(period, Budget())).items():
            if most is not None and wanted[amount] > 0 and had[amount] + wanted[amount] > most:
                raise BudgetExceededError(
                    period, amount=amount, used=had[amount], maximum=most, until=end(period, at)
                )


def near(budget: Budget, used: Amounts) -> list[str]:
    """The amounts of which WARN_AT or more is used."""
    had = asdict(used)
    return [
        amount for amount, most in asdict(budget).items() if most and had[amount] >= WARN_AT * most
    ]
