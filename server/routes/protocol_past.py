"""What a reader of a thread is not told again: the ends of runs that were over before it came."""

from __future__ import annotations

from uuid import UUID

from server.clock import microseconds
from server.routes.run_answers import Desk
from server.wire.protocol import Subscription
from server.wire.protocol_stream import Past
from server.wire.rendering_ids import BEGINNING, Position

FRESH_SECONDS = 2.0
"""So long after it began its only run, a client may still come to hear how that has ended."""
_LATEST = 50


async def past_of(
    desk: Desk, thread_id: UUID, wanted: Subscription, *, after: Position = BEGINNING
) -> Past | None:
    """What is over for one who waits for what comes; None for all others.

    The Python client takes the first end that it hears of for that of the run it has started, or
    is about to start.
    """
    if not wanted.watches or after > BEGINNING:
        return None
    runs, tenant = desk.house.runs, desk.caller.tenant
    newest = await runs.newest(str(thread_id), tenant=tenant)
    latest = await runs.of_thread(str(thread_id), tenant=tenant, limit=_LATEST)
    over = [one for one in latest if one.status.is_terminal]
    if len(latest) == 1 and over and over[0].created_at is not None:
        age = await desk.house.crons.clock() - microseconds(over[0].created_at)
        if age < FRESH_SECONDS * 1_000_000:
            return None
    return Past(
        newest=newest,
        known=frozenset(one.run_id for one in latest),
        over=frozenset(one.run_id for one in over),
    )
