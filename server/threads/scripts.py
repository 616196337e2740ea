"""The threads' moves in Redis, each atomic. Times are Redis' own, in microseconds.

A record holds ``created_at``, ``updated_at``, ``state_updated_at``, ``status``, ``paused`` (the run
that waits for a person), ``error``, ``config`` and ``ttl`` as JSON, and under ``m:<key>`` each
value of the metadata as JSON. Scalars of the metadata are indexed: see ``INDEXED``.
"""

from __future__ import annotations

from graphs.script_flags import ENDS

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', clock[2])
"""

# What a script needs that changes metadata: `put(record, by, thread, key, json)` stores one value
# and keeps the sets of threads by value right; `by` is Keys.threads_by, the set's name is
# Keys.thread_metadata. `put_status` does so for the status; idle threads, the most, are in no set.
INDEXED = r"""
local function by_value(by, key, json)
  local first = string.sub(json, 1, 1)
  if first ~= '{' and first ~= '[' then
    return by .. redis.sha1hex(key .. '\31' .. json)
  end
end
local function put(record, by, thread, key, json)
  local before = redis.call('HGET', record, 'm:' .. key)
  if before == json then
    return
  end
  local old = before and by_value(by, key, before)
  if old then
    redis.call('SREM', old, thread)
  end
  local new = by_value(by, key, json)
  if new then
    redis.call('SADD', new, thread)
  end
  redis.call('HSET', record, 'm:' .. key, json)
end
local function put_status(record, by, thread, status)
  local before = redis.call('HGET', record, 'status')
  if before and before ~= 'idle' then
    redis.call('SREM', by .. 'status:' .. before, thread)
  end
  if status ~= 'idle' then
    redis.call('SADD', by .. 'status:' .. status, thread)
  end
  redis.call('HSET', record, 'status', status)
end
"""

# KEYS: record, threads, updated, tenants, expiring, leaving. ARGV: thread, tenant, by, expiring
# member, ttl or '', how long it lives in microseconds, then keys and values of the metadata.
# Replies 'ok', 'exists', or 'leaving' where the last thread of this id is not yet gone.
CREATE = (
    _NOW
    + INDEXED
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'exists'
end
if redis.call('SISMEMBER', KEYS[6], ARGV[4]) == 1 then
  return 'leaving'
end
redis.call('HSET', KEYS[1], 'created_at', now, 'updated_at', now, 'state_updated_at', now,
  'status', 'idle', 'paused', '')
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('SADD', KEYS[4], ARGV[2])
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'ttl', ARGV[5])
  redis.call('ZADD', KEYS[5], now + ARGV[6], ARGV[4])
end
for i = 7, #ARGV, 2 do
  put(KEYS[1], ARGV[3], ARGV[1], ARGV[i], ARGV[i + 1])
end
return 'ok'
"""
)

# KEYS and ARGV as above. Replies 'ok' or 'missing'.
PATCH = (
    _NOW
    + INDEXED
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
for i = 7, #ARGV, 2 do
  put(KEYS[1], ARGV[3], ARGV[1], ARGV[i], ARGV[i + 1])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'ttl', ARGV[5])
  redis.call('ZADD', KEYS[5], now + ARGV[6], ARGV[4])
end
redis.call('HSET', KEYS[1], 'updated_at', now)
redis.call('ZADD', KEYS[3], now, ARGV[1])
return 'ok'
"""
)

# KEYS: record, updated, fence, queue. ARGV: thread, status, by. What a change of the state that no
# run made leaves behind; nothing where a run has taken the thread meanwhile.
SETTLE = (
    _NOW
    + INDEXED
    + """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('EXISTS', KEYS[3]) == 1
  or redis.call('ZCARD', KEYS[4]) > 0 then
  return 0
end
put_status(KEYS[1], ARGV[3], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[1], 'updated_at', now, 'state_updated_at', now)
redis.call('HDEL', KEYS[1], 'error')
if ARGV[2] == 'idle' then
  redis.call('HSET', KEYS[1], 'paused', '')
end
redis.call('ZADD', KEYS[2], now, ARGV[1])
return 1
"""
)

# KEYS: record, threads, updated, expiring, leaving, fence, queue, runs, delayed runs. ARGV: thread,
# by, member of expiring and leaving, states in which it is kept (comma-framed), how old in
# microseconds it has to be ('' for any age), what the names of runs start with. A run that waits
# for a person goes in the same move, so that nobody takes it up any more; one that is to begin
# later keeps its thread. Replies 'ok', 'missing', 'young', or the state in which it is.
DELETE = (
    ENDS
    + _NOW
    + INDEXED
    + """
local about = redis.call('HGETALL', KEYS[1])
if #about == 0 then
  return 'missing'
end
local fields = {}
for i = 1, #about, 2 do
  fields[about[i]] = about[i + 1]
end
if redis.call('EXISTS', KEYS[6]) == 1 or redis.call('ZCARD', KEYS[7]) > 0 then
  return 'busy'
end
local runs = redis.call('ZRANGE', KEYS[8], 0, -1)
for _, run in ipairs(runs) do
  if redis.call('ZSCORE', KEYS[9], run) then
    return 'busy'
  end
end
if string.find(ARGV[4], ',' .. (fields['status'] or '') .. ',', 1, true) then
  return fields['status']
end
if ARGV[5] ~= '' and tonumber(fields['updated_at']) + tonumber(ARGV[5]) > tonumber(now) then
  return 'young'
end
for field, value in pairs(fields) do
  if string.sub(field, 1, 2) == 'm:' then
    local set = by_value(ARGV[2], string.sub(field, 3), value)
    if set then
      redis.call('SREM', set, ARGV[1])
    end
  end
end
put_status(KEYS[1], ARGV[2], ARGV[1], 'idle')
for _, run in ipairs(runs) do
  redis.call('DEL', ARGV[6] .. run)
end
redis.call('SADD', KEYS[5], ARGV[3])
redis.call('ZREM', KEYS[4], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[1])
return 'ok'
"""
)

# KEYS: who cleans up. ARGV: for how many seconds at most. Replies nothing where somebody does.
CLEAN = (
    ENDS
    + """
return redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1])
"""
)

# KEYS: expiring. ARGV: member, when to look again. One that is not there any more stays away.
LATER = (
    ENDS
    + """
return redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])
"""
)

# KEYS: threads in the order of a time, then sets that a thread has to be in, then sets that it must
# not be in, of which no three have a thread in common. ARGV: what a record's name starts and ends
# with, how many sets of the last kind there are, the field to sort by ('' for the order of
# KEYS[1]), 'asc' or 'desc', offset, limit, then the ids to choose among, if only some are meant.
# Replies how many there are in all, then the ids of one page; where many threads fit, the order is
# walked until the page is full.
SEARCH = r"""
local start, tail, others, field, order = unpack(ARGV, 1, 5)
local offset, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local down = order == 'desc'
local sets, without = {}, {}
for i = 2, #KEYS do
  local kind = i <= #KEYS - others and sets or without
  kind[#kind + 1] = KEYS[i]
end
local function about(thread, name)
  return redis.call('HGET', start .. thread .. tail, name)
end
local function is_in(set, thread)
  return redis.call('SISMEMBER', set, thread) == 1
end
local function fits(thread)
  for _, set in ipairs(sets) do
    if not is_in(set, thread) then
      return false
    end
  end
  for _, set in ipairs(without) do
    if is_in(set, thread) then
      return false
    end
  end
  return true
end
local function size(many)
  if #many < 2 then
    return redis.call(many[1] and 'SCARD' or 'ZCARD', many[1] or KEYS[1])
  end
  return redis.call('SINTERCARD', #many, unpack(many))
end
local fewest = redis.call('ZCARD', KEYS[1])
for _, set in ipairs(sets) do
  fewest = math.min(fewest, redis.call('SCARD', set))
end

if #ARGV == 7 and field == '' and (#sets == 0 or fewest > 512) then
  -- Every set is large: its members are found soon on the way through the order.
  local total = size(sets)
  for i, set in ipairs(without) do
    total = total - size({set, unpack(sets)})
    for j = 1, i - 1 do
      total = total + size({set, without[j], unpack(sets)})
    end
  end
  local command = down and 'ZREVRANGE' or 'ZRANGE'
  if #KEYS == 1 then
    return {total, unpack(redis.call(command, KEYS[1], offset, offset + limit - 1))}
  end
  local reply, seen, at = {total}, 0, 0
  while #reply - 1 < limit and seen < total do
    local chunk = redis.call(command, KEYS[1], at, at + 499)
    if #chunk == 0 then
      break
    end
    for _, thread in ipairs(chunk) do
      if #reply - 1 < limit and fits(thread) then
        seen = seen + 1
        if seen > offset then
          reply[#reply + 1] = thread
        end
      end
    end
    at = at + 500
  end
  return reply
end

if #ARGV == 7 and field ~= '' then
  -- Redis sorts far faster than a script, and only as far as the page needs it.
  local key, own = sets[1] or KEYS[1], KEYS[1] .. ':sorting'
  -- After a removal a full Redis takes what follows.
  redis.call('DEL', own)
  if #sets > 1 then
    redis.call('SINTERSTORE', own, unpack(sets))
    key = own
  end
  if #without > 0 then
    redis.call(sets[1] and 'SDIFFSTORE' or 'ZDIFFSTORE', own, unpack(
      sets[1] and {key, unpack(without)} or {#without + 1, key, unpack(without)}))
    key = own
  end
  local total = redis.call(sets[1] and 'SCARD' or 'ZCARD', key)
  local command = {'SORT', key, 'LIMIT', offset, limit, down and 'DESC' or 'ASC'}
  if field == 'thread_id' then
    command[#command + 1] = 'ALPHA'
  else
    command[#command + 1] = 'BY'
    command[#command + 1] = start .. '*' .. tail .. '->' .. field
  end
  local page = redis.pcall(unpack(command))
  redis.call('DEL', own)
  -- Whoever may not read every key may not sort by other keys: then it is done here.
  if not page.err then
    return {total, unpack(page)}
  end
end

local candidates
if #ARGV > 7 then
  candidates = {}
  local once = {}
  for i = 8, #ARGV do
    local thread = ARGV[i]
    if not once[thread] and redis.call('ZSCORE', KEYS[1], thread) then
      candidates[#candidates + 1] = thread
    end
    once[thread] = true
  end
elseif #sets > 0 then
  candidates = redis.call('SINTER', unpack(sets))
  sets = {}
else
  candidates = redis.call('ZRANGE', KEYS[1], 0, -1)
end
local found, by = {}, {}
for _, thread in ipairs(candidates) do
  if fits(thread) then
    found[#found + 1] = thread
    if field == 'thread_id' then
      by[thread] = thread
    elseif field ~= '' then
      by[thread] = about(thread, field) or ''
    else
      by[thread] = tonumber(redis.call('ZSCORE', KEYS[1], thread) or 0)
    end
  end
end
table.sort(found, function(a, b)
  local x, y = by[a], by[b]
  if x == y then
    x, y = a, b
  end
  if down then
    return y < x
  end
  return x < y
end)
local reply = {#found}
for i = offset + 1, math.min(offset + limit, #found) do
  reply[#reply + 1] = found[i]
end
return reply
"""
