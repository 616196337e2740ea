"""The moves of a thread's files in Redis, each atomic; all keys share the thread's hash tag.

The listing is a hash: id to the file as JSON. Contents are strings by their SHA-256.
"""

from __future__ import annotations

# KEYS: listing, content, thread's record. ARGV: id, file as JSON, content, its size, most files,
# most bytes, most files of a run. Replies 'ok' and the file as it is kept, or why not: 'missing',
# 'taken' (another file has the upload's name), 'files', 'bytes', 'run'.
PUT = """
if redis.call('EXISTS', KEYS[3]) == 0 then
  return {'missing'}
end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
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
return {'ok', ARGV[2]}
"""

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
