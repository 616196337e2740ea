"""The checkpoint saver's moves in Redis, each atomic. KEYS: the thread's hash and its index.

Names are joined with the unit separator (byte 31), lists of them with the record separator (30).
The hash holds, under a first letter and a name:

- ``c`` namespace, checkpoint: the checkpoint without its values, and its metadata
- ``h`` namespace, checkpoint: run, parent, root, delta channels, and the values it refers to, each
  a channel and a version
- ``b`` namespace, channel, version: a value, once however many checkpoints have it
- ``l`` the same name: a list value as its length in four bytes and the digests of its pieces
- ``s`` digest: a piece of lists, as msgpack without the array's head
- ``w`` namespace, checkpoint, task: the task's pending writes, each a number, a length, the run
  where it is not the checkpoint's own, and the bytes
- ``x`` namespace, checkpoint: the other runs that have writes there
- ``p`` namespace, checkpoint: there is a question to a person among the writes

The index, a sorted set in lexical order, holds the names under ``c`` and ``w``.
"""

from __future__ import annotations

from graphs.fence import CHECK
from graphs.script_flags import ENDS

NOT_ALL = -1

_SPLIT = r"""
local function split(text)
  local found, from = {}, 1
  while true do
    local at = string.find(text, '\30', from, true)
    if not at then
      found[#found + 1] = string.sub(text, from)
      return found
    end
    found[#found + 1] = string.sub(text, from, at - 1)
    from = at + 1
  end
end
local function under(from)
  return redis.call('ZRANGEBYLEX', KEYS[2], '[' .. from, '[' .. from .. '\255')
end
"""

# ARGV: namespace, checkpoint id or '' for the latest. Replies name, parent, record, values, writes.
GET = (
    _SPLIT
    + r"""
local space, name = ARGV[1], nil
if ARGV[2] == '' then
  local from = 'c\31' .. space .. '\31'
  local latest = redis.call('ZREVRANGEBYLEX', KEYS[2], '[' .. from .. '\255', '[' .. from,
    'LIMIT', 0, 1)[1]
  if not latest then
    return {}
  end
  name = string.sub(latest, 3)
else
  name = space .. '\31' .. ARGV[2]
end
local about = redis.call('HMGET', KEYS[1], 'c\31' .. name, 'h\31' .. name)
if not about[1] then
  return {}
end
local head, values = split(about[2]), {}
for i = 5, #head do
  local at = space .. '\31' .. head[i]
  local value = redis.call('HGET', KEYS[1], 'b\31' .. at)
  local list = not value and redis.call('HGET', KEYS[1], 'l\31' .. at)
  if list then
    local whole = {'msgpack:\221', string.sub(list, 1, 4)}
    for from = 5, #list, 12 do
      whole[#whole + 1] = redis.call('HGET', KEYS[1], 's' .. string.sub(list, from, from + 11))
    end
    value = table.concat(whole)
  end
  if value then
    values[#values + 1] = head[i]
    values[#values + 1] = value
  end
end
local writes, from = {}, 'w\31' .. name .. '\31'
for _, field in ipairs(under(from)) do
  writes[#writes + 1] = string.sub(field, #from + 1)
  writes[#writes + 1] = redis.call('HGET', KEYS[1], field)
end
return {name, head[2], about[1], values, writes}
"""
)

# KEYS besides: fence, the set of threads, the set of the run's threads.
# ARGV: fence, thread, run, namespace, checkpoint id, record, head, the checkpoint before where it
# has to be there or '', then kinds, names and values. What the writer believes to be here it leaves
# out. Replies how many checkpoints the namespace has. Nothing is written, and it replies NOT_ALL,
# if a value or a piece is neither here nor given, -2 if the checkpoint before is not here.
PUT = (
    CHECK
    + _SPLIT
    + r"""
local function here(field)
  return redis.call('HEXISTS', KEYS[1], field) == 1
end
local no = refused(KEYS[3], ARGV[1])
if no then
  return no
end
local given = {}
for i = 9, #ARGV, 3 do
  given[ARGV[i + 1]] = true
  if ARGV[i] == 'l' then
    for from = 5, #ARGV[i + 2], 12 do
      local digest = string.sub(ARGV[i + 2], from, from + 11)
      if not given[digest] and not here('s' .. digest) then
        return -1
      end
    end
  end
end
if ARGV[8] ~= '' then
  -- What this one does not change, the one before refers to: where that is, its values are.
  if not here('c\31' .. ARGV[4] .. '\31' .. ARGV[8]) then
    return -2
  end
else
  local head = split(ARGV[7])
  for i = 5, #head do
    local at = ARGV[4] .. '\31' .. head[i]
    if not given[at] and not here('b\31' .. at) and not here('l\31' .. at) then
      return -1
    end
  end
end
redis.call('SADD', KEYS[4], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('SADD', KEYS[5], ARGV[2])
end
local from = 'c\31' .. ARGV[4] .. '\31'
local name = ARGV[4] .. '\31' .. ARGV[5]
for i = 9, #ARGV, 3 do
  local kind, at, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kind == 's' then
    redis.call('HSETNX', KEYS[1], 's' .. at, value)
  else
    redis.call('HSET', KEYS[1], kind .. '\31' .. at, value)
    if kind == 'l' then
      redis.call('HDEL', KEYS[1], 'b\31' .. at)
    end
  end
end
redis.call('HSET', KEYS[1], 'c\31' .. name, ARGV[6], 'h\31' .. name, ARGV[7])
redis.call('ZADD', KEYS[2], 0, 'c\31' .. name)
return redis.call('ZLEXCOUNT', KEYS[2], '[' .. from, '[' .. from .. '\255')
"""
)

_WRITES = r"""
local function parsed(text)
  local found, at = {}, 1
  while at <= #text do
    local _, last, number, length, run = string.find(text, '^(%-?%d+) (%d+) ([^\30]*)\30', at)
    found[#found + 1] = {number, string.sub(text, last + 1, last + length), run}
    at = last + length + 1
  end
  return found
end
local function store(field, writes)
  local words = {}
  for _, write in ipairs(writes) do
    words[#words + 1] = write[1] .. ' ' .. #write[2] .. ' ' .. write[3] .. '\30'
    words[#words + 1] = write[2]
  end
  redis.call('HSET', KEYS[1], field, table.concat(words))
end
"""

# KEYS besides: fence, the set of the run's threads. ARGV: fence, thread, name of the checkpoint,
# task, run, then per write its number and its bytes. A write that is there already stays; one
# with a number below zero is replaced.
PUT_WRITES = (
    CHECK
    + _SPLIT
    + _WRITES
    + r"""
local no = refused(KEYS[3], ARGV[1])
if no then
  return no
end
local name, run = ARGV[3], ARGV[5]
local about = redis.call('HMGET', KEYS[1], 'h\31' .. name, 'x\31' .. name)
if run ~= '' and about[1] and split(about[1])[1] ~= run then
  local others, known = about[2] and split(about[2]) or {}, false
  for _, other in ipairs(others) do
    known = known or other == run
  end
  if not known then
    others[#others + 1] = run
    redis.call('HSET', KEYS[1], 'x\31' .. name, table.concat(others, '\30'))
    redis.call('SADD', KEYS[4], ARGV[2])
  end
else
  run = ''
end
local field = 'w\31' .. name .. '\31' .. ARGV[4]
local writes, place = parsed(redis.call('HGET', KEYS[1], field) or ''), {}
for i, write in ipairs(writes) do
  place[write[1]] = i
end
for i = 6, #ARGV, 2 do
  local number = ARGV[i]
  if not place[number] then
    writes[#writes + 1] = {number, ARGV[i + 1], run}
    place[number] = #writes
  elseif tonumber(number) < 0 then
    writes[place[number]] = {number, ARGV[i + 1], run}
  end
  if number == '-3' then
    redis.call('HSET', KEYS[1], 'p\31' .. name, '1')
  end
end
store(field, writes)
redis.call('ZADD', KEYS[2], 0, field)
return 1
"""
)

# ARGV: run, names of other runs' checkpoints: what the run wrote there goes.
UNDO = (
    ENDS
    + _SPLIT
    + _WRITES
    + r"""
for i = 2, #ARGV do
  local name, others = ARGV[i], {}
  for _, field in ipairs(under('w\31' .. name .. '\31')) do
    local left = {}
    for _, write in ipairs(parsed(redis.call('HGET', KEYS[1], field) or '')) do
      if write[3] ~= ARGV[1] then
        left[#left + 1] = write
      end
    end
    if #left == 0 then
      redis.call('HDEL', KEYS[1], field)
      redis.call('ZREM', KEYS[2], field)
    else
      store(field, left)
    end
  end
  for _, other in ipairs(split(redis.call('HGET', KEYS[1], 'x\31' .. name) or '')) do
    if other ~= ARGV[1] then
      others[#others + 1] = other
    end
  end
  if #others == 0 then
    redis.call('HDEL', KEYS[1], 'x\31' .. name)
  else
    redis.call('HSET', KEYS[1], 'x\31' .. name, table.concat(others, '\30'))
  end
end
return 1
"""
)

# Replies the size of the index, then every checkpoint's name, head, whether it is paused, and the
# other runs that wrote there.
SURVEY = r"""
local found = {redis.call('ZCARD', KEYS[2])}
for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[c\31', '[c\31\255')) do
  local name = string.sub(field, 3)
  local about = redis.call('HMGET', KEYS[1], 'h\31' .. name, 'p\31' .. name, 'x\31' .. name)
  found[#found + 1] = {name, about[1] or '', about[2] or '', about[3] or ''}
end
return found
"""

# KEYS besides: fence. ARGV: fence, the size that the index had when it was decided or '', names of
# checkpoints to forget, with their writes and the values that nobody else has.
# Replies how many checkpoints are left, or -1 if the index has another size by now.
DROP = (
    ENDS
    + CHECK
    + _SPLIT
    + r"""
local no = refused(KEYS[3], ARGV[1])
if no then
  return no
end
if ARGV[2] ~= '' and redis.call('ZCARD', KEYS[2]) ~= tonumber(ARGV[2]) then
  return -1
end
for i = 3, #ARGV do
  local name = ARGV[i]
  for _, field in ipairs(under('w\31' .. name .. '\31')) do
    redis.call('HDEL', KEYS[1], field)
    redis.call('ZREM', KEYS[2], field)
  end
  redis.call('HDEL', KEYS[1], 'c\31' .. name, 'h\31' .. name, 'p\31' .. name, 'x\31' .. name)
  redis.call('ZREM', KEYS[2], 'c\31' .. name)
end
local left = under('c\31')
if #left == 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 0
end
local needed = {}
for _, field in ipairs(left) do
  local space = string.match(field, '^c\31([^\31]*)\31')
  local head = split(redis.call('HGET', KEYS[1], 'h' .. string.sub(field, 2)) or '')
  for i = 5, #head do
    local at = space .. '\31' .. head[i]
    if not needed['b\31' .. at] then
      needed['b\31' .. at], needed['l\31' .. at] = true, true
      local list = redis.call('HGET', KEYS[1], 'l\31' .. at) or ''
      for from = 5, #list, 12 do
        needed['s' .. string.sub(list, from, from + 11)] = true
      end
    end
  end
end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local kind = string.sub(field, 1, 1)
  if (kind == 'b' or kind == 'l' or kind == 's') and not needed[field] then
    redis.call('HDEL', KEYS[1], field)
  end
end
return #left
"""
)

# KEYS: hash and index of the source, then of the target. ARGV: a word that names this very copy,
# so that it is known again when it is sent twice. Replies 1, or 0 if the target has checkpoints
# already, or 2 if the source has none.
COPY = r"""
if redis.call('EXISTS', KEYS[3], KEYS[4]) > 0 then
  return redis.call('HGET', KEYS[3], 'n') == ARGV[1] and 1 or 0
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 2
end
redis.call('COPY', KEYS[1], KEYS[3])
redis.call('COPY', KEYS[2], KEYS[4])
redis.call('HSET', KEYS[3], 'n', ARGV[1])
return 1
"""
