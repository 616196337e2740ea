"""The long-term store's moves in Redis, each one atomic. Times are Redis' own, in microseconds.

A namespace is one Hash, so that a search reads few keys; KEYS always are: the namespace, the
index of namespaces (Sorted set by name), the expiries (Sorted set by time). A namespace in which
nothing is left leaves the index with its last item.
"""

from __future__ import annotations

_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function member(field)
  return ARGV[1] .. '\\30' .. field
end
local function drop(field)
  redis.call('HDEL', KEYS[1], field)
  redis.call('ZREM', KEYS[3], member(field))
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
  end
end
local function read(field)
  local found = redis.call('HGET', KEYS[1], field)
  if not found then
    return nil
  end
  local created, updated, ttl, expires, at = struct.unpack('<dddd', found)
  if expires > 0 and expires <= now then
    return nil
  end
  return created, updated, ttl, string.sub(found, at)
end
"""

# ARGV: namespace, key, time to live (microseconds; 0 for ever), value. Keeps when it was created.
PUT = (
    _CLOCK
    + """
local created = read(ARGV[2]) or now
local ttl = tonumber(ARGV[3])
local expires = 0
if ttl > 0 then
  expires = now + ttl
  redis.call('ZADD', KEYS[3], expires, member(ARGV[2]))
else
  redis.call('ZREM', KEYS[3], member(ARGV[2]))
end
redis.call('HSET', KEYS[1], ARGV[2], struct.pack('<dddd', created, now, ttl, expires) .. ARGV[4])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
"""
)

# ARGV: namespace, key.
DELETE = _CLOCK + "drop(ARGV[2])"

# ARGV: namespace, whether reading makes an item live on ('1'), keys, or none for all of them.
# Replies key, item, key, item.
READ = (
    _CLOCK
    + """
local fields = {unpack(ARGV, 3)}
if #fields == 0 then
  fields = redis.call('HKEYS', KEYS[1])
end
local reply = {}
for _, field in ipairs(fields) do
  local created, updated, ttl, value = read(field)
  if created then
    if ARGV[2] == '1' and ttl > 0 then
      -- After a removal a full Redis takes what follows.
      redis.call('ZREM', KEYS[3], member(field))
      redis.call('HSET', KEYS[1], field,
        struct.pack('<dddd', created, updated, ttl, now + ttl) .. value)
      redis.call('ZADD', KEYS[3], now + ttl, member(field))
    end
    reply[#reply + 1] = field
    reply[#reply + 1] = struct.pack('<ddd', created, updated, ttl) .. value
  end
end
return reply
"""
)

# KEYS: the expiries. ARGV: at most how many. Replies what is due, as namespace and key.
DUE = """
local clock = redis.call('TIME')
return redis.call('ZRANGE', KEYS[1], '-inf', clock[1] * 1000000 + clock[2], 'BYSCORE',
  'LIMIT', 0, ARGV[1])
"""

# ARGV: namespace, key. Only if it is still due: somebody may have written it again.
EXPIRE = (
    _CLOCK
    + """
if not read(ARGV[2]) then
  drop(ARGV[2])
end
"""
)
