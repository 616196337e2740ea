"""The run record's moves in Redis, each one atomic compare-and-set. Times are Redis' own."""

from __future__ import annotations

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', clock[2])
"""

# KEYS: run, active, thread's runs. ARGV: run id, static part, status, how long the
# thread's index is kept. An id is used once.
CREATE = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'data', ARGV[2], 'status', ARGV[3], 'attempts', 0, 'token', 0,
  'created_at', now, 'updated_at', now)
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
"""
)

# KEYS: run, active, closing. ARGV: run id, token or '', expected states (comma-framed), the new
# state, whether it is terminal, retention, whether it counts as active, error or '', end or ''.
# Replies 'ok', 'missing', 'fenced', or the state that was found instead.
MOVE = (
    _NOW
    + """
local status, token = unpack(redis.call('HMGET', KEYS[1], 'status', 'token'))
if not status then
  return 'missing'
end
if ARGV[2] ~= '' and ARGV[2] ~= token then
  return 'fenced'
end
if not string.find(ARGV[3], ',' .. status .. ',', 1, true) then
  return status
end
redis.call('HSET', KEYS[1], 'status', ARGV[4], 'updated_at', now)
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], 'error', ARGV[8])
end
if ARGV[7] == '1' then
  redis.call('SADD', KEYS[2], ARGV[1])
else
  redis.call('SREM', KEYS[2], ARGV[1])
end
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'end', ARGV[9])
  redis.call('SADD', KEYS[3], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[6])
end
return 'ok'
"""
)

# KEYS: run, active. ARGV: run id, most attempts. The attempt is counted before any work.
# Replies the state found, the attempt, the token; 'exhausted' where no attempt is left,
# 'unwanted' where somebody asked for the run's end.
CLAIM = (
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'status', 'cancel', 'attempts')
local status, cancel, attempts = unpack(found)
if not status then
  return {'missing', 0, 0}
end
if status ~= 'pending' and status ~= 'running' then
  return {status, 0, 0}
end
if cancel then
  return {'unwanted', 0, 0}
end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
if tonumber(attempts) >= tonumber(ARGV[2]) then
  return {'exhausted', tonumber(attempts), token}
end
attempts = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'status', 'running', 'updated_at', now)
redis.call('SADD', KEYS[2], ARGV[1])
return {'running', attempts, token}
"""
)

# KEYS: run, active. ARGV: run id, token. A run that a stopping worker gives back loses no attempt.
RELEASE = (
    _NOW
    + """
local status, token = unpack(redis.call('HMGET', KEYS[1], 'status', 'token'))
if status ~= 'running' or token ~= ARGV[2] then
  return 0
end
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
redis.call('HSET', KEYS[1], 'status', 'pending', 'updated_at', now)
redis.call('SADD', KEYS[2], ARGV[1])
return 1
"""
)

# KEYS: run. Replies the state before; the flag is read by the worker that holds the run.
FLAG_CANCEL = (
    _NOW
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'pending' or status == 'running' or status == 'interrupted' then
  redis.call('HSETNX', KEYS[1], 'cancel', now)
end
return status or ''
"""
)
