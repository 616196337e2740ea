"""What a thread's runs have done to the world, in Redis: noted before it is done, and after it.

The notes are the thread's, so that a run that goes on where another one stopped finds them.
"""

from __future__ import annotations

from typing import Any

import orjson
from redis.asyncio import Redis

from graphs.effects import Intent, intent_of, stored
from graphs.fence import CHECK, obeyed
from graphs.keys import Keys
from server.runs.record import RunRecord
from tools.tool import Effect, ToolResult

RETENTION_SECONDS = 40 * 24 * 3600
"""How long a note is kept behind the last one of its thread: longer than anybody is waited for."""

_LONGEST = 100_000

# KEYS: notes, fence. ARGV: stamp, the call's key, its note, seconds to keep. Replies the note that
# was there before.
_INTEND = (
    CHECK
    + """
local wrong = refused(KEYS[2], ARGV[1])
if wrong then
  return wrong
end
local before = redis.call('HGET', KEYS[1], ARGV[2])
if not before then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return before
"""
)

_DONE = (
    CHECK
    + """
local wrong = refused(KEYS[2], ARGV[1])
if wrong then
  return wrong
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
)


class RedisEffects:
    """The notes of one attempt at a run; see ``graphs.effects.Effects``."""

    def __init__(self, redis: Redis, keys: Keys, record: RunRecord) -> None:
        self._names = [
            keys.thread_effects(record.tenant, record.thread_id),
            keys.fence(record.checkpoint_thread),
        ]
        self._stamp = record.fence if record.token else ""
        self._notes: dict[str, dict[str, Any]] = {}
        self._intend = redis.register_script(_INTEND)
        self._done = redis.register_script(_DONE)

    async def intend(self, key: str, *, tool: str, digest: str, effect: Effect) -> Intent:
        note = self._notes[key] = {"tool": tool, "digest": digest}
        before = await obeyed(
            self._intend,
            keys=self._names,
            args=[self._stamp, key, orjson.dumps(note), RETENTION_SECONDS],
        )
        return intent_of(None if before is None else orjson.loads(before), effect=effect)

    async def done(self, key: str, result: ToolResult) -> None:
        noted = stored(result)
        if len(noted["content"]) > _LONGEST:
            noted["content"] = noted["content"][:_LONGEST]
        note = orjson.dumps({**self._notes[key], "result": noted}, default=str)
        await obeyed(self._done, keys=self._names, args=[self._stamp, key, note, RETENTION_SECONDS])
