"""The assistants' moves in Redis, each atomic. Times are Redis' own, in microseconds.

The record holds ``created_at``, ``updated_at``, ``version`` (the one in force), ``last`` (the
highest number) and under ``v:<number>`` each version as JSON, ``t:<number>`` when it was made.
"""

from __future__ import annotations

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', clock[2])
"""

# KEYS: begun. Replies since when the tenant has assistants.
BEGUN = (
    _NOW
    + """
redis.call('SETNX', KEYS[1], now)
return redis.call('GET', KEYS[1])
"""
)

# KEYS: record, index. ARGV: id, first version. Replies 0 where the id is taken.
CREATE = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'created_at', now, 'updated_at', now, 'version', 1, 'last', 1,
  'v:1', ARGV[2], 't:1', now)
redis.call('ZADD', KEYS[2], now, ARGV[1])
return 1
"""
)

# KEYS: record, index. ARGV: id, version in force and last number as the caller saw them, the new
# version, and for a built-in assistant its first version and age. Replies 'ok', 'changed' where
# somebody was faster, or 'missing'.
APPEND = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[5] == '' then
    return 'missing'
  end
  redis.call('HSET', KEYS[1], 'created_at', ARGV[6], 'version', 1, 'last', 1, 'v:1', ARGV[5],
    't:1', ARGV[6])
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1])
end
local version, last = unpack(redis.call('HMGET', KEYS[1], 'version', 'last'))
if version ~= ARGV[2] or last ~= ARGV[3] then
  return 'changed'
end
local number = last + 1
redis.call('HSET', KEYS[1], 'updated_at', now, 'version', number, 'last', number,
  'v:' .. number, ARGV[4], 't:' .. number, now)
return 'ok'
"""
)

# KEYS: record. ARGV: version. Replies 'ok', 'missing' (the assistant) or 'unknown' (the version).
CHOOSE = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
if redis.call('HEXISTS', KEYS[1], 'v:' .. ARGV[1]) == 0 then
  return 'unknown'
end
redis.call('HSET', KEYS[1], 'updated_at', now, 'version', ARGV[1])
return 'ok'
"""
)

# KEYS: record. Replies nothing, or created, updated, version, last, the version in force.
READ = """
local version = redis.call('HGET', KEYS[1], 'version')
if not version then
  return {}
end
return redis.call('HMGET', KEYS[1], 'created_at', 'updated_at', 'version', 'last', 'v:' .. version)
"""
