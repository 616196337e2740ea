"""The event log's moves in Redis, each atomic. KEYS: stream, meta hash, the thread's fence; where a
run stops, its record.

The meta hash holds ``born`` (which life of the log this is), ``open`` (how many runs have begun
and not ended: while there is one, nothing expires), ``trimmed`` (the last id that was dropped),
and by run ``start:``, ``end:``, ``paused:`` (ids), ``pauses:`` (how many of its pauses are told or
over) and ``sent:`` (the last batches, by slot).
"""

from __future__ import annotations

from graphs.fence import CHECK
from graphs.script_flags import ENDS

SLOTS = 8
"""A client sends a command again whose reply was lost: so many batches of a run are known again."""

_WRITE = (
    CHECK
    + r"""
-- Where a run is in another state than the one that is told, as after a failover, it is not told.
local function elsewhere(key, status)
  local found = status ~= '' and redis.call('HGET', key, 'status')
  if found and found ~= status then
    return redis.error_reply('FENCED the run is ' .. found)
  end
end
local function last_id()
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
end
local function begin(run, before)
  if redis.call('HSETNX', KEYS[2], 'start:' .. run, before) == 0 then
    return
  end
  local now = redis.call('TIME')
  redis.call('HSETNX', KEYS[2], 'born', now[1] .. '.' .. now[2])
  if redis.call('HINCRBY', KEYS[2], 'open', 1) == 1 then
    redis.call('PERSIST', KEYS[1])
    redis.call('PERSIST', KEYS[2])
  end
end
"""
)

# ARGV: fence, run, slot, batch, most events of the log, the events.
# Replies the id before the batch, its first id, how many; the others count up from the first.
# Trims itself in large bites and remembers the last id that it dropped: Redis' own trimming
# does not say what is gone, and a reader has to be told.
APPEND = (
    _WRITE
    + r"""
local no = refused(KEYS[3], ARGV[1])
if no then
  return no
end
local run, sent, most = ARGV[2], 'sent:' .. ARGV[2] .. ':' .. ARGV[3], tonumber(ARGV[5])
local known = redis.call('HGET', KEYS[2], sent)
if known then
  local batch, before, first, count = string.match(known, '^(%S+) (%S+) (%S+) (%S+)$')
  if batch == ARGV[4] then
    return {before, first, count}
  end
end
local before = last_id()
begin(run, before)
redis.call('HDEL', KEYS[2], 'paused:' .. run)
local first = redis.call('XADD', KEYS[1], '*', 'r', run, 'e', ARGV[6])
local ms, seq = string.match(first, '^(%d+)-(%d+)$')
for i = 7, #ARGV do
  redis.call('XADD', KEYS[1], string.format('%s-%.0f', ms, seq + i - 6), 'r', run, 'e', ARGV[i])
end
local count = tostring(#ARGV - 5)
redis.call('HSET', KEYS[2], sent, table.concat({ARGV[4], before, first, count}, ' '))
local surplus = redis.call('XLEN', KEYS[1]) - most
if surplus > math.floor(most / 10) then
  local gone = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', surplus)
  local seen = {}
  for _, entry in ipairs(gone) do
    seen[entry[2][2]] = entry[1]
  end
  for other, last in pairs(seen) do
    if redis.call('HGET', KEYS[2], 'end:' .. other) == last then
      redis.call('HDEL', KEYS[2], 'start:' .. other, 'end:' .. other)
    end
  end
  redis.call('HSET', KEYS[2], 'trimmed', gone[surplus][1])
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', most)
end
return {before, first, count}
"""
)

# ARGV: fence, run, the event, seconds to keep the log from now, the state that the run has to be in
# or ''. A second end changes nothing.
CLOSE = (
    ENDS
    + _WRITE
    + r"""
local no = refused(KEYS[3], ARGV[1]) or elsewhere(KEYS[4], ARGV[5])
if no then
  return no
end
local run = ARGV[2]
local ended = redis.call('HGET', KEYS[2], 'end:' .. run)
if ended then
  return {'', ended}
end
local before = last_id()
begin(run, before)
local id = redis.call('XADD', KEYS[1], '*', 'r', run, 'e', ARGV[3])
redis.call('HSET', KEYS[2], 'end:' .. run, id)
redis.call('HDEL', KEYS[2], 'paused:' .. run, 'pauses:' .. run)
for slot = 0, SLOTS - 1 do
  redis.call('HDEL', KEYS[2], 'sent:' .. run .. ':' .. slot)
end
if redis.call('HINCRBY', KEYS[2], 'open', -1) <= 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return {before, id}
""".replace("SLOTS", str(SLOTS))
)

# ARGV: fence, run, the event, how many pauses the run had before, the state that it has to be in
# or ''. A run that is paused or over stays as it is, and a pause that comes late, or again, is not
# told behind what came after it.
PAUSE = (
    ENDS
    + _WRITE
    + r"""
local no = refused(KEYS[3], ARGV[1]) or elsewhere(KEYS[4], ARGV[5])
if no then
  return no
end
local run = ARGV[2]
local about = redis.call('HMGET', KEYS[2], 'end:' .. run, 'paused:' .. run, 'pauses:' .. run)
local known = about[1] or about[2]
if known or tonumber(about[3] or 0) > tonumber(ARGV[4]) then
  return {'', known or ''}
end
local before = last_id()
begin(run, before)
local id = redis.call('XADD', KEYS[1], '*', 'r', run, 'e', ARGV[3])
redis.call('HSET', KEYS[2], 'paused:' .. run, id, 'pauses:' .. run, ARGV[4] + 1)
return {before, id}
"""
)

# KEYS: meta hash. ARGV: run, how many pauses it had before the one that is over.
PROCEED = (
    ENDS
    + r"""
local run, over = ARGV[1], ARGV[2] + 1
redis.call('HDEL', KEYS[1], 'paused:' .. run)
if redis.call('HEXISTS', KEYS[1], 'start:' .. run) == 1
  and tonumber(redis.call('HGET', KEYS[1], 'pauses:' .. run) or 0) < over then
  redis.call('HSET', KEYS[1], 'pauses:' .. run, over)
end
return 1
"""
)

# ARGV: the run to read or '', the id to read after, how many, whose end is asked for or '',
# '1' if the run has begun for sure.
# A run is read from its own start on; one that has not begun, from now on.
# Replies where it read from, up to where the log was trimmed, the end or pause, which life of the
# log this is, '1' if the log knows nothing of a run that had begun, the entries.
READ = r"""
local run, after = ARGV[1], ARGV[2]
local start = run ~= '' and redis.call('HGET', KEYS[2], 'start:' .. run)
local trimmed = redis.call('HGET', KEYS[2], 'trimmed') or ''
local born = redis.call('HGET', KEYS[2], 'born') or ''
if ARGV[5] == '1' and (born == '' or (run ~= '' and not start)) then
  return {after, trimmed, '', born, '1', {}}
end
if after == '0-0' and run ~= '' then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  after = start or (last[1] and last[1][1]) or after
end
local about = redis.call('HMGET', KEYS[2], 'end:' .. ARGV[4], 'paused:' .. ARGV[4])
local entries = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', ARGV[3])
return {after, trimmed, about[1] or about[2] or '', born, '', entries}
"""
