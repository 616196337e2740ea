"""The checkpoint saver's moves in Redis, each atomic. KEYS: the thread's hash and its index.

Names are joined with the unit separator (byte 31), lists of them with the record separator (30).
The hash holds, under a first letter and a name:

- ``c`` namespace, checkpoint: the checkpoint without its values, metadata, parent
- ``r`` namespace, checkpoint: the values that it refers to
- ``u`` namespace, checkpoint: the run that wrote it
- ``b`` namespace, channel, version: a value, once however many checkpoints have it
- ``w`` namespace, checkpoint, task, number: a pending write

The index, a sorted set in lexical order, holds the names under ``c`` and ``w``.
"""

from __future__ import annotations

UNIT = "\x1f"
RECORD = "\x1e"

_GET_ONE = r"""
local function values_of(name)
  local values = {}
  for ref in string.gmatch(redis.call('HGET', KEYS[1], 'r\31' .. name) or '', '[^\30]+') do
    values[#values + 1] = ref
    values[#values + 1] = redis.call('HGET', KEYS[1], 'b\31' .. ref) or ''
  end
  return values
end
local function writes_of(name)
  local writes = {}
  local from = 'w\31' .. name .. '\31'
  for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. from, '[' .. from .. '\255')) do
    writes[#writes + 1] = string.sub(field, #from + 1)
    writes[#writes + 1] = redis.call('HGET', KEYS[1], field)
  end
  return writes
end
"""

# ARGV: namespace, checkpoint id or '' for the latest. Replies name, record, values, writes.
GET = (
    _GET_ONE
    + r"""
local name
if ARGV[2] == '' then
  local from = 'c\31' .. ARGV[1] .. '\31'
  local latest = redis.call('ZREVRANGEBYLEX', KEYS[2], '[' .. from .. '\255', '[' .. from,
    'LIMIT', 0, 1)[1]
  if not latest then
    return {}
  end
  name = string.sub(latest, 3)
else
  name = ARGV[1] .. '\31' .. ARGV[2]
end
local record = redis.call('HGET', KEYS[1], 'c\31' .. name)
if not record then
  return {}
end
return {name, record, values_of(name), writes_of(name)}
"""
)

# ARGV: name, record, references, run, then value names and values.
PUT = r"""
local name = ARGV[1]
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[1], 'b\31' .. ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'c\31' .. name, ARGV[2], 'r\31' .. name, ARGV[3],
  'u\31' .. name, ARGV[4])
redis.call('ZADD', KEYS[2], 0, 'c\31' .. name)
return 1
"""

# ARGV: name of the checkpoint, then per write: its name, whether it replaces, its value.
PUT_WRITES = r"""
for i = 2, #ARGV, 3 do
  local field = 'w\31' .. ARGV[1] .. '\31' .. ARGV[i]
  local command = ARGV[i + 1] == '1' and 'HSET' or 'HSETNX'
  redis.call(command, KEYS[1], field, ARGV[i + 2])
  redis.call('ZADD', KEYS[2], 0, field)
end
return 1
"""

# Replies every checkpoint's name, the run that wrote it, and what it refers to.
SURVEY = r"""
local found = {}
for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[c\31', '[c\31\255')) do
  local name = string.sub(field, 3)
  local about = redis.call('HMGET', KEYS[1], 'u\31' .. name, 'r\31' .. name)
  found[#found + 1] = {name, about[1] or '', about[2] or ''}
end
return found
"""

# ARGV: names of checkpoints to forget, with their writes and the values that nobody else has.
# Replies how many checkpoints are left, then the runs of which none is.
DROP = r"""
local gone = {}
for _, name in ipairs(ARGV) do
  local run = redis.call('HGET', KEYS[1], 'u\31' .. name)
  if run then
    gone[run] = true
  end
  local from = 'w\31' .. name .. '\31'
  for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. from, '[' .. from .. '\255')) do
    redis.call('HDEL', KEYS[1], field)
    redis.call('ZREM', KEYS[2], field)
  end
  redis.call('HDEL', KEYS[1], 'c\31' .. name, 'r\31' .. name, 'u\31' .. name)
  redis.call('ZREM', KEYS[2], 'c\31' .. name)
end
local left = redis.call('ZRANGEBYLEX', KEYS[2], '[c\31', '[c\31\255')
if #left == 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
end
local needed = {}
for _, field in ipairs(left) do
  local name = string.sub(field, 3)
  for ref in string.gmatch(redis.call('HGET', KEYS[1], 'r\31' .. name) or '', '[^\30]+') do
    needed['b\31' .. ref] = true
  end
  gone[redis.call('HGET', KEYS[1], 'u\31' .. name) or ''] = nil
end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'b\31' and not needed[field] then
    redis.call('HDEL', KEYS[1], field)
  end
end
local reply = {#left}
for run in pairs(gone) do
  reply[#reply + 1] = run
end
return reply
"""
