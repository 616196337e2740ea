"""What has to be done for Slack, in Redis: put down once, leased by one process at a time, ended.

A lease that nobody renews ends, and another process goes on from what the item says by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys

LEASE_SECONDS = 10.0
KNOWN_SECONDS = 7 * 24 * 3600
"""How long an id is remembered, so that it is never put down again."""

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function digits(number) return string.format('%.0f', number) end
"""

# KEYS: item, known, due. ARGV: id, lane, what it says as JSON, how long the id is remembered in
# seconds. Replies whether it is new.
_ADD = (
    _NOW
    + """
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], 'says', ARGV[3], 'lane', ARGV[2], 'token', 0, 'attempts', 0,
  'added_at', digits(now))
redis.call('ZADD', KEYS[3], digits(now), ARGV[1])
return 1
"""
)

# KEYS: due, lanes. ARGV: what items' names start with, how many at most, the lease and how long one
# waits whose lane is taken, both in microseconds. Replies the first place in the set after that,
# now, and for each item its id and its fields. A lane is one item's up to its end.
_CLAIM = (
    _NOW
    + """
local found = {}
local ready = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', digits(now), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ready) do
  local key = ARGV[1] .. id
  local lane = redis.call('HGET', key, 'lane')
  local holder = lane and lane ~= '' and redis.call('HGET', KEYS[2], lane)
  if not lane then
    redis.call('ZREM', KEYS[1], id)
  elseif holder and holder ~= id and redis.call('EXISTS', ARGV[1] .. holder) == 1 then
    redis.call('ZADD', KEYS[1], digits(now + ARGV[4]), id)
  else
    if lane ~= '' then
      redis.call('HSET', KEYS[2], lane, id)
    end
    redis.call('ZADD', KEYS[1], digits(now + ARGV[3]), id)
    redis.call('HINCRBY', key, 'attempts', 1)
    redis.call('HINCRBY', key, 'token', 1)
    redis.call('HSET', key, 'leased', '1')
    redis.call('HDEL', key, 'hurried')
    found[#found + 1] = {id, redis.call('HGETALL', key)}
  end
end
return {redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '', digits(now), found}
"""
)

# KEYS: item, due, lanes. ARGV: id, token, what to do, microseconds until it is due again, what it
# says from now on or ''. Replies whether it was still ours.
_MOVE = (
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then
  return 0
end
if ARGV[3] == 'end' then
  local lane = redis.call('HGET', KEYS[1], 'lane')
  if lane ~= '' and redis.call('HGET', KEYS[3], lane) == ARGV[1] then
    redis.call('HDEL', KEYS[3], lane)
  end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'says', ARGV[5])
end
if ARGV[3] == 'calm' then
  redis.call('HSET', KEYS[1], 'attempts', 0)
end
local due = now + ARGV[4]
if ARGV[3] ~= 'renew' then
  redis.call('HDEL', KEYS[1], 'leased')
  if redis.call('HDEL', KEYS[1], 'hurried') == 1 then
    due = now
  end
end
redis.call('ZADD', KEYS[2], digits(due), ARGV[1])
return 1
"""
)


# KEYS: item, due. ARGV: id. One that somebody has is due as soon as that one gives it back.
_HURRY = (
    _NOW
    + """
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not due then
  return 0
end
if redis.call('HEXISTS', KEYS[1], 'leased') == 1 and tonumber(due) > now then
  redis.call('HSET', KEYS[1], 'hurried', '1')
else
  redis.call('ZADD', KEYS[2], digits(now), ARGV[1])
end
return 1
"""
)


# KEYS: due. ARGV: what items' names start with. Everything that somebody has is due now.
_TAKE_OVER = (
    _NOW
    + """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('HEXISTS', ARGV[1] .. id, 'leased') == 1 then
    redis.call('ZADD', KEYS[1], digits(now), id)
  end
end
return 1
"""
)


class LostError(Exception):
    """Another process has the item: whoever gets this has to stop."""


@dataclass(kw_only=True)
class Item:
    """One thing that is ours for a lease. ``says`` is its JSON, ``attempts`` count this one."""

    item_id: str
    token: str
    says: dict[str, Any]
    attempts: int
    added_at: int


class Owed:
    """All items of one kind, kept under its ``name``."""

    def __init__(
        self, redis: Redis, keys: Keys, *, name: str, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        prefix = keys.slack("")
        self._redis = redis
        self._item = f"{prefix}{name}:"
        self._known = f"{prefix}known-{name}:"
        self._due = f"{prefix}{name}-due"
        self._lanes = f"{prefix}{name}-lanes"
        self.lease_seconds = lease_seconds
        self._add = redis.register_script(_ADD)
        self._claim = redis.register_script(_CLAIM)
        self._move = redis.register_script(_MOVE)
        self._take_over = redis.register_script(_TAKE_OVER)
        self._hurry = redis.register_script(_HURRY)

    async def add(
        self,
        item_id: str,
        says: Mapping[str, Any],
        *,
        lane: str = "",
        client: Redis | None = None,
    ) -> bool:
        """Put it down; replies whether it is new. Of one ``lane`` only one is leased at a time."""
        reply = await self._add(
            keys=[self._item + item_id, self._known + item_id, self._due],
            args=[item_id, lane, orjson.dumps(dict(says)), KNOWN_SECONDS],
            client=client,
        )
        return bool(reply)

    async def claim(self, *, most: int) -> tuple[Sequence[Item], float | None]:
        """Items that are ours from now on, and the seconds until another one may be due."""
        first, now, found = cast(
            "list[Any]",
            await self._claim(
                keys=[self._due, self._lanes],
                args=[self._item, most, _micro(self.lease_seconds), _micro(0.2)],
            ),
        )
        items = [_read(name.decode(), flat) for name, flat in found]
        wait = max(0.0, (float(first) - float(now)) / 1e6) if first else None
        return items, wait

    async def renew(self, item: Item) -> None:
        """Keep it for another lease. Raises LostError."""
        await self._moved(item, "renew", self.lease_seconds)

    async def write(self, item: Item, says: Mapping[str, Any]) -> None:
        """What it says from now on, and another lease. Raises LostError."""
        item.says = dict(says)
        await self._moved(item, "renew", self.lease_seconds, says=item.says)

    async def again(self, item: Item, seconds: float, *, calm: bool = False) -> None:
        """Give it back, due again in a while. ``calm``: nothing went wrong. Raises LostError."""
        await self._moved(item, "calm" if calm else "again", seconds, says=item.says)

    async def end(self, item: Item) -> None:
        """It is done; its id stays known. Raises LostError."""
        await self._moved(item, "end", 0)

    async def hurry(self, item_id: str) -> None:
        """Let something be looked at now, or where somebody does so, once more behind that."""
        await self._hurry(keys=[self._item + item_id, self._due], args=[item_id])

    async def take_over(self) -> None:
        """Whoever has items is known to be dead: their leases end now."""
        await self._take_over(keys=[self._due], args=[self._item])

    async def _moved(
        self, item: Item, what: str, seconds: float, *, says: Mapping[str, Any] | None = None
    ) -> None:
        reply = await self._move(
            keys=[self._item + item.item_id, self._due, self._lanes],
            args=[
                item.item_id,
                item.token,
                what,
                _micro(seconds),
                b"" if says is None else orjson.dumps(dict(says)),
            ],
        )
        if not reply:
            raise LostError(item.item_id)


def _read(item_id: str, flat: Sequence[bytes]) -> Item:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Item(
        item_id=item_id,
        token=fields[b"token"].decode(),
        says=orjson.loads(fields[b"says"]),
        attempts=int(fields[b"attempts"]),
        added_at=int(fields[b"added_at"]),
    )


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)
