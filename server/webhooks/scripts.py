"""The moves of deliveries in Redis, each one atomic. Times are microseconds.

A delivery is a hash: ``run``, ``tenant``, ``url``, ``status`` (of the run), ``state`` (pending,
delivered, dead), ``owed_at``, ``attempts``, ``token`` (counts claims), ``tried_at``,
``settled_at``, ``error``, ``response`` (the last HTTP status). Beside it stands a copy of the run
record, as long as the delivery is pending.
"""

from __future__ import annotations

from graphs.script_flags import ENDS

# KEYS: the delivery, the copy, those due, those of the run, the run. ARGV: id, run, tenant, url,
# the run's status, how long the delivery is kept in seconds. Replies whether it is new.
OWE = (
    ENDS
    + """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HGET', KEYS[5], 'status') ~= ARGV[5] then
  return 0
end
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'tenant', ARGV[3], 'url', ARGV[4], 'status', ARGV[5],
  'state', 'pending', 'owed_at', now, 'attempts', 0, 'token', 0)
redis.call('COPY', KEYS[5], KEYS[2], 'REPLACE')
redis.call('PERSIST', KEYS[2])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('EXPIRE', KEYS[4], ARGV[6])
return 1
"""
)

# KEYS: those due. ARGV: what the names of deliveries and of copies start with, now, until when they
# are claimed, how many at most, how long what is dead is kept in seconds. Replies the first place
# in the set after that, and for each its id and the fields of both hashes.
CLAIM = (
    ENDS
    + """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'LIMIT', 0, ARGV[5])) do
  local key = ARGV[1] .. id
  if redis.call('HGET', key, 'state') ~= 'pending' then
    redis.call('ZREM', KEYS[1], id)
  elseif redis.call('EXISTS', ARGV[2] .. id) == 0 then
    -- Somebody deleted it by hand: there is nothing to tell any more.
    redis.call('ZREM', KEYS[1], id)
    redis.call('HSET', key, 'state', 'dead', 'error', 'what was to be told is gone')
    redis.call('EXPIRE', key, ARGV[6])
  else
    redis.call('ZADD', KEYS[1], ARGV[4], id)
    redis.call('HINCRBY', key, 'attempts', 1)
    redis.call('HINCRBY', key, 'token', 1)
    redis.call('HSET', key, 'tried_at', ARGV[3])
    found[#found + 1] = {id, redis.call('HGETALL', key), redis.call('HGETALL', ARGV[2] .. id)}
  end
end
return {redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '', found}
"""
)

# An attempt counts only as long as nobody else has claimed the delivery.
_OURS = """
local found = redis.call('HMGET', KEYS[1], 'token', 'state')
if found[1] ~= ARGV[2] or found[2] ~= 'pending' then
  return 0
end
"""

# KEYS: the delivery, the copy, those due. ARGV: id, token, the new state, now, when to try again,
# error or '', response or '', how long what is settled is kept in seconds. Replies whether it was
# ours.
SETTLE = (
    ENDS
    + _OURS
    + """
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'error', ARGV[6], 'response', ARGV[7])
if ARGV[3] == 'pending' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
else
  redis.call('HSET', KEYS[1], 'settled_at', ARGV[4])
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[8])
end
return 1
"""
)

# KEYS: the delivery, those due. ARGV: id, token, until when it waits. An attempt that was claimed
# and not made: it is not counted. Replies whether it was ours.
DEFER = (
    ENDS
    + _OURS
    + """
if redis.call('HINCRBY', KEYS[1], 'attempts', -1) == 0 then
  redis.call('HDEL', KEYS[1], 'tried_at')
end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
"""
)
