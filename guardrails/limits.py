"""What a run may spend: limits, and the one ledger that every attempt goes through.

The ledger belongs to the run, above its graph: no branch, retry, sub-agent or resume escapes it.
Reserve the worst case before a provider attempt, settle with what was used after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class Limit(StrEnum):
    """What can run out; the value is the `stop_reason` that a caller sees."""

    STEPS = "max_steps"
    TOKENS = "max_tokens"
    COST = "max_cost"
    SECONDS = "max_seconds"


class LimitExceededError(Exception):
    """The run may not go on: names the limit, what was used and the maximum."""

    def __init__(self, limit: Limit, *, used: float, maximum: float) -> None:
        super().__init__(f"{limit}: {used:g} of {maximum:g} used")
        self.limit = limit
        self.used = used
        self.maximum = maximum


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Maxima of one run: agent steps, tokens in and out, US dollars, active seconds."""

    steps: int
    tokens: int
    cost: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a run has used so far; ``cost`` in US dollars, ``seconds`` active."""

    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What one provider attempt may cost at worst; held until it is settled."""

    tokens: int
    cost: float


class Ledger:
    """Counts what a run spends and refuses what would exceed its limits.

    Not shared between event loops. ``clock`` gives seconds and only has to be monotonic;
    ``spent`` carries on from an earlier attempt of the same run.
    """

    def __init__(
        self, limits: Limits, *, clock: Callable[[], float], spent: Spent | None = None
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._started = clock()
        self._before = spent or Spent()
        self._spent = self._before
        self._held_tokens = 0
        self._held_cost = 0.0

    @property
    def spent(self) -> Spent:
        elapsed = self._clock() - self._started
        return replace(self._spent, seconds=self._before.seconds + elapsed)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.limits.seconds - self.spent.seconds)

    def step(self) -> None:
        """Count one step of an agent. Raises LimitExceededError."""
        self._check_time()
        if self._spent.steps + 1 > self.limits.steps:
            raise LimitExceededError(Limit.STEPS, used=self._spent.steps, maximum=self.limits.steps)
        self._spent = replace(self._spent, steps=self._spent.steps + 1)

    def tool_call(self) -> None:
        """Count one tool call. Raises LimitExceededError when the time is up."""
        self._check_time()
        self._spent = replace(self._spent, tool_calls=self._spent.tool_calls + 1)

    def reserve(self, *, tokens: int, cost: float) -> Reservation:
        """Hold the worst case of one provider attempt. Raises LimitExceededError."""
        self._check_time()
        committed = self._spent.tokens + self._held_tokens
        if committed + tokens > self.limits.tokens:
            raise LimitExceededError(Limit.TOKENS, used=committed, maximum=self.limits.tokens)
        held = self._spent.cost + self._held_cost
        if cost > 0 and held + cost > self.limits.cost:
            raise LimitExceededError(Limit.COST, used=held, maximum=self.limits.cost)
        self._held_tokens += tokens
        self._held_cost += cost
        return Reservation(tokens=tokens, cost=cost)

    def settle(
        self, reservation: Reservation, *, input_tokens: int, output_tokens: int, cost: float
    ) -> None:
        """Replace what was held by what was used, also where the attempt failed."""
        self._held_tokens -= reservation.tokens
        self._held_cost -= reservation.cost
        self._spent = replace(
            self._spent,
            model_calls=self._spent.model_calls + 1,
            input_tokens=self._spent.input_tokens + input_tokens,
            output_tokens=self._spent.output_tokens + output_tokens,
            cost=self._spent.cost + cost,
        )

    def _check_time(self) -> None:
        used = self.spent.seconds
        if used >= self.limits.seconds:
            raise LimitExceededError(Limit.SECONDS, used=used, maximum=self.limits.seconds)
