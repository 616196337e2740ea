"""The real sandbox: each execution is a process tree of its own, made by bubblewrap."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from tools.sandbox import arguments, isolation, memory
from tools.sandbox.launch import CHUNK, Launched, Parts, drained, launch
from tools.sandbox.sandbox import (
    Execution,
    Isolation,
    Limits,
    Outcome,
    SandboxError,
    checked_files,
)

END_SECONDS = 5.0
_CPU_SPENT = 128 + signal.SIGXCPU


class _Capture:
    """Reads a stream to its end and keeps the first ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.cut = False

    async def drain(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(CHUNK):
            room = self._limit - len(self._kept)
            self._kept += data[:room]
            self.cut = self.cut or len(data) > room

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


@dataclass(kw_only=True, eq=False)
class _Running:
    """One started process tree; ``stop`` kills it as a whole and keeps the first reason."""

    tree: Launched
    group: memory.ControlGroup | None
    stopped: Outcome | None = field(default=None)

    def stop(self, outcome: Outcome) -> None:
        self.stopped = self.stopped or outcome
        with contextlib.suppress(ProcessLookupError):
            # The first process of the namespace takes all others with it; bubblewrap, which
            # waits for it, ends after the last.
            signal.pidfd_send_signal(self.tree.first_handle, signal.SIGKILL)

    async def gone(self) -> None:
        """Wait for the end of the whole tree."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await drained(self.tree.process)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.tree.process.kill()
            await drained(self.tree.process)


class BubblewrapSandbox:
    """Runs code under bubblewrap, a bounded number at a time; open it with ``open_sandbox``."""

    def __init__(self, parts: Parts, *, limits: Limits, concurrency: int) -> None:
        self._parts = parts
        self._limits = limits
        self._slots: asyncio.Queue[int] = asyncio.Queue()
        for slot in range(concurrency):
            self._slots.put_nowait(slot)
        self._running: set[_Running] = set()
        self._closed = False
        self._count = 0

    def describe(self) -> Isolation:
        return isolation.describe(
            limits=self._limits,
            dropped=self._parts.users[0] if self._parts.users else None,
            seccomp=self._parts.seccomp is not None,
            cgroup=self._parts.groups is not None,
            watch=self._parts.watch,
            interpreter=self._parts.interpreter,
        )

    async def close(self) -> None:
        self._closed = True
        running = list(self._running)
        for each in running:
            each.stop(Outcome.KILLED)
        await asyncio.gather(*(each.tree.process.wait() for each in running))

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the run, not of the call
    ) -> Execution:
        source = code.encode("utf-8", "replace")
        half = self._limits.disk_bytes // 2
        if len(source) > half:
            raise ValueError(f"code of {len(source):,} bytes: the sandbox takes {half:,} at most")
        contents = checked_files(files, limit=half)
        sent = arguments.message(source, files=contents)
        longest = self._limits.seconds
        seconds = longest if timeout is None else min(longest, timeout)

        slot = await self._slots.get()
        try:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            async with self._started(slot) as running:
                return await self._finish(running, sent, seconds=seconds)
        finally:
            self._slots.put_nowait(slot)

    async def _finish(
        self, running: _Running, sent: Sequence[bytes], *, seconds: float
    ) -> Execution:
        process = running.tree.process
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = _Capture(self._limits.output_bytes), _Capture(self._limits.output_bytes)
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, running.stop, Outcome.TIMED_OUT)
        helpers = [asyncio.create_task(_send(process, sent))]
        if running.group is None and self._parts.watch:
            helpers.append(asyncio.create_task(self._watch(running)))
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(out.drain(process.stdout))
                readers.create_task(err.drain(process.stderr))
            code = await process.wait()
        finally:
            timer.cancel()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        if code == 1 and not out.text and err.text.startswith("bwrap: "):
            raise SandboxError(err.text.strip())
        return Execution(
            stdout=out.text,
            stderr=err.text,
            outcome=_outcome(running, code, err.text),
            exit_code=None if running.stopped else code,
            seconds=time.monotonic() - start,
            output_truncated=out.cut or err.cut,
        )

    async def _watch(self, running: _Running) -> None:
        await memory.exceeded(
            running.tree.first, limit=self._limits.memory_bytes, folders=arguments.WRITABLE
        )
        running.stop(Outcome.OUT_OF_MEMORY)

    @contextlib.asynccontextmanager
    async def _started(self, slot: int) -> AsyncIterator[_Running]:
        """A tree that waits for its code; gone when the block is left, however it is left."""
        self._count += 1
        user = self._parts.users[slot] if self._parts.users else None
        group = None
        if self._parts.groups is not None:
            try:
                group = self._parts.groups.open(str(self._count), limits=self._limits)
            except OSError as error:
                raise SandboxError(f"no control group for the sandbox: {error}") from error
        try:
            tree = await launch(self._parts, limits=self._limits, user=user, group=group)
            running = _Running(tree=tree, group=group)
            self._running.add(running)
            try:
                yield running
            finally:
                running.stop(Outcome.KILLED)
                await asyncio.shield(running.gone())
                os.close(tree.first_handle)
                self._running.discard(running)
        finally:
            if group is not None:
                await asyncio.shield(group.close())


async def _send(process: Process, parts: Sequence[bytes]) -> None:
    assert process.stdin is not None
    try:
        for part in parts:
            process.stdin.write(part)
            await process.stdin.drain()
    except ConnectionError:
        pass  # it ended before it read everything; its exit says why
    finally:
        process.stdin.close()


def _outcome(running: _Running, code: int, errors: str) -> Outcome:
    if running.group is not None and code != 0 and running.group.ran_out():
        return Outcome.OUT_OF_MEMORY
    if running.stopped is not None:
        return running.stopped
    if code == _CPU_SPENT:
        return Outcome.TIMED_OUT
    if code > 128:
        return Outcome.KILLED
    if code == 0:
        return Outcome.FINISHED
    last = errors.rstrip().rpartition("\n")[2]
    return Outcome.OUT_OF_MEMORY if last.startswith("MemoryError") else Outcome.FAILED
