"""The moves of a thread's files in Redis, each atomic; all keys share the thread's hash tag.

The listing is a hash: id to the file as JSON. Contents are strings by their SHA-256. A thread
without a record, as a run without a thread has one, does not keep its files for good: all of them
expire together, until there is a record.
"""

from __future__ import annotations

# `all_of(listing, contents)`: names of everything of a thread's files.
_ALL = """
local function all_of(listing, contents)
  local names, seen = {listing}, {}
  for _, stored in ipairs(redis.call('HVALS', listing)) do
    local sha256 = cjson.decode(stored).sha256
    if not seen[sha256] then
      seen[sha256] = true
      names[#names + 1] = contents .. sha256
    end
  end
  return names
end
local function age(listing, contents, record, seconds)
  local there = redis.call('EXISTS', record) == 1
  for _, name in ipairs(all_of(listing, contents)) do
    if there then
      redis.call('PERSIST', name)
    else
      redis.call('EXPIRE', name, seconds)
    end
  end
end
"""

# KEYS: listing, content, thread's record. ARGV: id, file as JSON, content, its size, most files,
# most bytes, most files of a run, what names of contents start with, seconds to keep where there is
# no record. Replies 'ok' and the file as it is kept, or why not: 'taken' (another file has the
# upload's name), 'files', 'bytes', 'run'.
PUT = (
    _ALL
    + """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  age(KEYS[1], ARGV[8], KEYS[3], ARGV[9])
  return {'ok', known}
end
local wanted = cjson.decode(ARGV[2])
local files, bytes, of_run, counted = 0, 0, 0, {}
for _, stored in ipairs(redis.call('HVALS', KEYS[1])) do
  local one = cjson.decode(stored)
  if wanted.origin == 'upload' and one.folded == wanted.folded then
    return {'taken'}
  end
  files = files + 1
  if not counted[one.sha256] then
    counted[one.sha256] = true
    bytes = bytes + one.bytes
  end
  if one.origin == 'run' and one.run_id == wanted.run_id then
    of_run = of_run + 1
  end
end
if files + 1 > tonumber(ARGV[5]) then
  return {'files'}
end
if not counted[wanted.sha256] and bytes + tonumber(ARGV[4]) > tonumber(ARGV[6]) then
  return {'bytes'}
end
if wanted.origin == 'run' and of_run + 1 > tonumber(ARGV[7]) then
  return {'run'}
end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
age(KEYS[1], ARGV[8], KEYS[3], ARGV[9])
return {'ok', ARGV[2]}
"""
)

# KEYS: listing, thread's record. ARGV: what names of contents start with. Keeps for good what was
# there before its thread had a record.
SETTLE = (
    _ALL
    + """
if redis.call('EXISTS', KEYS[2]) == 1 then
  age(KEYS[1], ARGV[1], KEYS[2], 0)
end
"""
)

# KEYS: listing. ARGV: id, what the names of contents start with. Replies whether it was there.
REMOVE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
local sha256 = cjson.decode(stored).sha256
for _, other in ipairs(redis.call('HVALS', KEYS[1])) do
  if cjson.decode(other).sha256 == sha256 then
    return 1
  end
end
redis.call('DEL', ARGV[2] .. sha256)
return 1
"""

# A thread's files, and for how long they are kept (-1: as long as the thread).
# KEYS: listing. Replies the seconds, and ids and files in turns.
LIST = """
return {redis.call('TTL', KEYS[1]), redis.call('HGETALL', KEYS[1])}
"""
