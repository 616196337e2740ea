"""A child process as another user, with its pipes and its end on whichever event loop runs.

uvloop's own way to start a process cannot change the user; asyncio's loop can, and is slower in
all else that a server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

PIPE = subprocess.PIPE


class _Reading(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        super().eof_received()
        # Nothing is written this way: uvloop would keep the pipe open for it.
        return False


class Child:
    """A process that was started here. ``stdin``, ``stdout`` and ``stderr`` are None where it was
    given descriptors of ours; ``returncode`` is None until it has ended and somebody waited."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._handle = os.pidfd_open(process.pid)
        self.stdin: StreamWriter | None = None
        self.stdout: StreamReader | None = None
        self.stderr: StreamReader | None = None
        asyncio.get_running_loop().add_reader(self._handle, self._end)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As ``subprocess`` tells it: negative for the signal that killed it."""
        return self._process.returncode

    def kill(self) -> None:
        """Does nothing to a process that has ended."""
        self._process.kill()

    async def wait(self) -> int:
        """Its exit code, once it has ended; its pipes may hold more."""
        return await asyncio.shield(self._ended)

    def _end(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        if not self._ended.done():
            self._ended.set_result(code)

    async def attach(self, *, limit: int) -> None:
        """Join its pipes to the loop. ``limit``: bytes of output held before it has to wait."""
        process = self._process
        try:
            if process.stdin is not None:
                self.stdin = await _writer(process.stdin)
            if process.stdout is not None:
                self.stdout = await _reader(process.stdout, limit=limit)
            if process.stderr is not None:
                self.stderr = await _reader(process.stderr, limit=limit)
        except BaseException:
            _close(
                process.stdin if self.stdin is None else None,
                process.stdout if self.stdout is None else None,
                process.stderr if self.stderr is None else None,
            )
            raise


def start(
    words: Sequence[str],
    *,
    executable: Path,
    streams: tuple[int, int, int] = (PIPE, PIPE, PIPE),
    kept: Sequence[int] = (),
    user: int | None = None,
) -> Child:
    """Start a process with an empty environment, in a session of its own, at the root of the disk.

    ``words`` is what its command line says; ``kept`` are descriptors that it gets under their
    numbers; ``user`` is the number that it changes to, as user and as only group. Call ``attach``
    before reading or writing. Raises OSError.
    """
    stdin, stdout, stderr = streams
    process = subprocess.Popen(  # noqa: S603 - a program of the operator's, no shell
        words,
        executable=executable,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd="/",
        env={},
        pass_fds=kept,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    try:
        return Child(process)
    except BaseException:
        process.kill()
        _close(process.stdin, process.stdout, process.stderr)
        process.wait()
        raise


def _close(*pipes: IO[bytes] | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


async def _reader(pipe: IO[bytes], *, limit: int) -> StreamReader:
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    await loop.connect_read_pipe(lambda: _Reading(reader, loop=loop), pipe)
    return reader


async def _writer(pipe: IO[bytes]) -> StreamWriter:
    loop = asyncio.get_running_loop()
    # The same protocol at the other end: it lets a writer wait, and hears when nobody reads.
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(StreamReader(loop=loop), loop=loop), pipe
    )
    return StreamWriter(transport, protocol, None, loop)
