"""The real sandbox: each execution is a process tree of its own, made by bubblewrap."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from tools.sandbox import arguments, isolation, kernel_start, memory
from tools.sandbox.child import Child
from tools.sandbox.launch import CHUNK, Launched, Parts, Wanted, drained, emptied, launch
from tools.sandbox.live_kernel import LiveKernel
from tools.sandbox.local_session import LocalSession
from tools.sandbox.pipes import Capture
from tools.sandbox.pool import WarmKernels
from tools.sandbox.sandbox import (
    Execution,
    Isolation,
    Limits,
    Outcome,
    SandboxError,
    Session,
    checked_files,
)

END_SECONDS = 5.0
_CPU_SPENT = 128 + signal.SIGXCPU


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
        await emptied(self.tree)


class BubblewrapSandbox:
    """Runs code under bubblewrap, a bounded number at a time; open it with ``open_sandbox``.

    ``concurrency`` single runs and ``kernels`` sessions go on at the same time at most; single
    runs wait for their turn. ``warm`` kernels are kept ready beside them.
    """

    def __init__(
        self, parts: Parts, *, limits: Limits, concurrency: int, kernels: int = 8, warm: int = 0
    ) -> None:
        self._parts = parts
        self._limits = limits
        self._slots: asyncio.Queue[int] = asyncio.Queue()
        for slot in range(concurrency):
            self._slots.put_nowait(slot)
        self._kernel_slots = list(range(concurrency, concurrency + kernels + warm))
        self._most = kernels
        self._pool = WarmKernels(self._kernel, size=warm)
        self._sessions: set[LocalSession] = set()
        self._running: set[_Running] = set()
        self._turns: set[asyncio.Future[None]] = set()
        self._closed = False
        self._count = 0

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        contents = checked_files(files, limit=self._limits.disk_bytes // 2)
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if len(self._sessions) >= self._most:
            raise SandboxError(f"{self._most} sessions are open already, the most there may be")
        session = LocalSession(self._pool.take, limits=self._limits, closed=self._sessions.discard)
        self._sessions.add(session)
        try:
            await session.begin(contents)
        except BaseException:
            await asyncio.shield(session.close())
            raise
        return session

    def warm_up(self) -> None:
        """Start the warm kernels, in the background."""
        self._pool.refill()

    @property
    def ready(self) -> int:
        """How many kernels are warm."""
        return self._pool.ready

    @property
    def taken(self) -> tuple[int, int]:
        """How many kernels were taken so far: warm ones, and cold ones."""
        return self._pool.warm, self._pool.cold

    async def _kernel(self) -> LiveKernel:
        if not self._kernel_slots:
            raise SandboxError("all kernels are in use")
        slot = self._kernel_slots.pop()
        return await kernel_start.start(
            self._parts,
            limits=self._limits,
            user=self._parts.users[slot] if self._parts.users else None,
            group=self._group(),
            freed=lambda: self._kernel_slots.append(slot),
        )

    def _group(self) -> memory.ControlGroup | None:
        self._count += 1
        if self._parts.groups is None:
            return None
        try:
            return self._parts.groups.open(str(self._count), limits=self._limits)
        except OSError as error:
            raise SandboxError(f"no control group for the sandbox: {error}") from error

    def describe(self) -> Isolation:
        return isolation.describe(
            limits=self._limits,
            dropped=self._parts.users[0] if self._parts.users else None,
            seccomp=self._parts.seccomp is not None,
            cgroup=self._parts.groups is not None,
            watch=self._parts.watch,
            interpreter=self._parts.interpreter,
            packages=self._parts.packages,
            hosts=self._parts.egress.patterns if self._parts.egress is not None else (),
        )

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(session.close() for session in tuple(self._sessions)))
        await self._pool.close()
        running = list(self._running)
        for each in running:
            each.stop(Outcome.KILLED)
        # Those that are just starting end themselves.
        await asyncio.gather(*self._turns)

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
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.add(over)
        try:
            async with self._started(slot) as running:
                return await self._finish(running, sent, seconds=seconds)
        finally:
            self._turns.discard(over)
            if not over.done():
                over.set_result(None)
            self._slots.put_nowait(slot)

    async def _finish(
        self, running: _Running, sent: Sequence[bytes], *, seconds: float
    ) -> Execution:
        process = running.tree.process
        assert process.stdout is not None
        assert process.stderr is not None
        kept_out, kept_err = Capture(self._limits.output_bytes), Capture(self._limits.output_bytes)
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, running.stop, Outcome.TIMED_OUT)
        helpers = [asyncio.create_task(_send(process, sent))]
        if running.group is None and self._parts.watch:
            helpers.append(asyncio.create_task(self._watch(running)))
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(_drain(process.stdout, into=kept_out))
                readers.create_task(_drain(process.stderr, into=kept_err))
            code = await process.wait()
        finally:
            timer.cancel()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        out, err = kept_out.text(), kept_err.text()
        if code == 1 and not out and err.startswith("bwrap: "):
            raise SandboxError(err.strip())
        return Execution(
            stdout=out,
            stderr=err,
            outcome=_outcome(running, code, err),
            exit_code=None if running.stopped else code,
            seconds=time.monotonic() - start,
            output_truncated=kept_out.cut or kept_err.cut,
        )

    async def _watch(self, running: _Running) -> None:
        await memory.exceeded(
            running.tree.first, limit=self._limits.memory_bytes, folders=arguments.WRITABLE
        )
        running.stop(Outcome.OUT_OF_MEMORY)

    @contextlib.asynccontextmanager
    async def _started(self, slot: int) -> AsyncIterator[_Running]:
        """A tree that waits for its code; gone when the block is left, however it is left."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        user = self._parts.users[slot] if self._parts.users else None
        group = self._group()
        python = self._parts.interpreter
        wanted = Wanted(
            command=arguments.command(python, program=self._parts.program, limits=self._limits),
            variables=arguments.environment(python),
        )
        try:
            tree = await launch(self._parts, wanted, limits=self._limits, user=user, group=group)
            running = _Running(tree=tree, group=group)
            self._running.add(running)
            try:
                if self._closed:
                    raise SandboxError("the sandbox is closed")
                yield running
            finally:
                running.stop(Outcome.KILLED)
                await asyncio.shield(running.gone())
                os.close(tree.first_handle)
                self._running.discard(running)
        finally:
            if group is not None:
                await asyncio.shield(group.close())


async def _drain(stream: asyncio.StreamReader, *, into: Capture) -> None:
    while data := await stream.read(CHUNK):
        into.feed(data)


async def _send(process: Child, parts: Sequence[bytes]) -> None:
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
    if running.group is not None and code != 0 and running.group.kills():
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
