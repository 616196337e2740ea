"""What has to happen to approvals by itself: over time, with their runs, or where somebody died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from server import patience
from server.approvals.record import ApprovalNotFoundError
from server.approvals.service import Approvals
from server.runs.record import RunConflictError, RunError

EVERY_SECONDS = 1.0
KEPT_SECONDS = 90 * 24 * 3600.0
"""How long an approval can be looked at after its end."""
AT_ONCE = 500

_log = logging.getLogger(__name__)


class ApprovalSweeper:
    """Looks at what is due, by Redis' clock; any number may sweep at the same time."""

    def __init__(self, approvals: Approvals, *, kept_seconds: float = KEPT_SECONDS) -> None:
        self._approvals = approvals
        self._store = approvals.store
        self._kept_seconds = kept_seconds

    async def sweep(self) -> None:
        """Expire, cancel, resume and forget what is due."""
        for approval_id, why in await self._store.orphans(most=AT_ONCE):
            try:
                one = await self._store.get(approval_id)
            except ApprovalNotFoundError:
                continue
            await self._approvals.cancel_orphan(one, why=why)
        for one in await self._store.many(await self._store.overdue(most=AT_ONCE)):
            await self._approvals.expire(one)
        for run_id, place in await self._store.due(most=AT_ONCE):
            if await self._resume(run_id):
                await self._store.said(run_id, place=place)
        await self._store.forget(older_than_seconds=self._kept_seconds, most=AT_ONCE)

    async def _resume(self, run_id: str) -> bool:
        try:
            return await self._approvals.resume(run_id)
        except RunConflictError:
            # Somebody was faster; what is left to say is said at its next pause.
            return False
        except RunError as error:
            _log.warning("run %s is decided and not yet resumed: %s", run_id, error)
            return False
        except ValueError:
            # What its approvals say cannot be told; the others must not wait for that.
            _log.exception("run %s is decided and cannot be resumed", run_id)
            return False


@asynccontextmanager
async def swept(
    sweeper: ApprovalSweeper, *, every_seconds: float = EVERY_SECONDS
) -> AsyncIterator[None]:
    """Sweep in the background, until the context is left."""

    async def forever() -> None:
        while True:
            try:
                await sweeper.sweep()
            except (RedisError, OSError) as error:
                _log.warning("approvals are not looked after for the moment: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("approvals cannot be looked after; trying again")
            await asyncio.sleep(every_seconds)

    task = asyncio.create_task(forever(), name="approval sweeper")
    try:
        yield
    finally:
        await patience.over(task)
