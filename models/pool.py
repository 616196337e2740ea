"""A model's endpoints: which of them takes the next call, who waits for one, which is left alone.

Everything happens on one event loop. The decisions are those of ``models.balancing``,
``models.breaker`` and ``models.priorities``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from models import balancing, breaker
from models.breaker import Breaker, FailureKind, Pass, Rules, State
from models.chat import EndpointModel
from models.errors import EndpointsOut, ModelError
from models.priorities import Priority, WaitingLine, Workload
from models.vllm_metrics import EngineMetrics

STALE_SECONDS = 6.0
"""What an endpoint told of its load is believed for so long."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """How an endpoint is doing, as this process sees it.

    ``endpoint`` is its host and port; ``opens_in`` the seconds until it is tried again. ``calls``,
    ``failures`` (by kind) and ``openings`` of its breaker count since the start; ``metrics`` are
    its own words, ``metrics_age`` in seconds.
    """

    endpoint: str
    state: State
    opens_in: float
    in_flight: int
    calls: int
    failures: Mapping[FailureKind, int]
    openings: int
    metrics: EngineMetrics | None
    metrics_age: float | None


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """A model's endpoints, and how many calls wait for one of them."""

    model: str
    waiting: int
    endpoints: Sequence[EndpointStatus]


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """One of a model's endpoints; ``models`` ask it on the same connections."""

    url: str
    models: Mapping[Priority, EndpointModel]
    breaker: Breaker
    metrics: EngineMetrics | None = None
    metrics_at: float | None = None
    begun: list[float] = field(default_factory=list)
    calls: int = 0
    failures: Counter[FailureKind] = field(default_factory=Counter)
    openings: int = 0

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lease:
    """Leave for one call at an endpoint; give it back exactly once."""

    endpoint: Endpoint
    given: Pass
    begun: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiter:
    workload: Workload
    tried: Collection[Endpoint]
    patience: float
    turn: asyncio.Future[Lease]


class Pool:
    """``max_at_once`` bounds the calls at each endpoint; others wait, interactive ones first."""

    def __init__(
        self,
        name: str,
        endpoints: Mapping[str, Mapping[Priority, EndpointModel]],
        *,
        max_at_once: int | None = None,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.endpoints = tuple(
            Endpoint(url=url, models=models, breaker=Breaker(clock=clock, rules=rules or Rules()))
            for url, models in endpoints.items()
        )
        self._most = max_at_once
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._line: WaitingLine[_Waiter] = WaitingLine()
        self._waiters: dict[int, _Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.answered = False

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def take(
        self, workload: Workload, *, tried: Collection[Endpoint] = (), patience: float = 0.0
    ) -> Lease:
        """An endpoint for one call, if possible none of ``tried``.

        Waits for room as long as it takes, for the end of an outage where one of the endpoints is
        to be tried again within ``patience`` seconds. Raises EndpointsOut.
        """
        if not self._line and (lease := self._lease(workload, tried)) is not None:
            return lease
        waiter = _Waiter(
            workload=workload,
            tried=tried,
            patience=patience,
            turn=asyncio.get_running_loop().create_future(),
        )
        number = self._line.join(waiter, priority=workload.priority, now=self._clock())
        self._waiters[number] = waiter
        self._serve()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._line.leave(number)
            if waiter.turn.done() and not waiter.turn.cancelled() and not waiter.turn.exception():
                self.give_back(waiter.turn.result(), None, answered=False)
            raise
        finally:
            del self._waiters[number]

    def give_back(
        self, lease: Lease, error: BaseException | None, *, answered: bool = True
    ) -> None:
        """End a call: with what it failed, and whether the endpoint was asked at all."""
        endpoint = lease.endpoint
        endpoint.begun.remove(lease.begun)
        kind = None if error is None else breaker.kind_of(error)
        if kind is not None:
            assert isinstance(error, ModelError)
            endpoint.failures[kind] += 1
            if endpoint.breaker.failed(lease.given, kind, retry_after=error.retry_after):
                endpoint.openings += 1
                seconds = endpoint.breaker.opens_in
                _log.warning(
                    "model %s: %s is left alone for %.0f s (%s)",
                    *(self.name, endpoint.host, seconds, kind.value),
                )
        elif error is None or isinstance(error, ModelError):
            self.answered = self.answered or answered
            if not answered:
                endpoint.breaker.abandoned(lease.given)
            elif endpoint.breaker.succeeded(lease.given):
                _log.warning("model %s: %s answers again", self.name, endpoint.host)
        else:
            endpoint.breaker.abandoned(lease.given)
        self._serve()

    def can_go_elsewhere(self, tried: Collection[Endpoint]) -> bool:
        """Whether an endpoint that was not tried would take a call now."""
        return any(self._takes(one) for one in self.endpoints if one not in tried)

    def status(self) -> PoolStatus:
        now = self._clock()
        return PoolStatus(
            model=self.name,
            waiting=len(self._line),
            endpoints=[
                EndpointStatus(
                    endpoint=one.host,
                    state=one.breaker.state,
                    opens_in=one.breaker.opens_in,
                    in_flight=len(one.begun),
                    calls=one.calls,
                    failures=dict(one.failures),
                    openings=one.openings,
                    metrics=one.metrics,
                    metrics_age=None if one.metrics_at is None else now - one.metrics_at,
                )
                for one in self.endpoints
            ],
        )

    def heard(self, endpoint: Endpoint, metrics: EngineMetrics | None) -> None:
        """What an endpoint told of its load just now; None where it told nothing."""
        if metrics is not None:
            endpoint.metrics, endpoint.metrics_at = metrics, self._clock()

    def _takes(self, endpoint: Endpoint) -> bool:
        has_room = self._most is None or len(endpoint.begun) < self._most
        return has_room and endpoint.breaker.admits

    def _lease(self, workload: Workload, tried: Collection[Endpoint]) -> Lease | None:
        able = {one.url: one for one in self.endpoints if self._takes(one)}
        fresh = {url: one for url, one in able.items() if one not in tried}
        if not able:
            return None
        candidates = [self._candidate(one) for one in (fresh or able).values()]
        endpoint = able[balancing.choose(candidates, session=workload.session, rng=self._rng).url]
        given = endpoint.breaker.admit()
        assert given is not None
        lease = Lease(endpoint=endpoint, given=given, begun=self._clock())
        endpoint.begun.append(lease.begun)
        endpoint.calls += 1
        return lease

    def _candidate(self, one: Endpoint) -> balancing.Candidate:
        read_at = one.metrics_at
        fresh = read_at is not None and self._clock() - read_at <= STALE_SECONDS
        return balancing.Candidate(
            url=one.url,
            in_flight=len(one.begun),
            metrics=one.metrics if fresh else None,
            since=sum(begun >= (read_at or 0.0) for begun in one.begun),
        )

    def _serve(self) -> None:
        """Give whoever waits what there is; decides anew after each change."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._line and any(self._takes(one) for one in self.endpoints):
            waiter = self._line.next()
            if waiter is None or waiter.turn.done():
                continue
            lease = self._lease(waiter.workload, waiter.tried)
            assert lease is not None
            waiter.turn.set_result(lease)
        if not self._line:
            return
        alone = [one.breaker.opens_in for one in self.endpoints if one.breaker.state is State.OPEN]
        if all(one.breaker.state is not State.CLOSED for one in self.endpoints):
            # Where one is being tried, how long that takes is not known.
            self._turn_away(min(alone) if len(alone) == len(self.endpoints) else 0.0)
        if not alone or not self._line:
            return  # a call that is under way makes room, or tells whether the endpoint is back
        self._timer = asyncio.get_running_loop().call_later(min(alone), self._serve)

    def _turn_away(self, seconds: float) -> None:
        """Nothing is there for so long: who has less patience, or none, does not wait for it."""
        for number, waiter in self._waiters.items():
            is_patient = 0 < waiter.patience >= seconds
            if not is_patient and not waiter.turn.done():
                self._line.leave(number)
                waiter.turn.set_exception(self._out(seconds))

    def _out(self, seconds: float) -> EndpointsOut:
        hosts = ", ".join(one.host for one in self.endpoints)
        return EndpointsOut(
            f"model '{self.name}' is out: {hosts} failed and "
            f"{'is' if len(self.endpoints) == 1 else 'are'} left alone for another "
            f"{seconds:.0f} s; see that it runs",
            model=self.name,
            retry_after=seconds,
        )
