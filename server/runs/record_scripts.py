"""The run record's moves in Redis, each one atomic compare-and-set. Times are Redis' own.

A record is a hash: ``data`` (what was asked, JSON), ``format``, ``tenant``, ``thread`` and the same
two as they stand within names (``q``, ``h``), ``status``, ``attempts``, ``token`` (counts claims),
``order`` (its place in its thread), ``made`` and ``nonce`` (which call created and claimed it),
``claimed`` (what that claim came to), ``lease``, ``worker``, ``cancel``, ``action``, ``error``,
``end`` (the event that ended or paused it), ``resume``, ``resumes``, ``puts`` (how often it went
into the engine's queue), ``undo`` (its steps are still to be taken back), ``temporary``, and times
in microseconds.

KEYS[1] is the prefix, ARGV[1] and ARGV[2] are those of ``admission.ADMISSION``, ARGV[3] is the run.
Each reply ends with the runs to put on the engine's queue: for the first time, and again.
"""

from __future__ import annotations

from graphs.script_flags import BEGINS, ENDS
from server.runs.admission import ADMISSION

# ARGV[4..]: made, data, tenant, thread, q, h, idempotency key or '', how long that is kept in
# seconds, strategy, whether the thread is made, whether it is temporary, microseconds to wait, the
# graph's and the assistant's id as JSON, the end that tells a cancel, retention, format, another
# idempotency key or ''; for a new thread its ttl or '', how long it lives in microseconds, then
# keys and values of its metadata.
# Replies what happened ('created', 'same', 'exists', 'busy', 'missing', 'leaving', 'passing' for a
# thread that goes with its run), the run that it is about, its creation, its due time, the runs
# that ended by it and those that have to.
CREATE = (
    BEGINS
    + ADMISSION
    + """
local id, made, data, tenant, thread, q, h, key = unpack(ARGV, 3, 10)
local strategy, temporary, later = ARGV[12], ARGV[14] == '1', tonumber(ARGV[15])
local told, retention = ARGV[18], ARGV[19]
local function known_under(name)
  local known = name ~= '' and redis.call('GET', name)
  return known and redis.call('EXISTS', run_key(known)) == 1 and known
end
local function keep_keys(run)
  for _, name in ipairs({key, ARGV[21]}) do
    if name ~= '' and (known_under(name) or run) == run then
      redis.call('SET', name, run, 'EX', ARGV[11])
    end
  end
end
local known = known_under(key) or known_under(ARGV[21])
if known then
  -- A write, so that waiting for the disk covers what the first request wrote.
  keep_keys(known)
  return {'same', known, '', '', {}, {}, {}, {}}
end
if redis.call('EXISTS', run_key(id)) == 1 then
  local found = redis.call('HMGET', run_key(id), 'made', 'created_at', 'due_at')
  if found[1] ~= made then
    return {'exists', id, '', '', {}, {}, {}, {}}
  end
  -- Our own words, sent again because the reply was lost. The queue takes an id once.
  redis.call('HSET', run_key(id), 'made', made)
  return {'created', id, found[2], found[3] or '', {}, {}, {id}, {}}
end
if redis.call('SISMEMBER', LEAVING, tenant .. ':' .. thread) == 1 then
  return {'leaving', id, '', '', {}, {}, {}, {}}
end
local record = record_key(q, h)
local there = redis.call('EXISTS', record) == 1
if not there and ARGV[13] == '0' then
  return {'missing', id, '', '', {}, {}, {}, {}}
end
if not there and not temporary then
  for _, other in ipairs(redis.call('ZRANGE', thread_runs_key(q, h), 0, -1)) do
    local run = about(other)
    local live = run and (run.status == 'pending' or run.status == 'running'
      or run.status == 'interrupted' or redis.call('ZSCORE', UNTOLD, other))
    if live and run.temporary then
      return {'passing', other, '', '', {}, {}, {}, {}}
    end
  end
end
local before = redis.call('ZRANGE', queue_key(q, h), 0, -1)
if before[1] and strategy == 'reject' then
  return {'busy', before[1], '', '', {}, {}, {}, {}}
end
if not temporary then
  if not there then
    redis.call('HSET', record, 'created_at', stamp, 'updated_at', stamp,
      'state_updated_at', stamp, 'status', 'idle', 'paused', '')
    redis.call('ZADD', threads_key(q), stamp, thread)
    redis.call('SADD', TENANTS, tenant)
    if ARGV[22] ~= '' then
      redis.call('HSET', record, 'ttl', ARGV[22])
      redis.call('ZADD', LIVING, string.format('%.0f', now + ARGV[23]), tenant .. ':' .. thread)
    end
    for i = 24, #ARGV, 2 do
      put(record, threads_by(q), thread, ARGV[i], ARGV[i + 1])
    end
  end
  put(record, threads_by(q), thread, 'graph_id', ARGV[16])
  put(record, threads_by(q), thread, 'assistant_id', ARGV[17])
end
local ended, flagged = {}, {}
if strategy == 'interrupt' or strategy == 'rollback' then
  for _, other in ipairs(before) do
    local run = about(other)
    if run and (run.status == 'pending' or run.status == 'running') then
      redis.call('HSET', run_key(other), 'cancel', stamp, 'action', strategy)
      run.action = strategy
      if run.status == 'pending' then
        finish(other, run, 'cancelled', 'The run was cancelled.', told, retention)
        ended[#ended + 1] = other
      else
        redis.call('ZADD', CANCELS, stamp, other)
        redis.call('PUBLISH', CANCELLED, other)
        flagged[#flagged + 1] = other
      end
    end
  end
end
local order = redis.call('INCR', ORDER)
redis.call('HSET', run_key(id), 'data', data, 'format', ARGV[20], 'tenant', tenant,
  'thread', thread, 'q', q, 'h', h, 'status', 'pending', 'attempts', 0, 'token', 0,
  'order', order, 'made', made, 'created_at', stamp, 'updated_at', stamp)
if temporary then
  redis.call('HSET', run_key(id), 'temporary', 1)
end
keep_keys(id)
redis.call('ZADD', ALL, stamp, id)
redis.call('ZADD', thread_runs_key(q, h), stamp, id)
keep_list({q = q, h = h}, later / 1000000)
local due = ''
if later > 0 then
  due = string.format('%.0f', now + later)
  redis.call('HSET', run_key(id), 'due_at', due)
  redis.call('ZADD', DUE, due, id)
else
  enter(id, {q = q, h = h, thread = thread}, order)
end
dispatch()
return {'created', id, stamp, due, ended, flagged, first, again}
"""
)

# ARGV[4..]: worker, nonce, lease in microseconds, most attempts, the newest format that is known,
# the end that tells that another run took the thread over, retention, the end that tells that this
# one answers what the paused one asked.
# The attempt is counted before any work, once for each nonce. Replies the outcome and the record.
CLAIM = (
    BEGINS
    + ADMISSION
    + """
local id, worker, nonce, lease = unpack(ARGV, 3, 6)
local run = about(id)
local function reply(outcome)
  dispatch()
  return {outcome, run and redis.call('HGETALL', run_key(id)) or {}, first, again}
end
if not run then
  return reply('missing')
end
if run.nonce == nonce then
  return reply(run.status == 'running' and run.claimed or 'elsewhere')
end
if run.status ~= 'pending' and run.status ~= 'running' then
  withdraw(id, run.q)
  return reply('elsewhere')
end
if run.status == 'running' and tonumber(run.lease or 0) > now then
  return reply('elsewhere')
end
if not redis.call('ZSCORE', DISPATCHED, id) then
  return reply('elsewhere')
end
if redis.call('ZRANGE', queue_key(run.q, run.h), 0, 0)[1] ~= id then
  withdraw(id, run.q)
  next_of(run.q, run.h)
  return reply('elsewhere')
end
if tonumber(run.format or 0) > tonumber(ARGV[8]) then
  back(id, run)
  withdraw(id, run.q)
  redis.call('ZADD', PARKED, run.format, id)
  return reply('parked')
end
local key, outcome = run_key(id), 'running'
local spent = tonumber(run.attempts) >= tonumber(ARGV[7])
if run.cancel then
  outcome = 'unwanted'
elseif spent then
  outcome = 'exhausted'
else
  -- A run that kills its worker takes others along. Two that are at their last attempt never share
  -- a worker, so that whoever only stood beside it has one that is his own.
  if worker ~= '' and run.attempts ~= '0' and run.attempts + 1 >= tonumber(ARGV[7]) then
    local other = redis.call('HGET', LASTS, worker)
    local with = other and other ~= id and about(other)
    if with and with.status == 'running' and with.worker == worker
      and tonumber(with.lease or 0) > now then
      return reply('elsewhere')
    end
    redis.call('HSET', LASTS, worker, id)
  end
  redis.call('HINCRBY', key, 'attempts', 1)
end
local token = redis.call('HINCRBY', key, 'token', 1)
local until_ = string.format('%.0f', now + tonumber(lease))
redis.call('HSET', key, 'status', 'running', 'updated_at', stamp, 'worker', worker,
  'nonce', nonce, 'claimed', outcome, 'lease', until_)
redis.call('ZADD', LEASES, until_, id)
redis.call('SET', fence_key(run.q, run.h), id .. ':' .. token)
local record = record_key(run.q, run.h)
if outcome == 'running' and redis.call('EXISTS', record) == 1 then
  local paused = redis.call('HGET', record, 'paused')
  redis.call('HDEL', record, 'error')
  if paused and paused ~= '' then
    redis.call('HSET', record, 'paused', '')
    local other = paused ~= id and about(paused)
    if other and other.status == 'interrupted' then
      local why, told = 'Another run took its thread over.', ARGV[9]
      local asked = redis.call('HGET', key, 'data')
      if string.find(asked, '"answers":"' .. paused .. '"', 1, true) then
        why, told = 'Run ' .. id .. ' has answered it.', ARGV[11]
      end
      finish(paused, other, 'cancelled', why, told, ARGV[10])
    end
  end
end
return reply(outcome)
"""
)

# ARGV[4..]: token or '', expected states (comma-framed), the new state, retention, error or '',
# end or '', whether it was given up, a hash and a field that have to be there, or ''. Replies 'ok',
# 'missing', 'fenced', 'unwanted' where it has to end as cancelled, 'lost' where the field is not
# there, or the state found instead.
MOVE = (
    ENDS
    + ADMISSION
    + """
local id, token, expected, status = unpack(ARGV, 3, 6)
local run = about(id)
if not run then
  return {'missing', {}, {}}
end
if token ~= '' and token ~= run.token then
  return {'fenced', {}, {}}
end
if run.status == status and token ~= '' then
  -- Sent again because the reply was lost.
  return {'ok', unpack(queued())}
end
if not string.find(expected, ',' .. run.status .. ',', 1, true) then
  return {run.status, {}, {}}
end
if token ~= '' and run.cancel and status ~= 'cancelled'
  and (status == 'interrupted' or run.action == 'rollback') then
  -- The cancel came first: a pause would outlast it, and steps would stay that are to go.
  return {'unwanted', {}, {}}
end
if ARGV[11] ~= '' and redis.call('HEXISTS', ARGV[11], ARGV[12]) == 0 then
  return {'lost', {}, {}}
end
if token == '' then
  redis.call('HINCRBY', run_key(id), 'token', 1)
  redis.call('PUBLISH', CANCELLED, id)
end
finish(id, run, status, ARGV[8], ARGV[9], ARGV[7])
if ARGV[10] == '1' then
  redis.call('ZADD', DEAD, stamp, id)
end
return {'ok', unpack(queued())}
"""
)

# ARGV[4]: token. A run that is given back unfinished loses no attempt. Replies 1 if it was ours.
RELEASE = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run or run.status ~= 'running' or run.token ~= ARGV[4] then
  return {0, {}, {}}
end
redis.call('HINCRBY', run_key(id), 'attempts', -1)
back(id, run)
return {1, unpack(queued())}
"""
)

# ARGV[4..]: action, the end that tells it, retention. Whoever works on the run reads the flag; one
# that nobody works on ends here. Replies the state before.
CANCEL = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run then
  return {'', {}, {}}
end
local live = run.status == 'pending' or run.status == 'running' or run.status == 'interrupted'
if live then
  redis.call('HSET', run_key(id), 'cancel', stamp, 'action', ARGV[4])
  run.action = ARGV[4]
  if run.status == 'running' then
    redis.call('ZADD', CANCELS, stamp, id)
    redis.call('PUBLISH', CANCELLED, id)
  else
    finish(id, run, 'cancelled', 'The run was cancelled.', ARGV[5], ARGV[6])
  end
end
return {run.status, unpack(queued())}
"""
)

# ARGV[4]: what was decided, JSON. A paused run takes its place again, before runs that came later.
# Replies the state before.
RESUME = (
    BEGINS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run then
  return {'', {}, {}}
end
if run.status ~= 'interrupted' then
  return {run.status, {}, {}}
end
local record = record_key(run.q, run.h)
if redis.call('EXISTS', record) == 1 and redis.call('HGET', record, 'paused') ~= id then
  return {'overtaken', {}, {}}
end
redis.call('HSET', run_key(id), 'status', 'pending', 'updated_at', stamp, 'resume', ARGV[4])
redis.call('HINCRBY', run_key(id), 'resumes', 1)
redis.call('HSET', run_key(id), 'attempts', 0)
redis.call('HDEL', run_key(id), 'end')
redis.call('ZREM', UNTOLD, id)
redis.call('HSET', record, 'paused', '')
keep_list(run, 0)
local head = redis.call('ZRANGE', queue_key(run.q, run.h), 0, 0)[1]
if head then
  local other = about(head)
  if other and other.status == 'pending' then
    withdraw(head, other.q)
  end
end
enter(id, run, run.order)
return {'interrupted', unpack(queued())}
"""
)

# Replies 1, or the state that keeps the record from going, or '' where there is none.
DELETE = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run then
  return {'', {}, {}}
end
if run.status == 'pending' or run.status == 'running' or run.undo then
  return {run.undo and 'running' or run.status, {}, {}}
end
local record = record_key(run.q, run.h)
if redis.call('HGET', record, 'paused') == id then
  redis.call('HSET', record, 'paused', '')
  settle(run)
end
redis.call('DEL', run_key(id), ledger_key(id))
redis.call('ZREM', ALL, id)
redis.call('ZREM', DEAD, id)
redis.call('ZREM', UNTOLD, id)
redis.call('ZREM', thread_runs_key(run.q, run.h), id)
return {'deleted', {}, {}}
"""
)

# A run that waits has its attempts back and is put on the queue again. Replies the state before.
REQUEUE = (
    ENDS
    + ADMISSION
    + """
local id, run = ARGV[3], about(ARGV[3])
if not run then
  return {'', {}, {}}
end
local held = run.status == 'running' and tonumber(run.lease or 0) > now
if held or (run.status ~= 'pending' and run.status ~= 'running') then
  return {run.status, {}, {}}
end
redis.call('HSET', run_key(id), 'attempts', 0)
if redis.call('ZSCORE', DUE, id) then
  redis.call('ZREM', DUE, id)
  redis.call('ZADD', queue_key(run.q, run.h), run.order, id)
end
back(id, run)
settle(run)
return {'pending', unpack(queued())}
"""
)
