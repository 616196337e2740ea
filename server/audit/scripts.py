"""The Lua that adds an entry to a tenant's audit log: part of every script that has to be told.

Redis has no SHA-256 for scripts, so it is written out here. Only the link is hashed in Redis (two
hashes, number and time: 3 blocks); the body's hash comes with it, and `verify` checks it.
"""

from __future__ import annotations

# `audit(q, body, digest)` chains one entry to the last, in the same move as what it tells. Needs
# RUN_NAMES, APPROVAL_NAMES and `stamp` before it. Replies the entry's number.
AUDIT = r"""
local ROUND = {}
local function roots()
  -- The first 32 bits of the fractions of the cube roots of the first 64 primes.
  local n = 2
  while #ROUND < 64 do
    local prime = true
    for d = 2, math.floor(math.sqrt(n)) do
      if n % d == 0 then
        prime = false
        break
      end
    end
    if prime then
      local root = n ^ (1 / 3)
      ROUND[#ROUND + 1] = math.floor((root - math.floor(root)) * 4294967296)
    end
    n = n + 1
  end
end

local function sha256(text)
  local band, bxor, bnot, ror, shift = bit.band, bit.bxor, bit.bnot, bit.ror, bit.rshift
  local tobit, byte = bit.tobit, string.byte
  if #ROUND == 0 then
    roots()
  end
  local length = #text
  text = text .. '\128' .. string.rep('\0', (55 - length) % 64) .. '\0\0\0\0'
  local bits = length * 8
  text = text .. string.char(math.floor(bits / 16777216) % 256, math.floor(bits / 65536) % 256,
    math.floor(bits / 256) % 256, bits % 256)
  local H = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
  local w = {}
  for block = 1, #text, 64 do
    for i = 1, 16 do
      local p, q, r, s = byte(text, block + i * 4 - 4, block + i * 4 - 1)
      w[i] = ((p * 256 + q) * 256 + r) * 256 + s
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      w[i] = tobit(w[i - 16] + bxor(ror(x, 7), ror(x, 18), shift(x, 3)) + w[i - 7]
        + bxor(ror(y, 17), ror(y, 19), shift(y, 10)))
    end
    local a, b, c, d, e, f, g, h = unpack(H)
    for i = 1, 64 do
      local first = h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g))
        + ROUND[i] + w[i]
      local second = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
        + bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + first), c, b, a, tobit(first + second)
    end
    for i, add in ipairs({a, b, c, d, e, f, g, h}) do
      H[i] = tobit(H[i] + add)
    end
  end
  local hex = {}
  for i = 1, 8 do
    hex[i] = bit.tohex(H[i])
  end
  return table.concat(hex)
end

local function audit(q, body, digest)
  local head = redis.call('HMGET', audit_head_key(q), 'seq', 'hash')
  local seq = string.format('%.0f', tonumber(head[1] or 0) + 1)
  local prev = head[2] or string.rep('0', 64)
  local hash = sha256(prev .. '\n' .. seq .. '\n' .. stamp .. '\n' .. digest)
  redis.call('XADD', audit_key(q), seq .. '-0', 'at', stamp, 'body', body, 'prev', prev,
    'hash', hash)
  redis.call('HSET', audit_head_key(q), 'seq', seq, 'hash', hash)
  return seq
end
"""

CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamp = string.format('%.0f', now)
"""

# KEYS[1] is the prefix. ARGV: the tenant as it stands in names, then body and digest by turns.
APPEND = """
local seq
for i = 2, #ARGV, 2 do
  seq = audit(ARGV[1], ARGV[i], ARGV[i + 1])
end
return seq
"""

# KEYS[1] is the prefix. ARGV: for each tenant how it stands in names, the digest of its rules, body
# and digest of the line. Replies how many logs knew another policy as the last one.
POLICY = """
local told = 0
for i = 1, #ARGV, 4 do
  if redis.call('HGET', audit_head_key(ARGV[i]), 'policy') ~= ARGV[i + 1] then
    redis.call('HSET', audit_head_key(ARGV[i]), 'policy', ARGV[i + 1])
    audit(ARGV[i], ARGV[i + 2], ARGV[i + 3])
    told = told + 1
  end
end
return told
"""
