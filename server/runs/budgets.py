"""What tenants spend in a day and a month, in Redis: the worst is held before each attempt.

An attempt whose worker died stays counted at its worst: what is counted is never less than what
was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.context import Attempt
from graphs.keys import Keys
from guardrails.budgets import Amounts, Budget, BudgetExceededError, Period, end, label
from guardrails.limits import Spent
from server.runs.record import RunRecord

BudgetOf = Callable[[str], Mapping[Period, Budget]]
Clock = Callable[[], datetime]

_AMOUNTS = tuple(asdict(Amounts()))
_KEPT_SECONDS = {Period.DAY: 3 * 24 * 3600, Period.MONTH: 70 * 24 * 3600}

# KEYS: one hash for each period. ARGV: attempt, its worst as JSON, what else was spent as JSON;
# then for each key how long to keep it and its maxima as JSON. Replies nothing, or which period,
# amount and count do not fit.
_HOLD = """
local function number(key, name) return tonumber(redis.call('HGET', key, name) or 0) end
local worst, more = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
for at, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, 'held:' .. ARGV[1]) == 0 then
    for name, amount in pairs(more) do
      if amount > 0 then redis.call('HINCRBYFLOAT', key, name, amount) end
    end
    redis.call('EXPIRE', key, ARGV[2 + 2 * at])
  end
end
for at, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, 'held:' .. ARGV[1]) == 0 then
    for name, most in pairs(cjson.decode(ARGV[3 + 2 * at])) do
      local used, wanted = number(key, name), worst[name] or 0
      if (wanted > 0 and used + wanted > most) or (more[name] and used >= most) then
        return {at, name, tostring(used), tostring(most)}
      end
    end
  end
end
for at, key in ipairs(KEYS) do
  if redis.call('HSETNX', key, 'held:' .. ARGV[1], ARGV[2]) == 1 then
    for name, amount in pairs(worst) do
      if amount > 0 then redis.call('HINCRBYFLOAT', key, name, amount) end
    end
    redis.call('EXPIRE', key, ARGV[2 + 2 * at])
  end
end
return {}
"""

# KEYS: as above. ARGV: attempt, what it used as JSON.
_SETTLE = """
local used = cjson.decode(ARGV[2])
for _, key in ipairs(KEYS) do
  local held = redis.call('HGET', key, 'held:' .. ARGV[1])
  if held then
    redis.call('HDEL', key, 'held:' .. ARGV[1])
    for name, amount in pairs(cjson.decode(held)) do
      redis.call('HINCRBYFLOAT', key, name, (used[name] or 0) - amount)
    end
  end
end
return 1
"""

# KEYS: as above. ARGV: what was spent as JSON; then for each key how long to keep it.
_COUNT = """
for at, key in ipairs(KEYS) do
  for name, amount in pairs(cjson.decode(ARGV[1])) do
    if amount > 0 then redis.call('HINCRBYFLOAT', key, name, amount) end
  end
  redis.call('EXPIRE', key, ARGV[1 + at])
end
return 1
"""


class TenantBudgets:
    """All tenants' spending against their budgets; those without one are not counted."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        budget_of: BudgetOf,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._budget_of = budget_of
        self._clock = clock
        self._redis = redis
        self._hold = redis.register_script(_HOLD)
        self._settle = redis.register_script(_SETTLE)
        self._count = redis.register_script(_COUNT)
        self._places: dict[str, list[str]] = {}

    async def hold(
        self, record: RunRecord, attempt_id: str, worst: Attempt, *, more: Amounts
    ) -> None:
        """Count an attempt at its worst, with what else was spent since the last one.

        Raises BudgetExceededError; then nothing of the attempt is counted.
        """
        budgets = self._limited(record.tenant)
        if not budgets:
            return
        now = self._clock()
        places = self._places_of(record.tenant, budgets, now)
        args: list[Any] = [attempt_id, _json(_amounts(worst)), _json(asdict(more))]
        for period, found in budgets.items():
            maxima = {name: most for name, most in asdict(found).items() if most is not None}
            args += [_KEPT_SECONDS[period], _json(maxima)]
        reply = await self._hold(keys=places, args=args)
        if reply:
            period = list(budgets)[int(reply[0]) - 1]
            raise BudgetExceededError(
                period,
                amount=reply[1].decode(),
                used=float(reply[2]),
                maximum=float(reply[3]),
                until=end(period, now),
            )
        self._places[attempt_id] = places

    async def settle(self, attempt_id: str, used: Attempt) -> None:
        """Replace what was counted by what was used."""
        places = self._places.pop(attempt_id, None)
        if places:
            await self._settle(keys=places, args=[attempt_id, _json(_amounts(used))])

    async def count(self, record: RunRecord, more: Amounts) -> None:
        """Count what was spent since the last attempt, behind which none comes for now."""
        budgets = self._limited(record.tenant)
        if not budgets or more == Amounts():
            return
        await self._count(
            keys=self._places_of(record.tenant, budgets, self._clock()),
            args=[_json(asdict(more)), *(_KEPT_SECONDS[period] for period in budgets)],
        )

    async def used(self, tenant: str, period: Period) -> Amounts:
        """What a tenant has spent in the present period, with what is held."""
        name = self._keys.tenant_budget(tenant, label(period, self._clock()))
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(name))
        found = {one: float(stored.get(one.encode(), 0)) for one in _AMOUNTS}
        whole = {one: round(found[one]) for one in _AMOUNTS if one not in ("cost", "seconds")}
        return Amounts(**whole, cost=found["cost"], seconds=found["seconds"])

    def _limited(self, tenant: str) -> Mapping[Period, Budget]:
        """The budgets that limit anything."""
        return {
            period: found
            for period, found in self._budget_of(tenant).items()
            if any(most is not None for most in asdict(found).values())
        }

    def _places_of(self, tenant: str, periods: Iterable[Period], at: datetime) -> list[str]:
        return [self._keys.tenant_budget(tenant, label(one, at)) for one in periods]


def beyond(before: Spent, spent: Spent) -> Amounts:
    """What a run has spent since, beside its attempts."""
    return Amounts(
        steps=max(0, spent.steps - before.steps),
        tool_calls=max(0, spent.tool_calls - before.tool_calls),
        seconds=max(0.0, spent.seconds - before.seconds),
    )


def _amounts(attempt: Attempt) -> dict[str, float]:
    return {
        "model_calls": 1,
        "tokens": attempt.input_tokens + attempt.output_tokens,
        "cost": attempt.cost,
    }


def _json(amounts: Mapping[str, Any]) -> bytes:
    return orjson.dumps(amounts)
