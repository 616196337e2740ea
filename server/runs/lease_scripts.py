"""What keeps runs going whatever happens to their workers: leases renewed, and what was lost found.

KEYS and the first two ARGV are those of ``admission.ADMISSION``. Each reply ends with the runs to
put on the engine's queue: for the first time, and again.
"""

from __future__ import annotations

from graphs.script_flags import ENDS
from server.runs.admission import ADMISSION

_CAPACITY = """
local function count_slots()
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', stamp)) do
    redis.call('ZREM', WORKERS, gone)
    redis.call('HDEL', SLOTS, gone)
    redis.call('HDEL', LASTS, gone)
  end
  local slots = 0
  for _, number in ipairs(redis.call('HVALS', SLOTS)) do
    slots = slots + number
  end
  redis.call('SET', CAPACITY, slots)
end
"""

# ARGV[3..]: worker, lease in microseconds, its slots (0: it takes no more), then its runs, each
# with the token that it holds. Replies for each 1 (renewed), 3 (still good for three quarters), 0
# (lost), 2 (unwanted).
BEAT = (
    ENDS
    + ADMISSION
    + _CAPACITY
    + """
local worker, lease, slots = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local until_ = string.format('%.0f', now + lease)
if slots > 0 then
  redis.call('ZADD', WORKERS, until_, worker)
  redis.call('HSET', SLOTS, worker, slots)
else
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', SLOTS, worker)
  redis.call('HDEL', LASTS, worker)
end
count_slots()
local found = {}
for i = 6, #ARGV, 2 do
  local key = run_key(ARGV[i])
  local run = redis.call('HMGET', key, 'status', 'token', 'lease', 'cancel')
  if run[1] ~= 'running' or run[2] ~= ARGV[i + 1] then
    found[#found + 1] = 0
  else
    local pulse = 3
    if tonumber(run[3] or 0) - now < lease * 0.75 then
      redis.call('HSET', key, 'lease', until_)
      redis.call('ZADD', LEASES, until_, ARGV[i])
      pulse = 1
    end
    if run[4] then
      redis.call('ZREM', CANCELS, ARGV[i])
      pulse = 2
    end
    found[#found + 1] = pulse
  end
end
return {found, unpack(queued())}
"""
)

# ARGV[3..]: 1 where no other worker can be (all leases are void), how long ago in microseconds
# something has to have been begun to count as forgotten, the newest format that is known, the most
# that is taken up of each kind, the end that tells a cancel, retention. Replies the runs whose
# lease was over, and those whose end or pause may still have to be told.
REAP = (
    ENDS
    + ADMISSION
    + _CAPACITY
    + """
local alone, patience, known, most = ARGV[3] == '1', tonumber(ARGV[4]), ARGV[5], ARGV[6]
local long_ago = string.format('%.0f', now - patience)
if alone then
  redis.call('DEL', WORKERS, SLOTS, LASTS)
end
count_slots()
local lost = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', alone and '+inf' or stamp,
  'LIMIT', 0, most)) do
  local run = about(id)
  if run and run.status == 'running' then
    back(id, run)
    lost[#lost + 1] = id
  else
    redis.call('ZREM', LEASES, id)
    redis.call('ZREM', DISPATCHED, id)
  end
end
-- The worker that holds these has not heard that they are unwanted: it is gone, or hangs.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', CANCELS, '-inf', long_ago, 'LIMIT', 0, most)) do
  redis.call('ZREM', CANCELS, id)
  local run = about(id)
  if run and run.status == 'running' then
    redis.call('HINCRBY', run_key(id), 'token', 1)
    finish(id, run, 'cancelled', 'The run was cancelled.', ARGV[7], ARGV[8])
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', stamp, 'LIMIT', 0, most)) do
  redis.call('ZREM', DUE, id)
  local run = about(id)
  if run and run.status == 'pending' then
    local order = redis.call('INCR', ORDER)
    redis.call('HSET', run_key(id), 'order', order)
    enter(id, run, order)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', PARKED, '-inf', known, 'LIMIT', 0, most)) do
  redis.call('ZREM', PARKED, id)
  local run = about(id)
  if run then
    next_of(run.q, run.h)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DISPATCHED, '-inf', alone and '+inf' or long_ago,
  'LIMIT', 0, most)) do
  local status = redis.call('HGET', run_key(id), 'status')
  redis.call('ZADD', DISPATCHED, stamp, id)
  if status == 'pending' then
    again[#again + 1] = id
  elseif status ~= 'running' then
    redis.call('ZREM', DISPATCHED, id)
  end
end
local untold = redis.call('ZRANGEBYSCORE', UNTOLD, '-inf', alone and '+inf' or long_ago,
  'LIMIT', 0, most)
for _, id in ipairs(untold) do
  redis.call('ZADD', UNTOLD, stamp, id)
end
-- Records expire by themselves; what still names one is found little by little.
for _, index in ipairs({ALL, DEAD}) do
  for _, id in ipairs(redis.call('ZRANDMEMBER', index, 20)) do
    if redis.call('EXISTS', run_key(id)) == 0 then
      redis.call('ZREM', index, id)
    end
  end
end
return {lost, untold, unpack(queued())}
"""
)

# ARGV[3]: run. Where it stands: the record, its place in its thread and among its tenant's (or -1),
# whether it was let in, parked, due, untold and given up (scores or ''), how many of its tenant's
# and how many in all are under way, slots, workers, the time, the head of its thread.
EXPLAIN = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run then
  return {}
end
local function score(set)
  return redis.call('ZSCORE', set, id) or ''
end
local function rank(set)
  return redis.call('ZRANK', set, id) or -1
end
return {
  redis.call('HGETALL', run_key(id)), rank(queue_key(run.q, run.h)), rank(waiting_key(run.q)),
  score(DISPATCHED), score(PARKED), score(DUE), score(UNTOLD), score(DEAD),
  redis.call('SCARD', running_key(run.q)), redis.call('ZCARD', DISPATCHED),
  tonumber(redis.call('GET', CAPACITY) or 0), redis.call('ZCARD', WORKERS), stamp,
  redis.call('ZRANGE', queue_key(run.q, run.h), 0, 0)[1] or '',
}
"""
)
