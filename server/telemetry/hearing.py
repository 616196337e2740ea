"""Who hears a run's events in the process that works on it, beside the log: traces, metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from graphs import events
from graphs.scoped_saver import Saved
from server.runs.record import RunRecord
from server.telemetry.inner import Began, Ended

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Left:
    """This worker has let go of a run; nothing more of this attempt is heard. Never stored.

    ``ended``: its end or pause is stored. Without, another worker goes on, as far as this one knows
    (it stops, or lost its lease or Redis). ``lost``: another one has it, or may have it already.
    """

    ended: bool
    lost: bool = False


Heard = events.RunEvent | Saved | Left | Began | Ended
"""Only events of the run are in its log; the others are only heard."""


class Listener(Protocol):
    """Hears all that a worker's runs tell, in order: ``RunStarted`` first, ``Left`` last.

    The event that ends or pauses a run comes once it is stored. A run whose attempts are spent, or
    that was cancelled before it began, has an end without a ``RunStarted``.
    """

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        """Take note of an event of the attempt that ``record.token`` counts.

        ``at`` is wall time in seconds since the epoch. Must not wait and must not raise.
        """
        ...


class Listeners:
    """Several listeners as one. What one raises is logged once and harms nobody else."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self._failed: set[tuple[int, type[Exception]]] = set()

    def hear(self, record: RunRecord, event: Heard, /, *, at: float | None = None) -> None:
        """Tell each of them; ``at`` is now where nothing else is said."""
        if not self._listeners:
            return
        at = time.time() if at is None else at
        for place, one in enumerate(self._listeners):
            try:
                one.hear(record, event, at=at)
            except Exception as error:  # noqa: BLE001 - telemetry must not harm a run
                if (failure := (place, type(error))) not in self._failed:
                    self._failed.add(failure)
                    _log.exception("%s cannot hear %s", type(one).__name__, type(event).__name__)
