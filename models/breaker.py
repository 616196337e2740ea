"""A circuit breaker: an endpoint that fails is left alone for a while, then tried once. Pure.

States: ``closed`` (used), ``open`` (left alone), ``half_open`` (one call may try it). The clock is
given; nothing here waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from models.errors import (
    ModelFailed,
    ModelTimeout,
    ModelUnreachable,
    RateLimited,
    StreamCut,
)


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class FailureKind(StrEnum):
    """What speaks against an endpoint. A 4xx of our own making does not: it has answered."""

    REFUSED = "refused"
    """Nobody listens, or the name or its TLS leads nowhere."""
    TIMEOUT = "timeout"
    """No complete reply in time, or 408."""
    SERVER_ERROR = "server_error"
    """5xx, or an error or nonsense in the middle of a reply."""
    CUT = "cut"
    """The connection ended before the reply did."""
    CAPACITY = "capacity"
    """429: it has too much to do, or the account's quota is spent."""


def kind_of(error: BaseException) -> FailureKind | None:
    """What a failure says about the endpoint; None where it says nothing against it."""
    match error:
        case ModelUnreachable():
            return FailureKind.REFUSED
        case ModelTimeout():
            return FailureKind.TIMEOUT
        case StreamCut():
            return FailureKind.CUT
        case ModelFailed():
            return FailureKind.SERVER_ERROR
        case RateLimited():
            return FailureKind.CAPACITY
        case _:
            return None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a breaker opens and for how long; times in seconds.

    It opens where at least ``failures`` of the last ``recent`` results within ``window`` are
    failures and these are half of them or more; at once where a connection is refused, or where a
    ``Retry-After`` was told. Open it stays for ``first_open``, twice as long after each failed
    trial, up to ``longest_open``; for what ``Retry-After`` says where that is more, up to
    ``longest_told``.
    """

    failures: int = 3
    recent: int = 20
    window: float = 60.0
    first_open: float = 2.0
    longest_open: float = 60.0
    longest_told: float = 600.0


@dataclass(frozen=True)
class Pass:
    """Leave for one call. Give it back exactly once: succeeded, failed or abandoned."""

    era: int
    trial: bool


@dataclass(kw_only=True)
class Breaker:
    """One endpoint's. ``clock`` gives seconds and never goes back."""

    clock: Callable[[], float]
    rules: Rules = field(default_factory=Rules)
    _results: deque[tuple[float, bool]] = field(default_factory=deque)
    _open_until: float | None = None
    _openings: int = 0  # in a row, without a success between
    _trial: bool = False
    # Raised by each change: what began before one says nothing about the time after it.
    _era: int = 0

    @property
    def state(self) -> State:
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self.clock() < self._open_until else State.HALF_OPEN

    @property
    def opens_in(self) -> float:
        """Seconds until a call may try it again; 0 where one may now, or already does."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self.clock())

    @property
    def admits(self) -> bool:
        """Whether ``admit`` would give leave now."""
        state = self.state
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._trial)

    def admit(self) -> Pass | None:
        """Leave for one call; None where it is open, or another call is trying it."""
        if not self.admits:
            return None
        self._trial = trial = self._open_until is not None
        return Pass(era=self._era, trial=trial)

    def succeeded(self, given: Pass) -> bool:
        """The endpoint has answered. True where that has closed the breaker."""
        if given.era != self._era:
            return False
        if given.trial:
            self._openings = 0
            self._turn(open_until=None)
            return True
        self._note(ok=True)
        return False

    def failed(self, given: Pass, kind: FailureKind, *, retry_after: float | None = None) -> bool:
        """The endpoint has failed. True where that has opened the breaker."""
        if given.era != self._era:
            return False
        self._note(ok=False)
        told = retry_after is not None and retry_after > 0
        if not (given.trial or told or kind is FailureKind.REFUSED or self._mostly_fails()):
            return False
        rules = self.rules
        seconds = min(rules.longest_open, rules.first_open * 2.0 ** min(self._openings, 30))
        if retry_after is not None:
            seconds = max(seconds, min(retry_after, rules.longest_told))
        self._openings += 1
        self._turn(open_until=self.clock() + seconds)
        return True

    def abandoned(self, given: Pass) -> None:
        """The call ended without a word about the endpoint: its caller went away."""
        if given.trial and given.era == self._era:
            self._trial = False

    def _turn(self, *, open_until: float | None) -> None:
        self._open_until = open_until
        self._trial = False
        self._results.clear()
        self._era += 1

    def _note(self, *, ok: bool) -> None:
        now = self.clock()
        self._results.append((now, ok))
        while len(self._results) > self.rules.recent:
            self._results.popleft()
        while self._results[0][0] < now - self.rules.window:
            self._results.popleft()

    def _mostly_fails(self) -> bool:
        bad = sum(not ok for _, ok in self._results)
        return bad >= self.rules.failures and 2 * bad >= len(self._results)
