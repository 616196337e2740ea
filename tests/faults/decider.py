"""A process of people who decide, all at once: it waits for the start, then says what came of it.

Where it is to die it does so with the first decision stored and the run not told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

from graphs.keys import Keys
from guardrails.policy import Choice
from server.approvals.record import (
    AlreadyDecidedError,
    ExpiredError,
    UnconfirmedDecisionError,
)
from server.approvals.service import Approvals
from server.auth import Caller
from server.redis_client import open_redis
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.sections import CallerRole
from tests.faults.nursery import say
from tests.faults.queue import approvals_of
from tests.faults.world import World

AT_ONCE = 40
_OPERATOR = frozenset({CallerRole.OPERATOR})


def main(spec: dict[str, Any]) -> int:
    """Take the decisions of the spec: ``id``, ``choice``, ``who``, ``via`` each."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(_decide(spec))
    return 0


async def _decide(spec: dict[str, Any]) -> None:
    keys = Keys()
    async with AsyncExitStack() as stack:
        redis = open_redis(spec["url"])
        stack.push_async_callback(redis.aclose)
        outside = open_redis(spec["world"])
        stack.push_async_callback(outside.aclose)
        queue = await stack.enter_async_context(RunQueue(spec["url"], keys))
        approvals = approvals_of(redis, keys, queue, records=RunRecords(redis, keys))
        if spec.get("dies"):
            approvals.resume = _die  # type: ignore[method-assign]
        world = World(outside)
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(told: dict[str, str]) -> None:
            async with turn:
                came_of_it = await _said(approvals, told)
            await world.tell_outcome({**told, "outcome": came_of_it})

        say(now="ready", pid=os.getpid())
        await world.started()
        await asyncio.gather(*map(one, spec["decisions"]))


async def _said(approvals: Approvals, told: dict[str, str]) -> str:
    caller = Caller(name=told["who"], roles=_OPERATOR)
    while True:
        try:
            await approvals.decide(
                told["id"],
                tenant=caller.tenant,
                caller=caller,
                choice=Choice(told["choice"]),
                via=told["via"],
            )
        except AlreadyDecidedError:
            return "lost"
        except ExpiredError:
            return "late"
        except UnconfirmedDecisionError:
            continue
        return "won"


async def _die(run_id: str) -> bool:
    del run_id
    os.kill(os.getpid(), signal.SIGKILL)
    return False
