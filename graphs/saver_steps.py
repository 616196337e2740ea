"""Which step of a thread a run stored or read last: what Redis answered for, it has to have still.

A replica that became the primary has everything up to a moment, and nothing behind it. So a run
whose next checkpoint finds the one before in its place has lost none, and no value of any.
"""

from __future__ import annotations

from collections import OrderedDict

from redis.exceptions import RedisError

from graphs.fence import IDLE


class StepsLostError(RedisError):
    """Redis went on without steps that it had stored: the run has to go on from those it has."""


class KnownSteps:
    """The latest step of each run and namespace that this process has seen in Redis."""

    def __init__(self, *, places: int = 1024) -> None:
        self._seen: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._places = places

    def see(self, thread_id: str, namespace: str, stamp: str, checkpoint_id: str) -> None:
        """It is there. Writers that are no runs look anew each time, so nothing is kept of them."""
        if stamp in {"", IDLE}:
            return
        place = (thread_id, namespace, stamp)
        self._seen[place] = checkpoint_id
        self._seen.move_to_end(place)
        if len(self._seen) > self._places:
            self._seen.popitem(last=False)

    def find(self, thread_id: str, namespace: str, stamp: str, found: str, *, latest: bool) -> None:
        """A step was looked for, the latest or a certain one, and this one found, or none (``''``).

        Raises StepsLostError where a later one has been seen.
        """
        if latest and found < self._seen.get((thread_id, namespace, stamp), ""):
            raise StepsLostError(f"{thread_id}: Redis has lost the last steps of {stamp}")
        if found:
            self.see(thread_id, namespace, stamp, found)

    def has(self, thread_id: str, namespace: str, stamp: str, checkpoint_id: str) -> bool:
        """Whether this step was there when it was seen last."""
        return self._seen.get((thread_id, namespace, stamp)) == checkpoint_id
