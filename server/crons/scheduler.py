"""Fires what is due. One in each worker process, and any of them is enough."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from redis.exceptions import RedisError

from server import patience
from server.clock import microseconds, moment
from server.crons.cron import Due
from server.crons.records import Crons
from server.crons.schedule import ScheduleError

POLL_SECONDS = 1.0
REMEMBERED = timedelta(hours=23)
"""For so long a firing that was made is known as such; see ``Runs.create``."""
LATE = timedelta(minutes=1)
"""So late after its ``end_time`` a cron may still fire what was due before."""

_log = logging.getLogger(__name__)


class NotFiredError(Exception):
    """This firing makes no run; the message says why, in one line."""


class NeverAgainError(NotFiredError):
    """Nor will any later one, until the cron is changed."""


Fire = Callable[[Due], Awaitable[None]]
"""Makes the run of a firing, and the same one when it is asked again. Raises NotFiredError."""


class Scheduler:
    """Claims what is due and has it fired.

    What was missed while nobody looked is made up for once, not once for each time.
    """

    def __init__(self, crons: Crons, *, fire: Fire) -> None:
        self._crons = crons
        self._fire = fire

    async def run(self) -> None:
        """Fire for ever."""
        while True:
            wait: float | None = None
            try:
                wait = await self.tick()
            except (RedisError, OSError) as error:
                _log.warning("cannot look for crons that are due: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("looking for crons that are due failed")
            await asyncio.sleep(POLL_SECONDS if wait is None else min(wait, POLL_SECONDS))

    async def tick(self) -> float | None:
        """Fire what is due now; gives the seconds until something may be, None for nothing."""
        while True:
            claimed = await self._crons.claim()
            done = await asyncio.gather(
                *(self._one(due) for due in claimed.due), return_exceptions=True
            )
            for due, result in zip(claimed.due, done, strict=True):
                if isinstance(result, BaseException):
                    # Its claim runs out, and it is fired then.
                    _log.warning("cron %s is not fired yet: %s", due.cron.cron_id, result)
            if not claimed.is_full:
                return 0.0 if claimed.due else claimed.wait

    async def _one(self, due: Due) -> None:
        cron, error, over = due.cron, None, False
        now = moment(await self._crons.clock())
        end = cron.definition.end_time
        if due.again and now - due.at > REMEMBERED:
            error = "this firing was begun by a process that died; whether it ran is not known"
        elif end is not None and now > end + LATE:
            error = "nothing ran when it was due, and end_time is over"
        else:
            try:
                await self._fire(due)
            except NotFiredError as refused:
                error, over = str(refused), isinstance(refused, NeverAgainError)
            except (RedisError, OSError):
                raise
            except Exception:  # noqa: BLE001 - one firing that fails keeps no other from coming
                _log.exception("cron %s failed inside", cron.cron_id)
                error = "it failed inside the server, whose log says more"
        if error is not None:
            _log.warning("cron %s made no run at %s: %s", cron.cron_id, due.at.isoformat(), error)
        after = max(now, due.at)
        try:
            coming = None if over else cron.definition.next(after)
        except ScheduleError as unknown:
            # A timezone that a newer database does not have any more.
            coming, error = None, str(unknown)
        to = None if coming is None else microseconds(coming)
        await self._crons.advance(due, to=to, error=error)


@asynccontextmanager
async def scheduling(scheduler: Scheduler) -> AsyncIterator[None]:
    """Fire in the background, until the context is left."""
    task = asyncio.create_task(scheduler.run(), name="cron scheduler")
    try:
        yield
    finally:
        await patience.over(task)
        with contextlib.suppress(asyncio.CancelledError):
            await task
