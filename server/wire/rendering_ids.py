"""Ids of server-sent events, which map back to the log to the frame. Pure.

An entry of the log has an id ``ms-seq``. It may come to several frames; the ``n``-th of them, from
1, has the id ``ms-(seq * 1000 + n)``: of the same form, unique in a run, and growing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphs.event_log import START, position
from server.errors import Invalid

FRAMES = 1000
"""More frames than one entry ever comes to."""
_LARGEST = 2**64 - 1
_GIVEN = re.compile(r"(\d{1,18})(?:-(\d{1,22}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class Position:
    """A frame of a stream: the ``frame``-th of the log's entry ``ms-seq``.

    Frame 0 stands before the first one of its entry.
    """

    ms: int
    seq: int
    frame: int = 0

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq * FRAMES + self.frame}"

    @property
    def before(self) -> str:
        """The log's id to read on from, so that this entry is the next one."""
        if self.seq:
            return f"{self.ms}-{self.seq - 1}"
        return f"{self.ms - 1}-{_LARGEST}" if self.ms else START

    def is_of(self, entry_id: str) -> bool:
        """Whether this is a frame of an entry."""
        return position(entry_id) == (self.ms, self.seq)


BEGINNING = Position(0, 0)
"""Before everything."""
HEAD = Position(0, 0, 1)
"""The first frame of a run, which stands in no log."""
TAIL = Position(10**15, 0)
"""The end of a run that the log no longer holds."""


def at(entry_id: str, frame: int) -> Position:
    """The ``frame``-th frame, from 1, of an entry."""
    return Position(*position(entry_id), frame)


def behind(entry_id: str) -> Position:
    """Behind all frames of an entry."""
    return at(entry_id, FRAMES - 1)


def parsed(last_event_id: str | None) -> Position:
    """Behind which frame to go on; ``-1``, ``0``, ``-`` and nothing are the beginning.

    A time in milliseconds alone stands before what was written then. Raises Invalid.
    """
    given = (last_event_id or "").strip()
    if given in {"", "-", "-1", "0"}:
        return BEGINNING
    found = _GIVEN.fullmatch(given)
    if found is None or int(found[2] or 0) // FRAMES > _LARGEST:
        raise Invalid(
            "Last-Event-ID: not an id of this stream; send the last one received, or -1 for all",
            param="Last-Event-ID",
        )
    return Position(int(found[1]), *divmod(int(found[2] or 0), FRAMES))
