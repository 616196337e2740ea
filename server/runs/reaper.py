"""Brings back what was stored and then forgotten: by a crash, a lost enqueue, a worker's death."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from server.runs.leases import BATCH, Leases
from server.runs.queue import RunQueue
from server.runs.telling import Teller

SWEEP_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Reaper:
    """Looks at all runs again and again; one in each worker, and any of them is enough."""

    def __init__(self, *, leases: Leases, teller: Teller, queue: RunQueue) -> None:
        self._leases = leases
        self._teller = teller
        self._queue = queue

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except (RedisError, OSError) as error:
                _log.warning("cannot look for forgotten runs: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("looking for forgotten runs failed")

    async def sweep(self, *, alone: bool = False) -> None:
        """One look. ``alone``: nobody works now, whatever is said to run does not."""
        while True:
            found = await self._leases.reap(alone=alone)
            if found.lost:
                _log.warning("taking up %d runs whose worker is gone", len(found.lost))
            await self._queue.put_all(found.queued)
            for run_id in found.untold:
                await self._tell(run_id)
            if len(found.lost) < BATCH:
                return

    async def _tell(self, run_id: str) -> None:
        try:
            queued = await self._teller.tell_late(run_id)
        except (RedisError, OSError):
            raise
        except Exception:  # noqa: BLE001 - one that this version cannot read keeps no other waiting
            _log.exception("run %s has ended or paused, and cannot be told", run_id)
        else:
            await self._queue.put_all(queued)
