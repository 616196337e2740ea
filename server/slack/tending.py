"""Does what is owed, one task an item, in every process that serves; any of them is enough."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.exceptions import RedisError

from server import patience
from server.slack.owed import Item, LostError, Owed
from server.slack.web import RateLimited, SlackError

POLL_SECONDS = 0.5
_LONGEST_PAUSE = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Again:
    """It is not over: look at it again in so many seconds, though nothing went wrong."""

    seconds: float


Handle = Callable[[Item], Awaitable[Again | None]]
"""Does an item; None says that it is over. What it raises is tried again."""


class Tender:
    """Claims items and has each handled for as long as its lease is kept."""

    def __init__(self, owed: Owed, handle: Handle, *, what: str, at_once: int = 64) -> None:
        self._owed = owed
        self._handle = handle
        self._what = what
        self._at_once = at_once
        self._under_way: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    def hurry(self) -> None:
        """There is something new; do not wait for the next look."""
        self._news.set()

    async def run(self) -> None:
        """Tend for ever."""
        while True:
            wait: float | None = None
            self._news.clear()
            try:
                wait = await self._begin()
            except (RedisError, OSError) as error:
                _log.warning("cannot look for %s: %s", self._what, error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("looking for %s failed", self._what)
            if len(self._under_way) >= self._at_once:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                continue
            seconds = POLL_SECONDS if wait is None else min(wait, POLL_SECONDS)
            # Told here or due by then, whichever is first.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.02)):
                    await self._news.wait()

    async def close(self) -> None:
        """Leave what is under way to others, at once."""
        await patience.over(*self._under_way)

    async def _begin(self) -> float | None:
        items, wait = await self._owed.claim(most=self._at_once - len(self._under_way))
        for item in items:
            task = asyncio.create_task(self._one(item), name=f"slack {self._what}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return wait

    async def _one(self, item: Item) -> None:
        try:
            await self._settled(item)
        except LostError:
            _log.info("%s %s goes on in another process", self._what, item.item_id)
        except (RedisError, OSError) as error:
            _log.warning("%s %s is tried again: %s", self._what, item.item_id, error)
        except asyncio.CancelledError:
            # Others need not wait for the end of the lease.
            with contextlib.suppress(LostError, RedisError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._owed.again(item, 0.0, calm=True)
            raise
        except Exception:  # noqa: BLE001 - the edge of a task that nobody waits for
            _log.exception("%s %s failed inside", self._what, item.item_id)

    async def _settled(self, item: Item) -> None:
        try:
            next_look = await self._kept(item)
        except RateLimited as limited:
            _log.info("%s %s waits: %s", self._what, item.item_id, limited)
            await self._owed.again(item, limited.seconds)
        except LostError:
            raise
        except (SlackError, RedisError, OSError) as error:
            seconds = pause(item.attempts)
            _log.warning(
                "%s %s is tried again in %g s: %s", self._what, item.item_id, seconds, error
            )
            await self._owed.again(item, seconds)
        except Exception:  # noqa: BLE001 - what one item brings about is no other's trouble
            _log.exception("%s %s failed inside; it is tried again", self._what, item.item_id)
            await self._owed.again(item, pause(item.attempts))
        else:
            if next_look is None:
                await self._owed.end(item)
            else:
                await self._owed.again(item, next_look.seconds, calm=True)

    async def _kept(self, item: Item) -> Again | None:
        """Handle it while its lease is renewed; once that is lost, stop at once."""
        work = asyncio.ensure_future(self._handle(item))
        try:
            while True:
                done, _ = await asyncio.wait({work}, timeout=self._owed.lease_seconds / 3)
                if done:
                    return work.result()
                await self._owed.renew(item)
        finally:
            if not work.done():
                await patience.over(work)


def pause(attempts: int) -> float:
    """Seconds before another attempt, after so many."""
    return float(min(2.0 ** max(0, attempts - 1), _LONGEST_PAUSE))


@asynccontextmanager
async def tending(*tenders: Tender) -> AsyncIterator[None]:
    """Tend in the background, until the context is left."""
    tasks = [asyncio.create_task(one.run(), name="slack tender") for one in tenders]
    try:
        yield
    finally:
        await patience.over(*tasks)
        for one in tenders:
            await one.close()
