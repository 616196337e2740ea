"""What an operator mends by hand: looks at runs of any state, and lets go of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from graphs.script_flags import ENDS
from server.runs.admission import ADMISSION
from server.runs.queue import RunQueue
from server.runs.record import RunConflictError
from server.runs.records import Queued, RunRecords

# ARGV[3]: tenant and ARGV[4]: thread, both as they stand within names; ARGV[5]: thread. Changes
# nothing where a live worker holds the thread. Replies `live`, run, worker, lease; or `free`, runs
# that were let go each with a word that says why, how many runs wait, runs for the queue.
_UNLOCK = (
    ENDS
    + ADMISSION
    + """
local q, h = ARGV[3], ARGV[4]
local holder = redis.call('GET', fence_key(q, h))
local held = holder and string.match(holder, '^(.*):[^:]*$')
local ids, seen = redis.call('ZRANGE', queue_key(q, h), 0, -1), {}
if held then
  ids[#ids + 1] = held
end
for _, id in ipairs(ids) do
  local run = about(id)
  if run and run.status == 'running' and tonumber(run.lease or 0) > now then
    return {'live', id, run.worker or '', run.lease}
  end
end
local freed = {}
local function free(id, why)
  if not seen[id] then
    seen[id] = true
    freed[#freed + 1] = id
    freed[#freed + 1] = why
  end
end
for _, id in ipairs(ids) do
  local run = about(id)
  if not run then
    redis.call('ZREM', queue_key(q, h), id)
    free(id, 'gone')
  elseif run.status == 'running' then
    back(id, run)
    free(id, 'lost')
  elseif run.status ~= 'pending' and not run.undo then
    redis.call('ZREM', queue_key(q, h), id)
    if id == held or redis.call('ZSCORE', queue_key(q, h), id) then
      free(id, 'over')
    end
  end
end
if held and redis.call('GET', fence_key(q, h)) == holder then
  redis.call('DEL', fence_key(q, h))
  free(held, 'fence')
end
local record = record_key(q, h)
local paused = redis.call('HGET', record, 'paused')
if paused and paused ~= '' and redis.call('HGET', run_key(paused), 'status') ~= 'interrupted' then
  redis.call('HSET', record, 'paused', '')
  free(paused, 'paused')
end
next_of(q, h)
settle({q = q, h = h, thread = ARGV[5]})
return {'free', freed, redis.call('ZCARD', queue_key(q, h)), unpack(queued())}
"""
)

_WHY = {
    b"gone": "its record is gone",
    b"lost": "its worker is gone; it begins again from its last step",
    b"over": "it is over",
    b"fence": "it does not run, and still kept others from writing",
    b"paused": "it does not wait for an answer any more",
}


@dataclass(frozen=True, kw_only=True)
class Released:
    """A run that a thread does not wait for any more, and why, in words."""

    run_id: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Unlocked:
    """What became of a thread: the runs that it was let go of, and how many wait now."""

    released: Sequence[Released]
    waiting: int


class Repairs:
    """Repairs that no wire has; each is one script, and none touches what a live worker holds."""

    def __init__(self, records: RunRecords, queue: RunQueue) -> None:
        self._records = records
        self._queue = queue
        self._unlock = records.redis.register_script(_UNLOCK)

    async def unlock(self, thread_id: str, *, tenant: str) -> Unlocked:
        """Let go of a thread whose run is over or has lost its worker.

        Raises RunConflictError where a live worker holds it; the message says who and until when.
        """
        quoted = self._records.keys.quoted
        reply = await self._records.call(self._unlock, quoted(tenant), quoted(thread_id), thread_id)
        if reply[0] == b"live":
            run_id, worker, lease = (word.decode() for word in reply[1:4])
            until = datetime.fromtimestamp(int(lease) / 1e6, tz=UTC)
            raise RunConflictError(
                f"thread {thread_id} is at work: worker {worker or 'unknown'} holds run {run_id} "
                f"until {until:%H:%M:%S} UTC and renews that; cancel the run instead "
                f"(`counterpoint runs cancel {run_id}`)"
            )
        words = reply[1]
        await self._queue.put_all(Queued.of(reply))
        return Unlocked(
            released=tuple(
                Released(run_id=run_id.decode(), why=_WHY[why])
                for run_id, why in zip(words[::2], words[1::2], strict=True)
            ),
            waiting=int(reply[2]),
        )
