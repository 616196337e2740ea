"""What a reply has said so far: all that another process needs to go on with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from server.slack.context import Place

STREAM = "stream"
EDIT = "edit"


@dataclass(kw_only=True)
class Said:
    """One run's reply. The answer is written in as many messages as it takes, one at a time.

    ``ts`` is the message being written and ``mode`` how; ``opening`` says when one was begun of
    which nobody knows yet whether it is there. ``told`` counts the steps it shows, of those behind
    ``base``. ``start`` is where in the answer it begins and ``sent`` what a stream has of it; with
    ``doubt`` a piece more may be there, with ``stopping`` the stream may have ended. ``waits`` is
    the pause that the run is in, ``waits_since`` and ``failing_since`` are Unix times.
    """

    tenant: str
    place: Place
    mode: str = ""
    ts: str = ""
    opening: str = ""
    base: int = 0
    told: int = 0
    offered: bool = False
    start: int = 0
    sent: int = 0
    doubt: bool = False
    stopping: bool = False
    said: bool = False
    uploaded: int = 0
    waits: int = -1
    waits_since: float = 0.0
    failing_since: float = 0.0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The reverse of ``stored``; what a newer version added is left out."""
        known = {one.name for one in dataclasses.fields(cls)}
        given = {name: value for name, value in stored.items() if name in known}
        return cls(**{**given, "place": Place.of(stored.get("place") or {})})

    def stored(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)

    @property
    def streams(self) -> bool:
        """Whether a stream is open, or may be."""
        return bool(self.ts) and self.mode == STREAM

    def closed(self) -> None:
        """The message is written; what comes next is another one."""
        self.ts, self.mode, self.opening = "", "", ""
        self.sent, self.told = 0, 0
        self.doubt, self.stopping, self.offered = False, False, False
