"""The moves of crons in Redis, each one atomic. Times are microseconds.

A cron is a hash: ``tenant``, ``data`` (its definition, JSON), ``created_at``, ``updated_at``,
``next`` (when it fires next, or ''), ``version`` (counts changes), ``change`` (which call made the
last), ``claimed`` (the firing that somebody has begun), ``error``. In the set of those that are due
it stands by ``next``, or by the end of the claim.
"""

from __future__ import annotations

# KEYS: the cron, its tenant's crons, those due. ARGV: id, the version that is to be there ('0' for
# none), change, tenant, data, next or '', now. Replies 1, or 0 for another version.
SAVE = """
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if redis.call('HGET', KEYS[1], 'change') == ARGV[3] then
  -- Sent again because the reply was lost.
  return 1
end
if version ~= ARGV[2] then
  return 0
end
if version == '0' then
  redis.call('HSET', KEYS[1], 'created_at', ARGV[7], 'tenant', ARGV[4])
  redis.call('ZADD', KEYS[2], ARGV[7], ARGV[1])
end
redis.call('HSET', KEYS[1], 'data', ARGV[5], 'updated_at', ARGV[7], 'next', ARGV[6],
  'change', ARGV[3], 'version', version + 1)
redis.call('HDEL', KEYS[1], 'claimed', 'error')
if ARGV[6] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1])
end
return 1
"""

# KEYS as above. ARGV: id. Replies whether it was there.
DELETE = """
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1])
"""

# KEYS: those due. ARGV: what the names of crons start with, now, until when they are claimed, how
# many at most. Replies the first place in the set after that, and each one's id and fields.
CLAIM = """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[4])) do
  local key = ARGV[1] .. id
  local next = redis.call('HGET', key, 'next')
  if not next or next == '' then
    redis.call('ZREM', KEYS[1], id)
  else
    redis.call('ZADD', KEYS[1], ARGV[3], id)
    found[#found + 1] = {id, redis.call('HGETALL', key)}
    redis.call('HSET', key, 'claimed', next)
  end
end
return {redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '', found}
"""

# KEYS: the cron, those due. ARGV: id, its version, the firing that is over, the next or '', why it
# was none or ''. Replies 0 where it has been changed or fired meanwhile.
ADVANCE = """
local found = redis.call('HMGET', KEYS[1], 'version', 'next')
if found[1] ~= ARGV[2] or found[2] ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], 'next', ARGV[4])
redis.call('HDEL', KEYS[1], 'claimed', 'error')
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'error', ARGV[5])
end
if ARGV[4] == '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
end
return 1
"""
