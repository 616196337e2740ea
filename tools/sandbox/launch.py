"""Starts one bubblewrap tree and holds it until it is where it belongs; then it takes code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox import arguments, child, memory
from tools.sandbox.child import Child
from tools.sandbox.egress import Egress
from tools.sandbox.interpreter import Interpreter
from tools.sandbox.sandbox import Limits, SandboxError

START_SECONDS = 30.0
GONE_SECONDS = 30.0
CHUNK = 64 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an execution is started with, found once when the sandbox opens.

    ``program`` and ``kernel`` are the texts of what runs inside: once, or for a session.
    ``packages`` is the guest's own folder of packages; ``egress`` says which hosts its sessions may
    ask, with a filter of their own. ``users`` has one id to drop to for each
    tree at a time; empty when the server itself runs as an ordinary user, whose id is kept.
    """

    bwrap: Path
    interpreter: Interpreter
    program: str
    kernel: str
    packages: Path | None
    seccomp: bytes | None
    seccomp_tcp: bytes | None
    egress: Egress | None
    users: tuple[int, ...]
    groups: memory.ControlGroups | None
    watch: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to run inside: a command, its environment, and what is joined to it.

    ``streams`` are our descriptors for its stdin, stdout and stderr, pipes where there are none;
    ``kept`` are descriptors of ours that it keeps under their numbers. ``packages`` is a folder to
    mount for it, ``certificates`` a file of those whom it trusts; ``tcp`` lets it make such
    sockets, which lead nowhere but to its own loopback.
    """

    command: Sequence[str]
    variables: Mapping[str, str]
    streams: tuple[int, int, int] | None = None
    kept: tuple[int, ...] = ()
    packages: Path | None = None
    certificates: bytes = b""
    tcp: bool = False


@dataclass(frozen=True, kw_only=True)
class Launched:
    """bubblewrap, and the first process of its namespace by number and by handle (a pidfd)."""

    process: Child
    first: int
    first_handle: int


class Descriptors:
    """Descriptors of ours, closed on leaving at the latest."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in tuple(self._open):
            self.close(descriptor)

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def sockets(self) -> tuple[int, int]:
        """Two ends of one, of which the second is to be handed over."""
        ends = socket.socketpair()
        numbers = (ends[0].detach(), ends[1].detach())
        self._open.update(numbers)
        return numbers

    def memory_file(self, content: bytes) -> int:
        descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
        self._open.add(descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def release(self, *descriptors: int) -> None:
        """These are somebody else's to close from now on."""
        self._open.difference_update(descriptors)

    def close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)


async def launch(
    parts: Parts,
    wanted: Wanted,
    *,
    limits: Limits,
    user: int | None,
    group: memory.ControlGroup | None,
) -> Launched:
    """Start a tree that runs what is wanted.

    Raises:
        SandboxError: bubblewrap could not start or complained; its own words are in the message.
    """
    with Descriptors() as ours:
        info_read, info_write = ours.pipe()
        block_read, block_write = ours.pipe()
        theirs = [info_write, block_read, *wanted.kept]
        seccomp_fd = None
        calls = parts.seccomp_tcp if wanted.tcp else parts.seccomp
        if calls is not None:
            seccomp_fd = ours.memory_file(calls)
            theirs.append(seccomp_fd)
        certificates_fd = None
        if wanted.certificates:
            certificates_fd = ours.memory_file(wanted.certificates)
            theirs.append(certificates_fd)
        options = arguments.arguments(
            parts.interpreter,
            limits=limits,
            variables=wanted.variables,
            packages=wanted.packages,
            seccomp_fd=seccomp_fd,
            certificates_fd=certificates_fd,
            info_fd=info_write,
            block_fd=block_read,
        )
        options_fd = ours.memory_file(arguments.packed(options))
        try:
            process = child.start(
                # Its command line can be read inside too: a name without the path. So can its
                # environment, at /proc/1/environ: it has none.
                ["bwrap", "--args", str(options_fd), *wanted.command],
                executable=parts.bwrap,
                streams=wanted.streams or (child.PIPE, child.PIPE, child.PIPE),
                kept=(*theirs, options_fd),
                user=user,
            )
        except OSError as error:
            raise SandboxError(f"cannot start {parts.bwrap}: {error}") from error
        ours.close(info_write)
        ours.close(block_read)
        try:
            await process.attach(limit=CHUNK)
            first = await _first_process(info_read)
            if first is None:
                raise SandboxError(await _complaint(process))
            if group is not None:
                # It waits, so that whatever it becomes is inside.
                group.enter(process.pid)
                group.enter(first)
            handle = os.pidfd_open(first)
        except BaseException as error:
            await asyncio.shield(_abandoned(process))
            if isinstance(error, OSError):
                raise SandboxError(f"bubblewrap ended at its start: {error}") from error
            raise
        with contextlib.suppress(BrokenPipeError):
            os.write(block_write, b"\0")
        return Launched(process=process, first=first, first_handle=handle)


async def _abandoned(process: Child) -> None:
    """End a tree that has not been told to go on.

    Killed alone, bubblewrap would leave its child waiting for ever for the word of its parent.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await drained(process)


async def drained(process: Child) -> int:
    """Wait for the end of a killed process, throwing away what its pipes still hold."""
    for stream in (process.stdout, process.stderr):
        while stream is not None and await stream.read(CHUNK):
            pass
    if process.stdin is not None:
        process.stdin.close()
    return await process.wait()


async def emptied(tree: Launched) -> None:
    """Kill what is left of a tree whose bubblewrap has ended, and wait until nothing is.

    bubblewrap ends with its command, its namespace a moment later. The kernel ends the namespace's
    first process after all others are gone.
    """
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(tree.first_handle, signal.SIGKILL)
    try:
        async with asyncio.timeout(GONE_SECONDS):
            await _readable(tree.first_handle)
    except TimeoutError:
        _log.error("a process of the sandbox, %d, does not end though killed", tree.first)
    # Where this process is the machine's first, or stands in for it, the dead are its to bury.
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, tree.first_handle, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def _first_process(info: int) -> int | None:
    """The number that bubblewrap tells on ``--info-fd``; None where it ended without a word."""
    told = b""
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"}" not in told:
                await _readable(info)
                data = os.read(info, CHUNK)
                if not data:
                    return None
                told += data
    except TimeoutError:
        raise SandboxError(f"bubblewrap did not start within {START_SECONDS:.0f} s") from None
    return int(json.loads(told)["child-pid"])


async def _complaint(process: Child) -> str:
    assert process.stderr is not None
    words = (await process.stderr.read(CHUNK)).decode("utf-8", "replace").strip()
    return words.splitlines()[-1] if words else "bubblewrap ended without a word"
