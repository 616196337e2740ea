"""The event log's moves in Redis, each atomic. KEYS: the stream, the thread's meta hash."""

from __future__ import annotations

# Trims itself in large bites and remembers the last id that it dropped: Redis' own trimming
# does not say what is gone, and a reader has to be told.
APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
local run, most = ARGV[1], tonumber(ARGV[2])
redis.call('HSETNX', KEYS[2], 'start:' .. run, before)
local reply = {before}
for i = 3, #ARGV do
  reply[#reply + 1] = redis.call('XADD', KEYS[1], '*', 'r', run, 'e', ARGV[i])
end
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
local surplus = redis.call('XLEN', KEYS[1]) - most
if surplus > math.floor(most / 10) then
  local gone = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', surplus)
  redis.call('HSET', KEYS[2], 'trimmed', gone[surplus][1])
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', most)
end
return reply
"""

# ARGV: run, seconds to keep the thread's log from now, the event. A second end changes nothing.
CLOSE = """
local run = ARGV[1]
local ended = redis.call('HGET', KEYS[2], 'end:' .. run)
if ended then
  return {'', ended}
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
redis.call('HSETNX', KEYS[2], 'start:' .. run, before)
local id = redis.call('XADD', KEYS[1], '*', 'r', run, 'e', ARGV[3])
redis.call('HSET', KEYS[2], 'end:' .. run, id)
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return {before, id}
"""

# ARGV: run or '', the id to read after, how many. A run is read from its own start
# on; one that has not begun, from now on.
# Replies where it read from, up to where the log was trimmed, the run's end, the entries.
READ = """
local after = ARGV[2]
if after == '0-0' and ARGV[1] ~= '' then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  after = redis.call('HGET', KEYS[2], 'start:' .. ARGV[1]) or (last[1] and last[1][1]) or after
end
local trimmed = redis.call('HGET', KEYS[2], 'trimmed') or ''
local ended = redis.call('HGET', KEYS[2], 'end:' .. ARGV[1]) or ''
local entries = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', ARGV[3])
return {after, trimmed, ended, entries}
"""
