"""A run followed on LangGraph's wire: frames under durable ids, rendered once for many readers."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from redis.exceptions import RedisError

from graphs.event_log import START, Entry
from server.runs.record import RunNotFoundError, RunRecord
from server.wire import sse
from server.wire.rendering import Rendering, Shown, Wish
from server.wire.rendering_ids import BEGINNING, HEAD, TAIL, Position, at

KEPT = 256
"""How many entries of a run are kept as rendered, while somebody reads it."""

_log = logging.getLogger(__name__)

Blocks = Sequence[bytes]


class Readable(Protocol):
    """What is needed of the runs."""

    def events(self, run_id: str, *, after: str = START) -> AsyncIterator[Entry]: ...

    async def get(self, run_id: str, *, tenant: str = ...) -> RunRecord: ...


@dataclass(kw_only=True)
class _Screen:
    """What the readers of one run who want the same have in common."""

    readers: int = 0
    rendered: OrderedDict[str, Blocks] = field(default_factory=OrderedDict)

    def keep(self, entry_id: str, blocks: Blocks) -> None:
        self.rendered[entry_id] = blocks
        if len(self.rendered) > KEPT:
            self.rendered.popitem(last=False)


class Screens:
    """The runs that are being read in this process; a run is forgotten with its last reader."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, Wish], _Screen] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def reader(self, record: RunRecord, wish: Wish) -> Iterator[Reader]:
        """One more reader of a run, for as long as the context is open."""
        name = (record.run_id, wish)
        screen = self._open.setdefault(name, _Screen())
        screen.readers += 1
        try:
            yield Reader(Rendering(record, wish), screen)
        finally:
            screen.readers -= 1
            if not screen.readers:
                del self._open[name]


class Reader:
    """Gives the frames of entries, which come in order; what another rendered is not done again."""

    def __init__(self, rendering: Rendering, screen: _Screen) -> None:
        self.rendering = rendering
        self._screen = screen
        # Entries that others rendered, and that this rendering has not seen yet.
        self._unseen: list[Entry] = []

    def frames(self, entry: Entry) -> Blocks:
        """The frames of an entry, the first one numbered 1."""
        if entry.is_gap:
            # It has the id of an entry that is gone, and differs from reader to reader.
            return numbered(entry.id, self.rendering.show(entry))
        found = self._screen.rendered.get(entry.id)
        if found is not None:
            if self.rendering.needs_start:
                self._unseen.append(entry)
            return found
        for unseen in self._unseen:
            self.rendering.show(unseen)
        self._unseen.clear()
        found = numbered(entry.id, self.rendering.show(entry))
        self._screen.keep(entry.id, found)
        return found


def numbered(entry_id: str, shown: Sequence[Shown], *, first: int = 1) -> Blocks:
    """Events of one entry as frames under their ids."""
    return [
        _frame(one, position=at(entry_id, number)) for number, one in enumerate(shown, start=first)
    ]


def _frame(shown: Shown, *, position: Position) -> bytes:
    name, data = shown
    return sse.frame(data, event=name, id=str(position))


async def follow(
    runs: Readable,
    record: RunRecord,
    wish: Wish,
    *,
    screens: Screens,
    after: Position = BEGINNING,
) -> sse.Frames:
    """The run's frames behind a position, to its end or its pause.

    Whatever comes is under an id, so that a reader who was cut off at any byte and comes back
    with the last id misses nothing and gets nothing twice. An outage ends the stream without
    ``end``: clients look the run up and come back.
    """
    with screens.reader(record, wish) as reader:
        if after < HEAD:
            yield _frame(reader.rendering.head(), position=HEAD)
        try:
            async with aclosing(_entries(runs, record, reader, after=after)) as pieces:
                async for piece in pieces:
                    yield piece
        except (RedisError, OSError, RunNotFoundError) as error:
            _log.warning("run %s cannot be followed: %s", record.run_id, error)


async def _entries(
    runs: Readable, record: RunRecord, reader: Reader, *, after: Position
) -> sse.Frames:
    start = START if reader.rendering.needs_start or after <= HEAD else after.before
    last: Entry | None = None
    count, gaps, beyond = 0, 0, False
    entries = runs.events(record.run_id, after=start)
    async with aclosing(cast("Any", entries)) as following:
        async for entry in following:
            gaps += entry.is_gap
            if entry.is_gap and _has_seen(after, entry):
                continue
            last, frames = entry, reader.frames(entry)
            count = len(frames)
            # Entries come in order: once one is wholly behind the position, all are.
            beyond = beyond or at(entry.id, 1) > after
            if wanted := b"".join(frames) if beyond else _behind(after, entry.id, frames):
                yield wanted
    if last is not None and last.is_terminal:
        return
    if last is not None and last.is_pause:
        end = at(last.id, count + 1)
        if after < end:
            yield _frame(reader.rendering.pause(), position=end)
        return
    # The log does not hold the end: it was deleted, or has expired.
    found = reader.rendering.tail(await runs.get(record.run_id, tenant=record.tenant))
    frames = [_frame(one, position=_tail(number)) for number, one in enumerate(found, start=1)]
    # Its first event says that something is missing, which the log may have said.
    if rest := b"".join(frames[max(_seen_of_tail(after), min(gaps, 1)) :]):
        yield rest


def _behind(after: Position, entry_id: str, frames: Blocks) -> bytes:
    """The frames behind a position of an entry that is not wholly behind it."""
    return b"".join(frames[after.frame :]) if after.is_of(entry_id) else b""


def _has_seen(after: Position, gap: Entry) -> bool:
    """Whether a gap holds nothing that this reader has not seen."""
    return after.frame > 0 and at(gap.id, 0) <= after


def _tail(frame: int) -> Position:
    return Position(TAIL.ms, TAIL.seq, frame)


def _seen_of_tail(after: Position) -> int:
    return after.frame if (after.ms, after.seq) == (TAIL.ms, TAIL.seq) else 0
