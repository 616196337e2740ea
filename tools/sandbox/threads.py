"""A session for each thread: kept between steps and turns, put to sleep when nobody comes.

A session that sleeps is a snapshot of its files; the next cell wakes it with those, and without
its variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tools.sandbox.sandbox import MEBIBYTE, Isolation, Sandbox, SandboxError, Session
from tools.sandbox.snapshots import MemorySnapshots, Snapshots

SNAPSHOT_BYTES = 64 * MEBIBYTE
"""Most bytes of one session's files that outlive it; what is beyond is left behind."""
_LOOK_SECONDS = 10.0
# Beside a snapshot's files, where no file of a guest's can be: hidden ones are left out.
_LAID = ".laid"

_log = logging.getLogger(__name__)


def key_of(tenant: str, thread_id: str) -> str:
    """The key of a thread's session."""
    return f"{tenant}:{thread_id}"


@dataclass(kw_only=True, eq=False)
class Held:
    """A thread's session, as a caller has it; ``woken`` where it slept since the last time.

    ``laid`` is the caller's to write: which file of the user's (by its id) lies under which name.
    """

    session: Session
    woken: bool
    laid: dict[str, str]


@dataclass(kw_only=True, eq=False)
class _Place:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None
    laid: dict[str, str] = field(default_factory=dict)
    wanted: int = 0
    """Callers that have it or wait for it."""
    used: float = 0.0


class ThreadSessions:
    """Sessions by key, ``most`` awake at a time: a further one puts the longest idle to sleep,
    or waits where all are at work. ``clock`` gives seconds."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        snapshots: Snapshots | None = None,
        most: int = 8,
        idle_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sandbox = sandbox
        self._snapshots = snapshots or MemorySnapshots()
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._most = most
        self._changed = asyncio.Condition()
        self._opening = 0
        self._closed = False

    @property
    def awake(self) -> tuple[str, ...]:
        """Keys of the sessions that are open, longest idle first."""
        open_ones = [(one.used, key) for key, one in self._places.items() if one.session]
        return tuple(key for _, key in sorted(open_ones))

    def describe(self) -> Isolation:
        return self._sandbox.describe()

    @contextlib.asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[Held]:
        """The session under ``key``, nobody else's until the block is left.

        Raises:
            SandboxError: none could be opened.
        """
        place = self._places.setdefault(key, _Place())
        place.wanted += 1
        try:
            async with place.turn:
                if self._closed:
                    raise SandboxError("the sandbox is closed")
                held = await self._open(key, place)
                try:
                    yield held
                finally:
                    place.used = self._clock()
        finally:
            place.wanted -= 1
            self._tidy(key, place)
            async with self._changed:
                self._changed.notify_all()

    async def put_to_sleep(self) -> int:
        """Those that were idle for too long; how many they were."""
        latest = self._clock() - self._idle_seconds
        keys = [key for key in self.awake if self._idle(key) and self._places[key].used <= latest]
        slept = 0
        for key in keys:
            # Somebody may have come for it, or it is gone, while the one before went to sleep.
            if self._idle(key) and self._places[key].used <= latest:
                await self._sleep(key)
                slept += 1
        return slept

    async def forget(self, key: str) -> None:
        """End the session and drop its files: its thread is gone."""
        place = self._places.get(key)
        if place is not None:
            async with place.turn:
                if place.session is not None:
                    await place.session.close()
                    place.session = None
            self._tidy(key, place)
        await self._snapshots.drop(key)

    async def close(self) -> None:
        """Put all to sleep; later calls raise SandboxError."""
        self._closed = True
        for key in self.awake:
            await self._sleep(key)

    async def watch(self) -> None:
        """Put idle sessions to sleep as time goes by, until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._idle_seconds))
            await self.put_to_sleep()

    def _idle(self, key: str) -> bool:
        place = self._places.get(key)
        return place is not None and place.session is not None and not place.wanted

    async def _open(self, key: str, place: _Place) -> Held:
        if place.session is not None:
            return Held(session=place.session, woken=False, laid=place.laid)
        async with self._changed:
            while len(self.awake) + self._opening >= self._most:
                idle = next((one for one in self.awake if self._idle(one)), None)
                if idle is not None:
                    await self._sleep(idle)
                else:
                    await self._changed.wait()
            self._opening += 1
        try:
            files = await self._loaded(key)
            woken, laid = bool(files), json.loads(files.pop(_LAID, b"{}"))
            place.session = await self._sandbox.create(files=files)
            place.laid = laid
        finally:
            self._opening -= 1
        return Held(session=place.session, woken=woken, laid=place.laid)

    async def _loaded(self, key: str) -> dict[str, bytes]:
        try:
            return await self._snapshots.load(key)
        except OSError:
            _log.exception("the files of a session cannot be read again")
            return {}

    async def _sleep(self, key: str) -> None:
        place = self._places.get(key)
        if place is None:
            return
        async with place.turn:
            session = place.session
            if session is None:
                return
            try:
                # Also without a file: that it slept has to be known when it wakes.
                laid = {_LAID: json.dumps(place.laid).encode()}
                await self._snapshots.save(key, await _files(session) | laid)
            except (OSError, SandboxError):
                _log.exception("the files of a session are lost")
            place.session = None
            await session.close()
        self._tidy(key, place)

    def _tidy(self, key: str, place: _Place) -> None:
        if place.session is None and not place.wanted and not place.turn.locked():
            self._places.pop(key, None)


async def _files(session: Session) -> dict[str, bytes]:
    """The newest files first, while they fit."""
    kept: dict[str, bytes] = {}
    room = SNAPSHOT_BYTES
    entries = await session.files()
    for entry in sorted(entries, key=lambda entry: entry.modified, reverse=True):
        if entry.size <= room:
            with contextlib.suppress(FileNotFoundError, SandboxError):
                kept[entry.path] = await session.get(entry.path)
                room -= len(kept[entry.path])
    return kept
