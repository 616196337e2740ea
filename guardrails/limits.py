"""What a run may spend: limits, and the one ledger that every attempt goes through.

The ledger belongs to the run, above its graph: no branch, retry, sub-agent or resume escapes it.
Reserve the worst case before a provider attempt, settle with what was used after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

WARN_AT = 0.8
"""Which share of a limit is worth a warning."""


class Limit(StrEnum):
    """What can run out; the value is the `stop_reason` that a caller sees."""

    STEPS = "max_steps"
    MODEL_CALLS = "max_model_calls"
    TOOL_CALLS = "max_tool_calls"
    TOKENS = "max_tokens"
    COST = "max_cost"
    SECONDS = "max_seconds"
    STEP_SECONDS = "max_step_seconds"
    DEPTH = "max_depth"
    BRANCHES = "max_branches"
    TENANT_DAY = "tenant_day"
    TENANT_MONTH = "tenant_month"


# These are not used up: what has ended makes room again.
_CEILINGS = frozenset({Limit.DEPTH, Limit.BRANCHES, Limit.STEP_SECONDS})
_IN_PARTS = frozenset({Limit.COST, Limit.SECONDS, Limit.STEP_SECONDS})


def is_fitting(limit: Limit, maximum: float) -> bool:
    """Whether a limit can have this maximum: what is counted has a whole number."""
    return limit in _IN_PARTS or float(maximum).is_integer()


class LimitExceededError(Exception):
    """The run may not go on: names the limit, what was used and the maximum."""

    def __init__(self, limit: Limit, *, used: float, maximum: float) -> None:
        super().__init__(f"{limit}: {used:g} of {maximum:g} used")
        self.limit = limit
        self.used = used
        self.maximum = maximum


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Maxima of one run: agent steps, tokens in and out, US dollars, active seconds.

    ``model_calls`` counts provider attempts, retries too. ``depth`` is how deep agents may hand
    work on (1: the coordinator's own tasks), ``branches`` how many may work at the same time.
    ``step_seconds`` is for one step of one agent: a thought with its repairs and retries, or a
    call of a tool. None is no limit.
    """

    steps: int
    tokens: int
    cost: float
    seconds: float
    model_calls: int | None = None
    tool_calls: int | None = None
    depth: int | None = None
    branches: int | None = None
    step_seconds: float | None = None

    @cached_property
    def maxima(self) -> Mapping[Limit, float]:
        """Each limit that there is, with its maximum."""
        found: dict[Limit, float | None] = {
            Limit.STEPS: self.steps,
            Limit.MODEL_CALLS: self.model_calls,
            Limit.TOOL_CALLS: self.tool_calls,
            Limit.TOKENS: self.tokens,
            Limit.COST: self.cost,
            Limit.SECONDS: self.seconds,
            Limit.DEPTH: self.depth,
            Limit.BRANCHES: self.branches,
            Limit.STEP_SECONDS: self.step_seconds,
        }
        return {limit: most for limit, most in found.items() if most is not None}

    def raised(self, limit: Limit, *, to: float) -> Limits:
        """With one limit raised. Raises ValueError where ``to`` is not more, or it is no run's."""
        present = self.maxima.get(limit)
        name = limit.removeprefix("max_")
        if present is None:
            raise ValueError(f"{limit}: the run has no such limit")
        if not to > present:
            raise ValueError(f"{limit}: {to:g} is not more than {present:g}")
        if not is_fitting(limit, to):
            raise ValueError(f"{limit}: {to:g} has to be a whole number")
        changed: dict[str, Any] = {name: float(to) if limit in _IN_PARTS else int(to)}
        return replace(self, **changed)

    def lowered(self, asked: Mapping[str, Any]) -> Limits:
        """What a run asks for, by the names of the fields, where that is less."""
        lowered = {}
        for one in fields(self):
            wanted, most = asked.get(one.name), getattr(self, one.name)
            if wanted is not None:
                lowered[one.name] = wanted if most is None else min(most, wanted)
        return replace(self, **lowered)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a run has used so far; ``cost`` in US dollars, ``seconds`` active.

    ``depth`` and ``branches`` are the most that there were at one time.
    """

    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    depth: int = 0
    branches: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def of(self, limit: Limit) -> float:
        """How much of one of the run's limits is used; of those per step that is nothing."""
        used: float = getattr(self, limit.removeprefix("max_"), 0.0)
        return used


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What one provider attempt may cost at worst; held until it is settled."""

    tokens: int
    cost: float


@dataclass(frozen=True, kw_only=True)
class LimitWarning:
    """A limit that is nearly used up."""

    limit: Limit
    used: float
    maximum: float

    @property
    def in_words(self) -> str:
        return (
            f"{self.limit}: {self.used / self.maximum:.0%} used ({self.used:g} of {self.maximum:g})"
        )


class Ledger:
    """Counts what a run spends and refuses what would exceed its limits.

    Not shared between event loops. ``clock`` gives seconds and only has to be monotonic;
    ``spent`` carries on from an earlier attempt of the same run, which has also given the warnings
    that it called for.
    """

    def __init__(
        self, limits: Limits, *, clock: Callable[[], float], spent: Spent | None = None
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._started = clock()
        self._before = spent or Spent()
        self._spent = self._before
        self._held_calls = 0
        self._held_tokens = 0
        self._held_cost = 0.0
        self._open_branches = 0
        self._used_up = [
            (limit, most)
            for limit, most in limits.maxima.items()
            if most > 0 and limit not in _CEILINGS
        ]
        self._warned = {warning.limit for warning in self._near()}

    @property
    def spent(self) -> Spent:
        return self._counted(seconds=self._seconds)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.limits.seconds - self._seconds)

    def step(self) -> None:
        """Count one step of an agent. Raises LimitExceededError."""
        self._check_time()
        self._check(Limit.STEPS, used=self._spent.steps, wanted=1)
        self._spent = self._counted(steps=self._spent.steps + 1)

    def tool_call(self) -> None:
        """Count one tool call before it is made. Raises LimitExceededError."""
        self._check_time()
        self._check(Limit.TOOL_CALLS, used=self._spent.tool_calls, wanted=1)
        self._spent = self._counted(tool_calls=self._spent.tool_calls + 1)

    def open_branches(self, count: int = 1, *, depth: int = 1) -> None:
        """Count branches that start side by side, all or none. Raises LimitExceededError."""
        self._check_time()
        self._check(Limit.DEPTH, used=0, wanted=depth, told=self._spent.depth)
        self._check(Limit.BRANCHES, used=self._open_branches, wanted=count)
        self._open_branches += count
        self._spent = self._counted(
            depth=max(self._spent.depth, depth),
            branches=max(self._spent.branches, self._open_branches),
        )

    def close_branches(self, count: int = 1) -> None:
        """Branches have ended; others may start."""
        self._open_branches = max(0, self._open_branches - count)

    def reserve(self, *, tokens: int, cost: float) -> Reservation:
        """Hold the worst case of one provider attempt. Raises LimitExceededError."""
        self._check_time()
        self._check(Limit.MODEL_CALLS, used=self._spent.model_calls + self._held_calls, wanted=1)
        self._check(Limit.TOKENS, used=self._spent.tokens + self._held_tokens, wanted=tokens)
        if cost > 0:
            self._check(Limit.COST, used=self._spent.cost + self._held_cost, wanted=cost)
        self._held_calls += 1
        self._held_tokens += tokens
        self._held_cost += cost
        return Reservation(tokens=tokens, cost=cost)

    def release(self, reservation: Reservation) -> None:
        """Let go of what was held for an attempt that was not made."""
        self._held_calls -= 1
        self._held_tokens -= reservation.tokens
        self._held_cost -= reservation.cost

    def settle(
        self, reservation: Reservation, *, input_tokens: int, output_tokens: int, cost: float
    ) -> None:
        """Replace what was held by what was used, also where the attempt failed."""
        self.release(reservation)
        self._spent = self._counted(
            model_calls=self._spent.model_calls + 1,
            input_tokens=self._spent.input_tokens + input_tokens,
            output_tokens=self._spent.output_tokens + output_tokens,
            cost=self._spent.cost + cost,
        )

    def warnings(self) -> list[LimitWarning]:
        """Limits of which WARN_AT is used since this was asked last; each is told once."""
        near = [warning for warning in self._near() if warning.limit not in self._warned]
        self._warned |= {warning.limit for warning in near}
        return near

    def _counted(self, **counts: Any) -> Spent:
        return Spent(**{**vars(self._spent), **counts})

    def _near(self) -> list[LimitWarning]:
        spent = self.spent
        return [
            LimitWarning(limit=limit, used=used, maximum=most)
            for limit, most in self._used_up
            if (used := spent.of(limit)) >= WARN_AT * most
        ]

    def _check(
        self, limit: Limit, *, used: float, wanted: float, told: float | None = None
    ) -> None:
        most = self.limits.maxima.get(limit)
        if most is not None and used + wanted > most:
            raise LimitExceededError(limit, used=used if told is None else told, maximum=most)

    @property
    def _seconds(self) -> float:
        return self._before.seconds + self._clock() - self._started

    def _check_time(self) -> None:
        used = self._seconds
        if used >= self.limits.seconds:
            raise LimitExceededError(Limit.SECONDS, used=used, maximum=self.limits.seconds)
