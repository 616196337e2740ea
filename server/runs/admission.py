"""Whose run is next: what every script of the runs knows of threads, tenants and free slots.

A run that may begin is the head of its thread's queue. It waits among its tenant's, and the tenant
waits for its turn: the one with the fewest runs under way is first, and of several such the one
that has waited longest. No more runs are let into the engine's queue than the workers have slots,
so that a flood stays where it can be overtaken. All of it is O(log n) for a move.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphs.keys import RUN_NAMES
from server.threads.scripts import INDEXED

FORMAT = 1
"""The number of the stored form of a run. A worker that meets a newer one leaves it to others."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """``tenant_concurrency``: most runs of one tenant at once, 0 for no limit. ``window``: how many
    runs are let in while no worker is there to say what it takes."""

    tenant_concurrency: int = 0
    window: int = 8


# ARGV[1]: Admission.tenant_concurrency, ARGV[2]: Admission.window. `now` is a number, `stamp` the
# same as digits: Lua's own conversion would lose some of them.
ADMISSION = (
    RUN_NAMES
    + INDEXED
    + """
local LIMIT, WINDOW = tonumber(ARGV[1]), tonumber(ARGV[2])
local STEP = 1099511627776
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamp = string.format('%.0f', now)
-- What the caller has to put on the engine's queue: for the first time, and again.
local first, again = {}, {}

local ABOUT = {'status', 'q', 'h', 'thread', 'tenant', 'token', 'order', 'temporary', 'action',
  'attempts', 'cancel', 'worker', 'nonce', 'claimed', 'format', 'lease',
  'undo'}
local function about(run)
  local found, fields = redis.call('HMGET', run_key(run), unpack(ABOUT)), {}
  for i, name in ipairs(ABOUT) do
    fields[name] = found[i]
  end
  return fields.status and fields or nil
end

-- A tenant stands in line while it has a run that may begin and is below its limit.
local function offer(q)
  local under_way = redis.call('SCARD', running_key(q))
  if redis.call('EXISTS', waiting_key(q)) == 0 or (LIMIT > 0 and under_way >= LIMIT) then
    redis.call('ZREM', TURNS, q)
    return
  end
  local place = redis.call('ZSCORE', TURNS, q)
  if not place or math.floor(place / STEP) ~= under_way then
    local turn = redis.call('INCR', TURN)
    redis.call('ZADD', TURNS, string.format('%.0f', under_way * STEP + turn), q)
  end
end

local function dispatch()
  local slots = tonumber(redis.call('GET', CAPACITY) or 0)
  local room = (slots > 0 and slots or WINDOW) - redis.call('ZCARD', DISPATCHED)
  while room > 0 do
    local q = redis.call('ZPOPMIN', TURNS)[1]
    if not q then
      return
    end
    local run = redis.call('ZPOPMIN', waiting_key(q))[1]
    if run and redis.call('HGET', run_key(run), 'status') == 'pending' then
      redis.call('SADD', running_key(q), run)
      redis.call('ZADD', DISPATCHED, stamp, run)
      local put = redis.call('HINCRBY', run_key(run), 'puts', 1) == 1 and first or again
      put[#put + 1] = run
      room = room - 1
    end
    offer(q)
  end
end

local function withdraw(run, q)
  redis.call('ZREM', DISPATCHED, run)
  redis.call('ZREM', LEASES, run)
  redis.call('ZREM', PARKED, run)
  redis.call('ZREM', DUE, run)
  redis.call('ZREM', CANCELS, run)
  redis.call('SREM', running_key(q), run)
  redis.call('ZREM', waiting_key(q), run)
  offer(q)
end

-- The first of a thread's runs may begin.
local function next_of(q, h)
  while true do
    local head = redis.call('ZRANGE', queue_key(q, h), 0, 0, 'WITHSCORES')
    if not head[1] then
      return
    end
    local status = redis.call('HGET', run_key(head[1]), 'status')
    if status then
      if status == 'pending' and not redis.call('ZSCORE', DISPATCHED, head[1])
        and not redis.call('ZSCORE', PARKED, head[1]) then
        redis.call('ZADD', waiting_key(q), head[2], head[1])
        offer(q)
      end
      return
    end
    redis.call('ZREM', queue_key(q, h), head[1])
  end
end

-- What the thread's record says, after its runs have changed.
local function settle(run)
  local record = record_key(run.q, run.h)
  if redis.call('EXISTS', record) == 0 then
    return
  end
  local paused, failed = unpack(redis.call('HMGET', record, 'paused', 'error'))
  local status = 'idle'
  if redis.call('EXISTS', queue_key(run.q, run.h)) == 1 then
    status = 'busy'
  elseif paused and paused ~= '' then
    status = 'interrupted'
  elseif failed then
    status = 'error'
  end
  put_status(record, threads_by(run.q), run.thread, status)
  redis.call('HSET', record, 'updated_at', stamp)
  redis.call('ZADD', updated_key(run.q), stamp, run.thread)
end

local function enter(id, run, order)
  redis.call('ZADD', queue_key(run.q, run.h), order, id)
  next_of(run.q, run.h)
  settle(run)
end

local function leave(id, run)
  redis.call('ZREM', queue_key(run.q, run.h), id)
  next_of(run.q, run.h)
  settle(run)
end

-- Nobody writes for this run any more.
local function unfence(id, run)
  local key = fence_key(run.q, run.h)
  local holder = redis.call('GET', key)
  if holder and string.sub(holder, 1, #id + 1) == id .. ':' then
    redis.call('DEL', key)
  end
end

-- A thread's list of runs outlasts each of them: the last one begins in so many seconds.
local function keep_list(run, later)
  local list, seconds = thread_runs_key(run.q, run.h), math.ceil(90 * 86400 + later)
  if redis.call('TTL', list) < seconds then
    redis.call('EXPIRE', list, seconds)
  end
end

-- A run ends ('success', ...) or pauses ('interrupted'); `told` is the event that says so. One
-- that is to be taken back keeps its thread until that is done.
local function finish(id, run, status, failed, told, retention)
  local key = run_key(id)
  redis.call('HSET', key, 'status', status, 'updated_at', stamp, 'end', told)
  redis.call('HDEL', key, 'lease', 'worker', 'nonce')
  if failed ~= '' then
    redis.call('HSET', key, 'error', failed)
  end
  withdraw(id, run.q)
  unfence(id, run)
  redis.call('ZADD', UNTOLD, stamp, id)
  local record = record_key(run.q, run.h)
  if redis.call('EXISTS', record) == 1 then
    redis.call('HSET', record, 'state_updated_at', stamp)
    if status == 'interrupted' then
      redis.call('HSET', record, 'paused', id)
    elseif redis.call('HGET', record, 'paused') == id then
      redis.call('HSET', record, 'paused', '')
    end
    if status == 'error' or status == 'timeout' then
      redis.call('HSET', record, 'error', failed)
    end
  end
  if status == 'cancelled' and run.action == 'rollback' then
    redis.call('HSET', key, 'undo', 1)
    redis.call('ZADD', queue_key(run.q, run.h), run.order, id)
    settle(run)
    return
  end
  if status == 'interrupted' then
    -- Nobody knows for how long it waits.
    redis.call('PERSIST', thread_runs_key(run.q, run.h))
  else
    redis.call('EXPIRE', key, retention)
    if (redis.call('HGET', record, 'paused') or '') == '' then
      keep_list(run, 0)
    end
  end
  leave(id, run)
end

-- A pending run goes back to where it waits, at the place that it had.
local function back(id, run)
  withdraw(id, run.q)
  unfence(id, run)
  redis.call('HDEL', run_key(id), 'lease', 'worker', 'nonce')
  redis.call('HSET', run_key(id), 'status', 'pending', 'updated_at', stamp)
  next_of(run.q, run.h)
end

local function queued()
  dispatch()
  return {first, again}
end
"""
)
