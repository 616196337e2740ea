"""What all processes share, as Redis has it at a scrape: the queue, approvals, workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphs.keys import APPROVAL_NAMES, RUN_NAMES, Keys
from server.telemetry import metric_names as names
from server.telemetry.metric_names import Metric
from server.telemetry.metrics import Metrics, family

SECONDS = 2.0
"""How long a scrape waits for Redis."""
FRESH_SECONDS = 1.0
"""Scrapes that come closer together are told the same."""

# KEYS: the prefix, webhooks that are due. Runs wait in two places: with their tenant, and, once let
# in, on the engine's queue; of those, the running ones have a lease. Ages in microseconds. A tenant
# costs a lookup or two: a few milliseconds for a thousand of them.
_STATE = (
    RUN_NAMES
    + APPROVAL_NAMES
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local waiting, pending, asked, order, oldest = 0, 0, now, nil, nil
-- Whatever waits for a person expires some day.
local asks = redis.call('EXISTS', EXPIRING) == 1
for _, tenant in ipairs(redis.call('SMEMBERS', TENANTS)) do
  local first = redis.call('ZRANGE', waiting_key(tenant), 0, 0, 'WITHSCORES')
  if first[1] then
    waiting = waiting + redis.call('ZCARD', waiting_key(tenant))
    if not order or tonumber(first[2]) < order then
      order, oldest = tonumber(first[2]), first[1]
    end
  end
  local question = asks
    and redis.call('ZRANGE', state_key(tenant, 'pending'), 0, 0, 'WITHSCORES') or {}
  if question[1] then
    pending = pending + redis.call('ZCARD', state_key(tenant, 'pending'))
    asked = math.min(asked, tonumber(question[2]))
  end
end
local since = now
local function look(run)
  since = math.min(since, tonumber(redis.call('HGET', run_key(run), 'updated_at') or now))
end
if oldest then
  look(oldest)
end
for _, run in ipairs(redis.call('ZRANGE', DISPATCHED, 0, 999)) do
  if not redis.call('ZSCORE', LEASES, run) then
    waiting = waiting + 1
    look(run)
  end
end
return {
  waiting, string.format('%.0f', now - since), redis.call('ZCARD', LEASES),
  redis.call('ZCARD', DUE), redis.call('ZCARD', PARKED), redis.call('ZCARD', DEAD),
  redis.call('ZCOUNT', WORKERS, string.format('%.0f', now), '+inf'),
  tonumber(redis.call('GET', CAPACITY) or 0), redis.call('ZCARD', KEYS[2]),
  pending, string.format('%.0f', now - asked),
}
"""
)

_OF_SCRIPT: tuple[Metric, ...] = (
    *(names.QUEUE_DEPTH, names.QUEUE_OLDEST, names.QUEUE_RUNNING, names.QUEUE_DUE),
    *(names.QUEUE_PARKED, names.DEAD_LETTERS, names.WORKERS, names.WORKER_SLOTS),
    *(names.WEBHOOKS_OWED, names.APPROVALS_PENDING, names.APPROVALS_OLDEST),
)
_AGES = frozenset({names.QUEUE_OLDEST, names.APPROVALS_OLDEST})


class RedisState(Collector):
    """Gauges of what Redis holds. ``refresh`` asks for all of it in one trip; where that fails only
    ``redis_up`` is told, and it is 0."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._values: Mapping[Metric, float] = {names.REDIS_UP: 0.0}
        self._asked = -FRESH_SECONDS
        self._turn = asyncio.Lock()

    def collect(self) -> Iterable[Family]:
        for metric, value in self._values.items():
            yield family(metric, {(): value})

    async def refresh(self) -> None:
        """Ask, unless that was done just now."""
        async with self._turn:
            if time.monotonic() < self._asked + FRESH_SECONDS:
                return
            started = time.monotonic()
            try:
                async with asyncio.timeout(SECONDS):
                    found = await self._ask()
            except (RedisError, OSError, TimeoutError):
                self._values = {names.REDIS_UP: 0.0}
            else:
                took = time.monotonic() - started
                self._values = {names.REDIS_UP: 1.0, names.REDIS_SECONDS: took, **found}
            self._asked = time.monotonic()

    async def _ask(self) -> Mapping[Metric, float]:
        async with self._redis.pipeline(transaction=False) as trip:
            trip.eval(_STATE, 2, self._keys.prefix, self._keys.webhooks_due)
            trip.info("memory")
            state, memory = cast("tuple[list[Any], dict[str, Any]]", await trip.execute())
        values = {
            metric: float(value) / (1e6 if metric in _AGES else 1.0)
            for metric, value in zip(_OF_SCRIPT, state, strict=True)
        }
        return {**values, names.REDIS_MEMORY: float(memory["used_memory"])}


def watch(metrics: Metrics, redis: Redis, keys: Keys) -> RedisState:
    """The gauges of a Redis among a process's metrics."""
    state = RedisState(redis, keys)
    metrics.registry.register(state)
    return state
