"""Telling this process's readers of a stream what was written, without reading it back.

A batch is kept under the id that it follows. A reader that stands at this id takes it from
memory; one that stands anywhere else reads the stream, so that a missed batch costs time,
never an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEPT_BATCHES = 256
BLOCK_MS = 1000
# For so long after a write of our own we expect the next one to be ours too.
LOCAL_SECONDS = 5.0
LAST_SECONDS = 0.05
# A process that writes elsewhere most likely writes here too, before it would hear of it.
AWAIT_SECONDS = 0.05

_log = logging.getLogger(__name__)


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


E = TypeVar("E", bound=_Identified)


class Change:
    """Set once, when something new may be read."""

    def __init__(self, over: Callable[[], None]) -> None:
        """``over`` has to set it: called when somebody has waited long enough."""
        self._event = asyncio.Event()
        self._over = over
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        self._event.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait(self, seconds: float) -> None:
        """Until the change, or until the time of the first who waits is up: one timer for all."""
        if self._timer is None and not self._event.is_set():
            self._timer = asyncio.get_running_loop().call_later(seconds, self._over)
        await self._event.wait()

    async def wait_alone(self, seconds: float) -> None:
        """The same for one whose time being up is no news to the others."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


class Topic(Generic[E]):
    """One stream that somebody in this process reads."""

    def __init__(self) -> None:
        self.readers = 0
        self.follower: asyncio.Task[None] | None = None
        self.changed = Change(self.wake)
        self.tail = ""
        self.written = float("-inf")
        self._batches: OrderedDict[str, Sequence[E]] = OrderedDict()

    def following(self, entry_id: str) -> Sequence[E] | None:
        """The batch that was written right after an id, if it is still at hand."""
        return self._batches.get(entry_id)

    def seen(self, entry_id: str) -> None:
        """A reader read the stream up to here."""
        if not self.tail:
            self.tail = entry_id
            # The follower waits for a place to start from.
            self.wake()

    def publish(self, *, after: str, batch: Sequence[E]) -> None:
        if not batch:
            return
        self._batches[after] = batch
        while len(self._batches) > KEPT_BATCHES:
            self._batches.popitem(last=False)
        self.tail = batch[-1].id
        self.wake()

    def forget(self) -> None:
        self._batches.clear()
        self.tail = ""
        self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, Change(self.wake)
        changed.set()


class Fanout(Generic[E]):
    """The streams that are being read here; a stream is forgotten with its last reader."""

    def __init__(self, redis: Redis, *, decode: Callable[[bytes, Any], E]) -> None:
        self._redis = redis
        self._decode = decode
        self._topics: dict[str, Topic[E]] = {}
        self._wrote = float("-inf")

    def __len__(self) -> int:
        return len(self._topics)

    def publish(self, key: str, *, after: str, batch: Sequence[E], last: bool = False) -> None:
        """Hand on what this process wrote to a stream behind the id ``after``.

        After its ``last`` batch another process may well be the next to write.
        """
        if not last:
            self._wrote = time.monotonic()
        if topic := self._topics.get(key):
            # Its readers leave mostly, so that nothing more has to be read.
            local = LAST_SECONDS - LOCAL_SECONDS if last else 0.0
            topic.written = time.monotonic() + local
            topic.publish(after=after, batch=batch)

    def forget(self, key: str) -> None:
        """The stream is gone: whoever waits for it has to look."""
        if topic := self._topics.get(key):
            topic.forget()

    @contextmanager
    def topic(self, key: str) -> Iterator[Topic[E]]:
        """Follow a stream for as long as the context is open."""
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic()
            topic.follower = asyncio.create_task(self._follow(key, topic), name=f"follow {key}")
        topic.readers += 1
        try:
            yield topic
        finally:
            topic.readers -= 1
            if topic.readers == 0:
                del self._topics[key]
                topic.wake()
                if topic.follower is not None:
                    topic.follower.cancel()

    async def _follow(self, key: str, topic: Topic[E]) -> None:
        """Notice what other processes write."""
        awaited = False
        # Before Python 3.12 `wait_for`, which the Redis client uses, may lose a cancel.
        while topic.readers:
            changed, tail = topic.changed, topic.tail
            quiet = topic.written + LOCAL_SECONDS - time.monotonic()
            if not tail or quiet > 0:
                await changed.wait_alone(min(quiet, BLOCK_MS / 1000) if tail else BLOCK_MS / 1000)
                continue
            if not awaited and time.monotonic() < self._wrote + LOCAL_SECONDS:
                awaited = True
                await changed.wait_alone(AWAIT_SECONDS)
                continue
            try:
                reply: Any = await self._redis.xread({key: tail}, block=BLOCK_MS)
            except (RedisError, OSError) as error:
                _log.warning("cannot follow %s: %s", key, error)
                await changed.wait_alone(BLOCK_MS / 1000)
                continue
            for _, entries in reply:
                batch = [self._decode(entry_id, fields) for entry_id, fields in entries]
                # Anything that was published meanwhile has told the readers already.
                if topic.tail == tail:
                    topic.publish(after=tail, batch=batch)
