"""Pipes from and to a guest: read whenever there is something, kept up to a cap."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections.abc import Callable, Iterable

CHUNK = 64 * 1024
# As much as an unprivileged user can make a pipe hold.
_PIPE_BYTES = 1024 * 1024


class Capture:
    """Keeps the first ``limit`` bytes of a stream and tells them as text, as they come."""

    def __init__(self, limit: int, *, tell: Callable[[str], None] | None = None) -> None:
        self._room = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._tell = tell
        self.cut = False

    def feed(self, data: bytes) -> None:
        kept = data[: self._room]
        self._room -= len(kept)
        self.cut = self.cut or len(kept) < len(data)
        if kept:
            self._add(self._decoder.decode(kept))

    def text(self) -> str:
        """All that was kept; a character that was cut in two is replaced."""
        self._add(self._decoder.decode(b"", final=True))
        return "".join(self._parts)

    def _add(self, piece: str) -> None:
        if piece:
            self._parts.append(piece)
            if self._tell is not None:
                self._tell(piece)


class Tap:
    """Reads a pipe as long as it is open; ``ended`` is called at its end."""

    def __init__(
        self, descriptor: int, *, feed: Callable[[bytes], None], ended: Callable[[], None]
    ) -> None:
        self._descriptor = descriptor
        self._feed = feed
        self._ended = ended
        self._open = True
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._take)

    def drain(self) -> None:
        """Take what the pipe holds now."""
        taken = 0
        while taken <= _PIPE_BYTES and (data := self._take()):
            taken += data

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _take(self) -> int:
        if not self._open:
            return 0
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return 0
        if data:
            self._feed(data)
        else:
            self.close()
            self._ended()
        return len(data)


async def write(descriptor: int, pieces: Iterable[bytes]) -> None:
    """Write all of it to a pipe that does not block.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    for piece in pieces:
        view = memoryview(piece)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                await _writable(descriptor)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            ready.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)
