"""The moves of approvals in Redis, each one atomic and told to the audit log in the same move.

An approval is a hash: ``data`` (what was asked, JSON, never changed) and of it what scripts look
at: ``tenant``, ``q`` and ``h`` (tenant and thread as they stand in names), ``thread``, ``run``,
``interrupt``, ``tool``, ``agent``, ``requested_by``, ``kind``, ``roles`` (comma-framed),
``quorum``, ``self``, ``remember``; then ``status``, ``sha`` (of the arguments that would run now),
``asked`` (of those that were asked for), ``args`` (JSON, after an edit), ``decisions`` (JSON
objects with commas between), ``d:<decider>`` (what he said last: choice, sha, digest of the
request, Idempotency-Key), ``revision`` (counts decisions), ``pause``, ``used_by``, ``uses``,
``c:<call>`` (the calls that were let run), ``claimed_by``, ``because`` and times in microseconds.

KEYS[1] is the prefix; each reply begins with a word that says what came of it.
"""

from __future__ import annotations

from graphs.keys import APPROVAL_NAMES, RUN_NAMES
from server.audit.scripts import AUDIT, CLOCK

CHANGES = 10_000
"""About how many changes of a tenant's approvals can be caught up with."""

# What every script of the approvals has before it.
BASE = (
    RUN_NAMES
    + APPROVAL_NAMES
    + CLOCK
    + AUDIT
    + f"local CHANGES = {CHANGES}"
    + """
local function field(id, name)
  return redis.call('HGET', approval_key(id), name)
end

local function changed(q, id, what)
  redis.call('XADD', changes_key(q), 'MAXLEN', '~', CHANGES, '*', 'id', id, 'what', what)
end

-- Whether a run still wants to hear a decision: '' or why not.
local function over(run, q, h)
  local found = redis.call('HMGET', run_key(run), 'status', 'cancel', 'error')
  if not found[1] then
    return 'its run is gone'
  end
  if found[1] ~= 'interrupted' and found[1] ~= 'running' and found[1] ~= 'pending' then
    return found[3] or ('its run ended: ' .. found[1])
  end
  if found[2] then
    return 'its run was cancelled'
  end
  local paused = redis.call('HGET', record_key(q, h), 'paused')
  if found[1] == 'interrupted' and paused and paused ~= run then
    return 'its thread does not wait for it any more'
  end
  return ''
end

-- A pending approval ends. The run hears of it unless it is over itself.
local function finish(id, q, run, status, told)
  local key = approval_key(id)
  redis.call('HSET', key, 'status', status, 'decided_at', stamp)
  redis.call('HDEL', key, 'claimed_by', 'claimed_until')
  local asked = redis.call('ZSCORE', asked_key(q), id) or stamp
  redis.call('ZREM', state_key(q, 'pending'), id)
  redis.call('ZADD', state_key(q, status), asked, id)
  redis.call('ZREM', EXPIRING, id)
  redis.call('ZADD', OVER, stamp, id)
  if told ~= '' then
    redis.call('ZADD', RESUMING, told, run)
  end
  changed(q, id, status)
end
"""
)

# ARGV: id, q, h, run, fence, pause, data, sha, how long it waits in microseconds, then the body and
# digest for the audit log, then fields and values. Asked again it changes nothing but `pause`.
REQUEST = (
    BASE
    + """
local id, q, h, run, fence, pause = unpack(ARGV, 1, 6)
if fence ~= '' and redis.call('GET', fence_key(q, h)) ~= fence then
  return {'fenced'}
end
local key = approval_key(id)
if redis.call('EXISTS', key) == 1 then
  redis.call('HSET', key, 'pause', pause)
  if field(id, 'status') == 'pending' then
    redis.call('ZADD', OPEN, 'NX', stamp, run)
  else
    redis.call('ZADD', RESUMING, stamp, run)
  end
  return {'same'}
end
redis.call('HSET', key, 'q', q, 'h', h, 'run', run, 'pause', pause, 'data', ARGV[7],
  'sha', ARGV[8], 'asked', ARGV[8], 'status', 'pending', 'decisions', '', 'revision', 0,
  'uses', 0, 'requested_at', stamp,
  'expires_at', string.format('%.0f', now + tonumber(ARGV[9])))
redis.call('HSET', key, unpack(ARGV, 12))
redis.call('ZADD', asked_key(q), stamp, id)
redis.call('ZADD', state_key(q, 'pending'), stamp, id)
redis.call('ZADD', asked_by_key(run), stamp, id)
redis.call('ZADD', asked_in_key(q, h), stamp, id)
redis.call('ZADD', EXPIRING, field(id, 'expires_at'), id)
redis.call('ZADD', OPEN, stamp, run)
audit(q, ARGV[10], ARGV[11])
changed(q, id, 'requested')
return {'new'}
"""
)

# ARGV: id, q, decider, his roles (comma-framed), choice, sha that he saw or '', sha of what he
# wants or '', those arguments as JSON or '', the decision as JSON without its time, digest of the
# request, Idempotency-Key or '', the revision that the caller read, the quorum at least, how long
# until the run is resumed by others in microseconds, body and digest for the audit log, and after
# an edit who decides ('': who did before) and whether the requester may be one of them. Replies a
# word, then what it is about.
DECIDE = (
    BASE
    + """
local id, q, decider, roles, choice, saw = unpack(ARGV, 1, 6)
local sha, args, decision, request, idempotency = unpack(ARGV, 7, 11)
local key = approval_key(id)
local found = redis.call('HMGET', key, 'q', 'h', 'run', 'status', 'sha', 'asked', 'requested_by',
  'roles', 'quorum', 'self', 'expires_at', 'revision')
local h, run, status, current = found[2], found[3], found[4], found[5]
if found[1] ~= q then
  return {'missing'}
end
local may = string.find(roles, ',admin,', 1, true) ~= nil
for role in string.gmatch(found[8], '[^,]+') do
  may = may or string.find(roles, ',' .. role .. ',', 1, true) ~= nil
end
if not may then
  return {'role'}
end
local before = field(id, 'd:' .. decider)
if before then
  local said, of, asked, known = string.match(before, '^(.-)\\n(.-)\\n(.-)\\n(.*)$')
  if idempotency ~= '' and known == idempotency and asked ~= request then
    return {'reused'}
  end
  if asked == request and (of == current or status ~= 'pending') then
    return {'same'}
  end
end
if status == 'expired' then
  return {'expired'}
end
if status ~= 'pending' then
  return {'decided'}
end
if found[10] ~= '1' and found[7] ~= '' and found[7] == decider and choice ~= 'reject' then
  return {'self'}
end
local why = over(run, q, h)
if why ~= '' then
  return {'over', why}
end
if tonumber(found[11]) <= now then
  return {'late'}
end
if (saw ~= '' and saw ~= current) or (saw == '' and choice == 'approve' and current ~= found[6])
then
  return {'stale'}
end
if found[12] ~= ARGV[12] then
  return {'again'}
end
local quorum = math.max(tonumber(found[9]), tonumber(ARGV[13]))
if choice == 'edit' then
  current = sha
  redis.call('HSET', key, 'sha', sha, 'args', args, 'quorum', quorum)
  if ARGV[17] ~= '' then
    redis.call('HSET', key, 'roles', ARGV[17])
  end
  if ARGV[18] ~= '1' then
    redis.call('HSET', key, 'self', 0)
  end
end
local all = field(id, 'decisions')
local told = string.sub(decision, 1, -2) .. ',"at":' .. stamp .. '}'
redis.call('HSET', key, 'decisions', (all == '' and '' or all .. ',') .. told,
  'd:' .. decider, choice .. '\\n' .. current .. '\\n' .. request .. '\\n' .. idempotency)
redis.call('HINCRBY', key, 'revision', 1)
audit(q, ARGV[15], ARGV[16])
local consents, edits = 0, false
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'd:' then
    local said, of = string.match(fields[i + 1], '^(.-)\\n(.-)\\n')
    if (said == 'approve' or said == 'edit') and of == current then
      consents = consents + 1
      edits = edits or said == 'edit'
    end
  end
end
local ended = ''
if choice == 'reject' then
  ended = 'rejected'
elseif choice == 'respond' then
  ended = 'responded'
elseif consents >= quorum then
  ended = (edits or current ~= found[6]) and 'edited' or 'approved'
end
if ended == '' then
  changed(q, id, 'decided')
  return {'more'}
end
finish(id, q, run, ended, string.format('%.0f', now + tonumber(ARGV[14])))
return {'ended'}
"""
)

# ARGV: id, run, fence, sha, the call, body and digest for the audit log. A call that was let run is
# let run again: whether its effect is there already is not known here.
USE = (
    BASE
    + """
local id, run, fence, sha, call = unpack(ARGV, 1, 5)
local key = approval_key(id)
local found = redis.call('HMGET', key, 'q', 'h', 'run', 'status', 'sha', 'used_by', 'remember')
if fence ~= '' and redis.call('GET', fence_key(found[1], found[2])) ~= fence then
  return {'fenced'}
end
if found[3] ~= run or found[5] ~= sha or (found[4] ~= 'approved' and found[4] ~= 'edited') then
  return {'none'}
end
if field(id, 'c:' .. call) then
  -- A write, so that waiting for the disk covers the first one.
  redis.call('HSET', key, 'c:' .. call, field(id, 'c:' .. call))
  return {'again'}
end
if found[6] and found[7] ~= '1' then
  return {'used'}
end
if not found[6] then
  redis.call('HSET', key, 'used_at', stamp, 'used_by', call)
end
redis.call('HSET', key, 'c:' .. call, stamp)
redis.call('HINCRBY', key, 'uses', 1)
audit(found[1], ARGV[6], ARGV[7])
changed(found[1], id, 'executed')
return {'ended'}
"""
)

# ARGV: id, q, who, seconds. Replies who has it, where that is somebody else.
CLAIM = (
    BASE
    + """
local id, q, who = unpack(ARGV, 1, 3)
local key = approval_key(id)
local found = redis.call('HMGET', key, 'q', 'status', 'claimed_by', 'claimed_until')
if found[1] ~= q then
  return {'missing'}
end
if found[2] ~= 'pending' then
  return {'decided'}
end
if found[3] and found[3] ~= who and tonumber(found[4]) > now then
  return {'claimed', found[3]}
end
redis.call('HSET', key, 'claimed_by', who, 'claimed_until',
  string.format('%.0f', now + tonumber(ARGV[4]) * 1000000))
changed(q, id, 'claimed')
return {'ended'}
"""
)

# ARGV: id, q, who, whether anybody's claim goes. Replies who has it, where that is somebody else.
RELEASE = (
    BASE
    + """
local id, q, who = unpack(ARGV, 1, 3)
local key = approval_key(id)
local found = redis.call('HMGET', key, 'q', 'claimed_by', 'claimed_until')
if found[1] ~= q then
  return {'missing'}
end
if not found[2] then
  return {'ended'}
end
if found[2] ~= who and ARGV[4] ~= '1' and tonumber(found[3]) > now then
  return {'claimed', found[2]}
end
redis.call('HDEL', key, 'claimed_by', 'claimed_until')
changed(q, id, 'released')
return {'ended'}
"""
)

# KEYS: an index. ARGV: prefix of approvals' names, 'up' or 'down', first and last place, name and
# roles (comma-framed) of who sees only what he asked for or a rule lets him decide, or '' twice for
# all, then for each field its name and the values that fit, one a line. Replies how many ids were
# looked at, then those that fit.
FITTING = """
local way = ARGV[2] == 'up' and 'ZRANGE' or 'ZREVRANGE'
local ids = redis.call(way, KEYS[1], ARGV[3], ARGV[4])
local reply = {#ids}
for _, id in ipairs(ids) do
  local fits = ARGV[6] == ''
  if not fits then
    local found = redis.call('HMGET', ARGV[1] .. id, 'requested_by', 'kind', 'roles')
    fits = found[1] == ARGV[5]
    local ruled = found[2] and found[2] ~= 'interrupt'
    for role in string.gmatch(ruled and found[3] or '', '[^,]+') do
      fits = fits or string.find(ARGV[6], ',' .. role .. ',', 1, true) ~= nil
    end
  end
  for i = 7, #ARGV, 2 do
    local value = redis.call('HGET', ARGV[1] .. id, ARGV[i]) or ''
    fits = fits and string.find(ARGV[i + 1], '\\n' .. value .. '\\n', 1, true) ~= nil
  end
  if fits then
    reply[#reply + 1] = id
  end
end
return reply
"""
