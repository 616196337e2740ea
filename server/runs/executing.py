"""What a worker needs of those that do a run's work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from graphs import events
from server.runs.emitter import Emit
from server.runs.endings import Outcome
from server.runs.record import RunRecord

OnPause = Callable[[RunRecord, events.RunInterrupted], Awaitable[None]]


class Executor(Protocol):
    """Does a run's work and gives the event that ends or pauses it, which it does not emit itself.

    It goes on from the thread's checkpoint where there is one: an attempt may be a second one. All
    that it writes carries ``record.fence``. It lets FencedError and RedisError through: then the
    run is another worker's, or has to wait for Redis.
    """

    def __call__(self, record: RunRecord, emit: Emit, /) -> Awaitable[Outcome]: ...
