"""One try at a provider: what it may cost before, what it did cost after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class TokenUsage:
    """Tokens in and out; ``estimated`` where the provider did not say and we counted.

    ``cached_tokens`` of those in were in the provider's cache; None where it does not say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cached_tokens: int | None = None

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            estimated=self.estimated or other.estimated,
            cached_tokens=self.cached_tokens
            if other.cached_tokens is None
            else other.cached_tokens + (self.cached_tokens or 0),
        )


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended: the class of its ``error``, or why the model stopped (``finish``, in
    the provider's word), and the seconds up to its ``first`` piece, where one came."""

    error: str = ""
    finish: str = ""
    first: float | None = None

    @property
    def ok(self) -> bool:
        return not self.error


ENDED = Ending()


class AttemptGate(Protocol):
    """Asked before each provider attempt and told after it: retries and repairs are attempts.

    A gate belongs to one caller, whose calls do not overlap, so that a settlement always ends the
    reservation before it. Costs in US dollars, ``model`` by its name in the registry.
    """

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        """Take the worst case out of the budget, or raise, which ends the call untried."""

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        """Put what was spent in the place of the reservation; once for each ``reserve``."""


class Tally:
    """Passes attempts on to ``gate``, and adds up what they used."""

    def __init__(self, gate: AttemptGate) -> None:
        self._gate = gate
        self.usage = TokenUsage()
        self.cost = 0.0
        self.attempts = 0

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        await self._gate.reserve(
            model,
            input_tokens=input_tokens,
            max_output_tokens=max_output_tokens,
            max_cost=max_cost,
        )

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        self.usage += usage
        self.cost += cost
        self.attempts += 1
        await self._gate.settle(model, usage=usage, cost=cost, seconds=seconds, ending=ending)


class OpenGate:
    """Lets every attempt through: for probes and for use outside of a run."""

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        del model, input_tokens, max_output_tokens, max_cost

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        del model, usage, cost, seconds, ending
