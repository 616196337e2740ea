"""The moves of approvals that nobody decided: over time, over with their run, told, forgotten.

As in ``scripts``: KEYS[1] is the prefix, each reply begins with a word that says what came of it.
"""

from __future__ import annotations

from graphs.script_flags import ENDS
from server.approvals.scripts import BASE

# ARGV: id, body and digest for the audit log.
EXPIRE = (
    ENDS
    + BASE
    + """
local id = ARGV[1]
local found = redis.call('HMGET', approval_key(id), 'q', 'h', 'run', 'status', 'expires_at')
if found[4] ~= 'pending' then
  redis.call('ZREM', EXPIRING, id)
  return {'gone'}
end
if tonumber(found[5]) > now then
  redis.call('ZADD', EXPIRING, found[5], id)
  return {'early'}
end
local why = over(found[3], found[1], found[2])
if why ~= '' then
  return {'over', why}
end
audit(found[1], ARGV[2], ARGV[3])
finish(id, found[1], found[3], 'expired', stamp)
return {'ended'}
"""
)

# ARGV: id, why, whether it goes though its run goes on, body and digest for the audit log.
CANCEL = (
    ENDS
    + BASE
    + """
local id = ARGV[1]
local found = redis.call('HMGET', approval_key(id), 'q', 'h', 'run', 'status')
if found[4] ~= 'pending' then
  return {'gone'}
end
if ARGV[3] ~= '1' and over(found[3], found[1], found[2]) == '' then
  return {'wanted'}
end
redis.call('HSET', approval_key(id), 'because', ARGV[2])
audit(found[1], ARGV[4], ARGV[5])
finish(id, found[1], found[3], 'cancelled', '')
return {'ended'}
"""
)

# ARGV: run, the run that takes them over, q. A new run answers what a paused one has asked.
HAND_OVER = (
    BASE
    + """
local from, to, q = unpack(ARGV)
local moved = 0
for _, id in ipairs(redis.call('ZRANGE', asked_by_key(from), 0, -1)) do
  local found = redis.call('HMGET', approval_key(id), 'q', 'status', 'used_by', 'remember')
  local wanted = found[2] == 'pending' or ((found[2] == 'approved' or found[2] == 'edited')
    and (not found[3] or found[4] == '1'))
  if found[1] == q and wanted then
    redis.call('HSET', approval_key(id), 'run', to, 'pause', -1)
    redis.call('ZADD', asked_by_key(to), redis.call('ZSCORE', asked_by_key(from), id), id)
    redis.call('ZREM', asked_by_key(from), id)
    if found[2] == 'pending' then
      redis.call('ZADD', OPEN, stamp, to)
    end
    moved = moved + 1
  end
end
redis.call('ZREM', RESUMING, from)
return {'ended', moved}
"""
)

# ARGV: how many runs to look at. Runs with pending approvals that will not hear of them any more,
# each with why; the others are looked at again later, the one longest unseen first.
ORPHANS = (
    ENDS
    + BASE
    + """
local reply = {}
for _, run in ipairs(redis.call('ZRANGE', OPEN, 0, ARGV[1] - 1)) do
  local waits = false
  for _, id in ipairs(redis.call('ZRANGE', asked_by_key(run), 0, -1)) do
    local found = redis.call('HMGET', approval_key(id), 'status', 'q', 'h')
    if found[1] == 'pending' then
      waits = true
      local why = over(run, found[2], found[3])
      if why ~= '' then
        reply[#reply + 1] = id
        reply[#reply + 1] = why
      end
    end
  end
  if waits then
    redis.call('ZADD', OPEN, 'XX', stamp, run)
  else
    redis.call('ZREM', OPEN, run)
  end
end
return reply
"""
)

# ARGV: how many at most. Runs to which something is to be said now, each with its place in line.
DUE = (
    BASE
    + """
return redis.call('ZRANGE', RESUMING, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
"""
)

# ARGV: run, the place that it had. Out of the line, unless something was decided since.
SAID = (
    BASE
    + """
local place = redis.call('ZSCORE', RESUMING, ARGV[1])
if place and tonumber(place) == tonumber(ARGV[2]) then
  redis.call('ZREM', RESUMING, ARGV[1])
end
return {'ended'}
"""
)

# ARGV: how long an ended approval is kept in microseconds, how many to look at. Replies how many
# were forgotten.
FORGET = (
    BASE
    + """
local until_, gone = string.format('%.0f', now - tonumber(ARGV[1])), 0
for _, id in ipairs(redis.call('ZRANGE', OVER, '-inf', until_, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local found = redis.call('HMGET', approval_key(id), 'q', 'h', 'run', 'status')
  if found[1] then
    redis.call('ZREM', asked_key(found[1]), id)
    redis.call('ZREM', state_key(found[1], found[4]), id)
    redis.call('ZREM', asked_by_key(found[3]), id)
    redis.call('ZREM', asked_in_key(found[1], found[2]), id)
    redis.call('DEL', approval_key(id))
  end
  redis.call('ZREM', OVER, id)
  gone = gone + 1
end
return gone
"""
)
