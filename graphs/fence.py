"""Which writer a thread listens to: a run that lost its lease writes nothing any more.

A thread's fence names the run that holds it, and the number of the claim. Every script that writes
for a run compares its own stamp with it, in the same move as the write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

# The prefix is what LangGraph strips from the configs that it streams (debug, checkpoints).
FENCE = "__pregel_fence"
"""Key in ``config["configurable"]``: the writer's stamp. Never stored, never given back."""

IDLE = "-"
"""The stamp of a writer that is no run: refused while any run holds the thread."""

REFUSED = "FENCED"
"""How a script's error starts when it refused a write."""

# Every script that writes under a fence puts this first; ``refused`` replies the error or nil.
# A stamp of '' is not checked.
CHECK = """
local function refused(key, stamp)
  if stamp == '' then
    return nil
  end
  local holder = redis.call('GET', key)
  if stamp == '-' then
    if not holder then
      return nil
    end
  elseif holder == stamp then
    return nil
  end
  return redis.error_reply('FENCED held by ' .. (holder or 'nobody'))
end
"""


class FencedError(Exception):
    """The write was refused, another writer holds the thread: whoever gets this has to stop."""


def stamp(run_id: str, token: int) -> str:
    """What a run's writes carry: its id, and the number of the claim that it runs under."""
    return f"{run_id}:{token}"


async def obeyed(script: AsyncScript, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Call a script that writes under a fence. Raises FencedError."""
    try:
        return await script(keys=keys, args=args)
    except ResponseError as error:
        if str(error).startswith(REFUSED):
            raise FencedError(str(error)) from None
        raise
