"""The last traces, kept in Redis and bounded, so that looking at one takes no other system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys
from server.telemetry.span import LOST, Span

# KEYS: prefix of traces, index. ARGV: now, age, traces at most, bytes at most of one, then for each
# run: id, field of what ended, its JSON or '', field of what is open, its JSON or ''.
_PUT = """
local prefix, index = KEYS[1], KEYS[2]
local now, age, most, largest = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 5, #ARGV, 5 do
  local run, key = ARGV[i], prefix .. ARGV[i]
  local ended, open = ARGV[i + 2], ARGV[i + 4]
  if ended ~= '' then
    if redis.call('HINCRBY', key, 'bytes', #ended) <= largest then
      redis.call('HSET', key, ARGV[i + 1], ended)
    else
      redis.call('HINCRBY', key, 'bytes', -#ended)
      redis.call('HINCRBY', key, 'left_out', 1)
    end
  end
  if open ~= '' then
    redis.call('HSET', key, ARGV[i + 3], open)
  else
    redis.call('HDEL', key, ARGV[i + 3])
  end
  redis.call('EXPIRE', key, age)
  redis.call('ZADD', index, now, run)
end
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - age)
local over = redis.call('ZCARD', index) - most
if over > 0 then
  for _, old in ipairs(redis.call('ZRANGE', index, 0, over - 1)) do
    redis.call('UNLINK', prefix .. old)
  end
  redis.call('ZREMRANGEBYRANK', index, 0, over - 1)
end
redis.call('EXPIRE', index, age)
"""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much is kept: ``traces`` of all tenants, for ``seconds``, ``bytes`` of one (JSON)."""

    traces: int = 1_000
    seconds: int = 7 * 24 * 3600
    bytes: int = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is new of one segment; ``number`` counts its batches, ``open`` are spans still open."""

    run_id: str
    token: int
    number: int
    ended: Sequence[Span] = ()
    open: Sequence[Span] = ()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A run's spans by their begin. ``left_out``: batches that found no room."""

    spans: list[Span] = field(default_factory=list)
    left_out: int = 0


class Traces(Protocol):
    """Where traces are kept; ``MemoryTraces`` is the twin."""

    async def put(self, batches: Sequence[Batch], *, at: float) -> None:
        """Add to traces, in one trip; the oldest go where there are too many. Raises RedisError."""
        ...

    async def get(self, run_id: str) -> Trace | None:
        """A run's trace; None where nothing is kept. Spans of an attempt that a later one has
        replaced have the error ``lost`` where nobody saw their end."""
        ...

    async def forget(self, run_ids: Iterable[str]) -> None:
        """Let go of traces."""
        ...


class RedisTraces:
    """A hash for each run, all found by an index; one script writes them."""

    def __init__(self, redis: Redis, keys: Keys, *, bounds: Bounds | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._bounds = bounds or Bounds()
        self._put = redis.register_script(_PUT)

    async def put(self, batches: Sequence[Batch], *, at: float) -> None:
        bounds = self._bounds
        args: list[Any] = [f"{at:.6f}", bounds.seconds, bounds.traces, bounds.bytes]
        for one in batches:
            args += [Keys.quoted(one.run_id), f"{one.token}:{one.number}", _written(one.ended)]
            args += [f"{one.token}:open", _written(one.open)]
        await self._put(keys=[self._keys.trace(""), self._keys.traces], args=args)

    async def get(self, run_id: str) -> Trace | None:
        found = await cast("Any", self._redis.hgetall(self._keys.trace(run_id)))
        if not found:
            return None
        fields = {name.decode(): value for name, value in found.items()}
        left_out = int(fields.pop("left_out", 0))
        fields.pop("bytes", None)
        return _joined(fields, left_out=left_out)

    async def forget(self, run_ids: Iterable[str]) -> None:
        names = list(run_ids)
        if names:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.unlink(*map(self._keys.trace, names))
                pipeline.zrem(self._keys.traces, *map(Keys.quoted, names))
                await pipeline.execute()


class MemoryTraces:
    """Traces of this process alone."""

    def __init__(self, *, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._fields: dict[str, dict[str, bytes]] = {}
        self._left_out: dict[str, int] = {}
        self._at: dict[str, float] = {}

    async def put(self, batches: Sequence[Batch], *, at: float) -> None:
        for one in batches:
            fields = self._fields.setdefault(one.run_id, {})
            ended, still = _written(one.ended), _written(one.open)
            used = sum(len(value) for name, value in fields.items() if not name.endswith(":open"))
            if ended and used + len(ended) <= self._bounds.bytes:
                fields[f"{one.token}:{one.number}"] = ended
            elif ended:
                self._left_out[one.run_id] = self._left_out.get(one.run_id, 0) + 1
            fields.pop(f"{one.token}:open", None)
            if still:
                fields[f"{one.token}:open"] = still
            self._at[one.run_id] = at
        late = [run for run, when in self._at.items() if when <= at - self._bounds.seconds]
        latest = sorted(self._at, key=lambda run: (self._at[run], run))
        await self.forget({*late, *latest[: -self._bounds.traces]})

    async def get(self, run_id: str) -> Trace | None:
        if run_id not in self._at:
            return None
        return _joined(self._fields[run_id], left_out=self._left_out.get(run_id, 0))

    async def forget(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            for kept in (self._fields, self._left_out, self._at):
                kept.pop(run_id, None)


def _written(spans: Sequence[Span]) -> bytes:
    return orjson.dumps([one.to_json() for one in spans]) if spans else b""


def _joined(fields: Mapping[str, bytes], *, left_out: int) -> Trace:
    """All batches as one trace; what a dead worker left open is said to be lost."""
    tokens = {int(name.partition(":")[0]) for name in fields}
    spans: dict[str, Span] = {}
    for name, value in fields.items():
        token, _, part = name.partition(":")
        for told in orjson.loads(value):
            one = Span.from_json(told)
            if part != "open":
                spans[one.span_id] = one
                continue
            if int(token) < max(tokens):
                one.error = one.error or LOST
            spans.setdefault(one.span_id, one)
    ordered = sorted(spans.values(), key=lambda one: (one.start, one.name))
    return Trace(spans=ordered, left_out=left_out)
