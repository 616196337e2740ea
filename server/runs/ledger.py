"""What runs have spent, in Redis: counted before it is spent, so that no worker's death hides it.

An attempt is reserved in the trip before it is sent. What it used replaces that with the next trip,
or at once where it used more: what is stored is never less than what was used.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from graphs.context import Attempt, DurableLedger
from graphs.fence import CHECK, REFUSED, FencedError
from graphs.keys import Keys
from guardrails.limits import Spent
from server.runs import budgets
from server.runs.budgets import TenantBudgets
from server.runs.record import RunRecord

RETENTION_SECONDS = 8 * 24 * 3600
_HELD = "held:"

# KEYS: ledger, fence. ARGV: stamp, steps, tool calls, seconds, how long to keep it (0 for ever),
# how many settled; for each its id, tokens in and out, cost; then id and JSON of a reservation.
_WRITE = (
    CHECK
    + """
local wrong = refused(KEYS[2], ARGV[1])
if wrong then
  return wrong
end
for at, field in ipairs({'steps', 'tool_calls', 'seconds'}) do
  local before = tonumber(redis.call('HGET', KEYS[1], field) or 0)
  if tonumber(ARGV[at + 1]) > before then
    redis.call('HSET', KEYS[1], field, ARGV[at + 1])
  end
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  -- Once: a trip may be made again whose answer was lost.
  if redis.call('HDEL', KEYS[1], ARGV[at]) == 1 then
    redis.call('HINCRBY', KEYS[1], 'model_calls', 1)
    redis.call('HINCRBY', KEYS[1], 'input_tokens', ARGV[at + 1])
    redis.call('HINCRBY', KEYS[1], 'output_tokens', ARGV[at + 2])
    redis.call('HINCRBYFLOAT', KEYS[1], 'cost', ARGV[at + 3])
  end
  at = at + 4
end
if ARGV[at] then
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
if ARGV[5] ~= '0' then
  redis.call('EXPIRE', KEYS[1], ARGV[5])
else
  redis.call('PERSIST', KEYS[1])
end
return 1
"""
)

# KEYS: ledger, fence, the ledger whose spending goes on. ARGV: stamp, what is being answered or '',
# limits that are raised from now on or ''.
# Replies the ledger as it stands.
_OPEN = (
    CHECK
    + """
local wrong = refused(KEYS[2], ARGV[1])
if wrong then
  return wrong
end
if KEYS[3] ~= KEYS[1] and redis.call('EXISTS', KEYS[1]) == 0 then
  local before = redis.call('HGETALL', KEYS[3])
  for at = 1, #before, 2 do
    if before[at] ~= 'answering' then
      redis.call('HSET', KEYS[1], before[at], before[at + 1])
    end
  end
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'raised', ARGV[3])
end
local reply = redis.call('HGETALL', KEYS[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'answering', ARGV[2])
end
return reply
"""
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A ledger as stored: spent, with what attempts under way may still come to.

    ``answering`` is which decision, by number, an attempt began with, and for which interrupts.
    ``raised`` are the limits that an operator has raised for this run, by name.
    """

    spent: Spent = field(default_factory=Spent)
    answering: tuple[int, Sequence[str]] | None = None
    raised: Mapping[str, float] = field(default_factory=dict)


class RunLedger(DurableLedger, Protocol):
    """One attempt at a run, as it spends."""

    async def flush(self, *, spent: Spent, over: bool) -> None:
        """Write what is left to write. ``over``: the run will not go on; it may be forgotten."""
        ...


class RunLedgers(Protocol):
    """All runs' spending."""

    async def account(self, run_id: str) -> Account: ...

    def fresh(self, record: RunRecord) -> RunLedger:
        """Begin the first attempt of a run, which has spent nothing: no trip is made."""
        ...

    async def open(
        self,
        record: RunRecord,
        *,
        after: str | None = None,
        answering: Sequence[str] | None = None,
        raised: Mapping[str, float] | None = None,
    ) -> tuple[Account, RunLedger]:
        """Begin an attempt, which goes on with the spending of run ``after`` where it has none.

        Raises FencedError.
        """
        ...


class RedisRunLedgers:
    """The ledgers in Redis; see ``RunLedgers``."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        retention_seconds: int = RETENTION_SECONDS,
        tenant_budgets: TenantBudgets | None = None,
    ):
        self.budgets = tenant_budgets
        self._redis = redis
        self._keys = keys
        self._retention = retention_seconds
        self._write = redis.register_script(_WRITE)
        self._open = redis.register_script(_OPEN)

    async def account(self, run_id: str) -> Account:
        stored = await self._redis.hgetall(self._keys.run_ledger(run_id))
        return _account(cast("dict[bytes, bytes]", stored))

    def fresh(self, record: RunRecord) -> RedisRunLedger:
        return RedisRunLedger(self, record, names=self._names(record), before=Spent())

    async def open(
        self,
        record: RunRecord,
        *,
        after: str | None = None,
        answering: Sequence[str] | None = None,
        raised: Mapping[str, float] | None = None,
    ) -> tuple[Account, RedisRunLedger]:
        noted = b"" if answering is None else orjson.dumps([record.resumes, list(answering)])
        names = self._names(record)
        try:
            reply = await self._open(
                keys=[*names, self._keys.run_ledger(after or record.run_id)],
                args=[_stamp(record), noted, orjson.dumps(dict(raised)) if raised else b""],
            )
        except ResponseError as error:
            raise _refused(error) from error
        stored = dict(zip(reply[::2], reply[1::2], strict=True))
        account = _account(stored)
        return account, RedisRunLedger(self, record, names=names, before=account.spent)

    def _names(self, record: RunRecord) -> list[str]:
        return [
            self._keys.run_ledger(record.run_id),
            self._keys.fence(record.checkpoint_thread),
        ]

    async def write(
        self,
        names: Sequence[str],
        stamp: str,
        *,
        spent: Spent,
        settled: Sequence[tuple[str, Attempt]],
        reserved: tuple[str, Attempt] | None,
        over: bool,
    ) -> None:
        """One trip. Raises FencedError."""
        args: list[str | int | float | bytes] = [
            stamp,
            spent.steps,
            spent.tool_calls,
            spent.seconds,
            self._retention if over else 0,
            len(settled),
        ]
        for attempt_id, used in settled:
            args += [_HELD + attempt_id, used.input_tokens, used.output_tokens, repr(used.cost)]
        if reserved is not None:
            args += [_HELD + reserved[0], _packed(reserved[1])]
        try:
            await self._write(keys=list(names), args=args)
        except ResponseError as error:
            raise _refused(error) from error


class RedisRunLedger:
    """One attempt's way to Redis; see ``RunLedger``."""

    def __init__(
        self,
        ledgers: RedisRunLedgers,
        record: RunRecord,
        *,
        names: Sequence[str],
        before: Spent,
    ):
        self._ledgers = ledgers
        self._stamp = _stamp(record)
        self._names = names
        self._settled: list[tuple[str, Attempt]] = []
        self._record = record
        self._told = before

    async def reserve(self, worst: Attempt, *, spent: Spent) -> str:
        attempt_id = uuid.uuid4().hex
        if self._ledgers.budgets is not None:
            more, self._told = budgets.beyond(self._told, spent), spent
            await self._ledgers.budgets.hold(self._record, attempt_id, worst, more=more)
        await self._trip(spent=spent, reserved=(attempt_id, worst))
        return attempt_id

    async def settle(self, attempt_id: str, worst: Attempt, used: Attempt, *, spent: Spent) -> None:
        self._settled.append((attempt_id, used))
        if self._ledgers.budgets is not None:
            await self._ledgers.budgets.settle(attempt_id, used)
        if not _covers(worst, used):
            await self._trip(spent=spent)

    async def flush(self, *, spent: Spent, over: bool) -> None:
        if self._ledgers.budgets is not None:
            more, self._told = budgets.beyond(self._told, spent), spent
            await self._ledgers.budgets.count(self._record, more)
        await self._trip(spent=spent, over=over)

    async def _trip(
        self, *, spent: Spent, reserved: tuple[str, Attempt] | None = None, over: bool = False
    ) -> None:
        settled = list(self._settled)
        await self._ledgers.write(
            self._names, self._stamp, spent=spent, settled=settled, reserved=reserved, over=over
        )
        # Others may have come meanwhile; what was written is named by its id.
        written = {attempt_id for attempt_id, _ in settled}
        self._settled = [one for one in self._settled if one[0] not in written]


class MemoryRunLedgers:
    """The twin without Redis: one worker, never fenced."""

    def __init__(self) -> None:
        self.stored: dict[str, Account] = {}
        self.held: dict[str, dict[str, Attempt]] = {}

    async def account(self, run_id: str) -> Account:
        account = self.stored.get(run_id, Account())
        return replace(account, spent=_with(account.spent, self.held.get(run_id, {}).values()))

    def fresh(self, record: RunRecord) -> MemoryRunLedger:
        return MemoryRunLedger(ledgers=self, run_id=record.run_id)

    async def open(
        self,
        record: RunRecord,
        *,
        after: str | None = None,
        answering: Sequence[str] | None = None,
        raised: Mapping[str, float] | None = None,
    ) -> tuple[Account, MemoryRunLedger]:
        if after is not None and record.run_id not in self.stored:
            self.stored[record.run_id] = replace(self.stored.get(after, Account()), answering=None)
            self.held[record.run_id] = dict(self.held.get(after, {}))
        if raised:
            known = self.stored.get(record.run_id, Account())
            self.stored[record.run_id] = replace(known, raised=dict(raised))
        found = await self.account(record.run_id)
        if answering is not None:
            self.stored[record.run_id] = replace(
                self.stored.get(record.run_id, Account()), answering=(record.resumes, answering)
            )
        return found, self.fresh(record)


@dataclass(kw_only=True)
class MemoryRunLedger:
    """One attempt of the twin."""

    ledgers: MemoryRunLedgers
    run_id: str
    flushed: list[Spent] = field(default_factory=list)

    async def reserve(self, worst: Attempt, *, spent: Spent) -> str:
        attempt_id = uuid.uuid4().hex
        self.ledgers.held.setdefault(self.run_id, {})[attempt_id] = worst
        self._keep(spent, ())
        return attempt_id

    async def settle(self, attempt_id: str, worst: Attempt, used: Attempt, *, spent: Spent) -> None:
        del worst
        del self.ledgers.held[self.run_id][attempt_id]
        self._keep(spent, (used,))

    async def flush(self, *, spent: Spent, over: bool) -> None:
        del over
        self._keep(spent, ())

    def _keep(self, spent: Spent, used: Sequence[Attempt]) -> None:
        account = self.ledgers.stored.get(self.run_id, Account())
        counted = replace(
            account.spent,
            steps=max(account.spent.steps, spent.steps),
            tool_calls=max(account.spent.tool_calls, spent.tool_calls),
            seconds=max(account.spent.seconds, spent.seconds),
        )
        self.ledgers.stored[self.run_id] = replace(account, spent=_with(counted, used))


def _stamp(record: RunRecord) -> str:
    """A run that nobody claimed, as in tests of an executor alone, is not fenced."""
    return record.fence if record.token else ""


def _covers(worst: Attempt, used: Attempt) -> bool:
    return (
        used.input_tokens + used.output_tokens <= worst.input_tokens + worst.output_tokens
        and used.cost <= worst.cost
    )


def _packed(attempt: Attempt) -> bytes:
    return orjson.dumps([attempt.input_tokens, attempt.output_tokens, attempt.cost])


def _account(stored: Mapping[bytes, bytes]) -> Account:
    def number(name: bytes) -> int:
        return int(stored.get(name, b"0"))

    settled = Spent(
        steps=number(b"steps"),
        model_calls=number(b"model_calls"),
        tool_calls=number(b"tool_calls"),
        input_tokens=number(b"input_tokens"),
        output_tokens=number(b"output_tokens"),
        cost=float(stored.get(b"cost", b"0")),
        seconds=float(stored.get(b"seconds", b"0")),
    )
    held = []
    for name, packed in stored.items():
        if name.startswith(_HELD.encode()):
            tokens_in, tokens_out, cost = orjson.loads(packed)
            held.append(Attempt(input_tokens=tokens_in, output_tokens=tokens_out, cost=cost))
    noted = stored.get(b"answering")
    return Account(
        spent=_with(settled, held),
        answering=None if noted is None else tuple(orjson.loads(noted)),
        raised=orjson.loads(stored[b"raised"]) if b"raised" in stored else {},
    )


def _with(spent: Spent, attempts: Iterable[Attempt]) -> Spent:
    for attempt in attempts:
        spent = replace(
            spent,
            model_calls=spent.model_calls + 1,
            input_tokens=spent.input_tokens + attempt.input_tokens,
            output_tokens=spent.output_tokens + attempt.output_tokens,
            cost=spent.cost + attempt.cost,
        )
    return spent


def _refused(error: ResponseError) -> Exception:
    return FencedError(str(error)) if str(error).startswith(REFUSED) else error
