"""A session at E2B: a virtual machine of its own, with one context of its interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from e2b.exceptions import FileNotFoundException, NotFoundException, TimeoutException
from e2b.sandbox.filesystem.filesystem import EntryInfo, FileType, WriteEntry

from tools.sandbox import e2b_machine
from tools.sandbox.e2b_machine import TROUBLES, Access, FloodError, Machine
from tools.sandbox.e2b_results import ENDED, End, Heard, end_of
from tools.sandbox.sandbox import (
    Execution,
    FileEntry,
    Limits,
    Listener,
    Outcome,
    SandboxError,
    Variables,
    checked_files,
    checked_path,
)

WORK = "/home/user/work"
SETTLE_SECONDS = 15.0
"""How long an interrupted context may take until it answers again; then it is given up."""
_DEPTH = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger(__name__)


class E2BSession:
    """A notebook in a machine of its own. One that E2B ends takes its files with it, which is
    said; the next call begins with a new one.

    ``start`` gives a machine that lives for ``life`` seconds; ``closed`` is told at the end.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Machine]],
        *,
        access: Access,
        limits: Limits,
        life: float,
        closed: Callable[[E2BSession], None],
    ) -> None:
        self._start = start
        self._access = access
        self._limits = limits
        self._life = life
        self._told = closed
        self._turn = asyncio.Lock()
        self._machine: Machine | None = None
        self._context: Any = None
        self._touched = 0.0
        self._stopping: asyncio.Future[Outcome] | None = None
        self._lost = False
        self._closed = False

    async def begin(self, files: Mapping[str, bytes]) -> None:
        """Have a machine, with ``files``. Raises SandboxError."""
        async with self._turn:
            await self._ready()
            await self._write(files)

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
        listener: Listener | None = None,
    ) -> Execution:
        half = self._limits.disk_bytes // 2
        size = len(code.encode("utf-8", "replace"))
        if size > half:
            raise ValueError(f"code of {size:,} bytes: the sandbox takes {half:,} at most")
        longest = self._limits.seconds
        seconds = longest if timeout is None else min(longest, timeout)
        async with self._turn:
            machine = await self._ready()
            heard = Heard.of(self._limits, listener)
            began = time.monotonic()
            new, self._lost = self._lost, False
            end, variables = await self._finish(machine, code, heard=heard, seconds=seconds)
            if new and variables is Variables.KEPT:
                variables = Variables.NEW
            err = heard.err.text()
            gap = "\n" if err and end.text and not err.endswith("\n") else ""
            return Execution(
                stdout=heard.out.text(),
                stderr=err + gap + end.text,
                outcome=end.outcome,
                exit_code=end.exit_code,
                seconds=time.monotonic() - began,
                output_truncated=heard.cut,
                outputs=tuple(heard.outputs),
                variables=variables,
            )

    async def put(self, files: Mapping[str, bytes]) -> None:
        contents = checked_files(files, limit=self._limits.disk_bytes // 2)
        async with self._turn:
            await self._ready()
            await self._write(contents)

    async def get(self, path: str) -> bytes:
        name = checked_path(path)
        machine = self._there()
        try:
            info = await machine.files.get_info(f"{WORK}/{name}")
            if not _is_regular(info):
                raise FileNotFoundException
            parts: list[bytes] = []
            left = self._limits.disk_bytes
            async with await machine.files.read(f"{WORK}/{name}", format="stream") as stream:
                async for chunk in stream:
                    left -= len(chunk)
                    if left < 0:
                        raise SandboxError(
                            f"{name} is larger than {self._limits.disk_bytes:,} bytes, the most "
                            "that is given out"
                        )
                    parts.append(chunk)
            return b"".join(parts)
        except NotFoundException:
            raise FileNotFoundError(f"no file {path!r} in the work folder") from None
        except TROUBLES as error:
            raise self._trouble(error) from None

    async def files(self) -> tuple[FileEntry, ...]:
        try:
            entries = await self._there().files.list(WORK, depth=_DEPTH)
        except NotFoundException:
            return ()
        except TROUBLES as error:
            raise self._trouble(error) from None
        return tuple(sorted(filter(None, map(_entry, entries)), key=lambda entry: entry.path))

    async def interrupt(self) -> None:
        self._stop(Outcome.INTERRUPTED)

    async def reset(self) -> None:
        async with self._turn:
            await self._ready()
            await self._drop_context()
            self._lost = False

    async def close(self) -> None:
        self._closed = True
        self._stop(Outcome.INTERRUPTED)
        async with self._turn:
            machine, self._machine = self._machine, None
            if machine is not None:
                try:
                    await machine.kill()
                except TROUBLES as error:
                    _log.warning(
                        "a machine is left to end by itself within %.0f s: %s",
                        self._life,
                        e2b_machine.told(error, self._access),
                    )
        self._told(self)

    def _check(self) -> None:
        if self._closed:
            raise SandboxError("the session is closed")

    def _there(self) -> Machine:
        self._check()
        if self._machine is None:
            raise SandboxError("the session's machine has ended, and its files with it")
        return self._machine

    def _trouble(self, error: Exception) -> SandboxError:
        if e2b_machine.is_gone(error):
            self._forget()
        return e2b_machine.told(error, self._access)

    def _forget(self) -> None:
        """The machine is no more: whatever comes next has a new one."""
        self._machine = self._context = None

    async def _ready(self) -> Machine:
        """The machine with a context, new ones where they are missing. Raises SandboxError."""
        self._check()
        try:
            if self._machine is None:
                machine = self._machine = await self._start()
                self._touched = time.monotonic()
                await machine.files.make_dir(WORK)
            elif time.monotonic() - self._touched > self._life / 4:
                await self._machine.set_timeout(int(self._life) + 1)
                self._touched = time.monotonic()
            if self._context is None:
                self._context = await self._machine.create_code_context(cwd=WORK)
        except TROUBLES as error:
            raise self._trouble(error) from None
        return self._machine

    async def _write(self, files: Mapping[str, bytes]) -> None:
        machine = self._there()
        try:
            await machine.files.write_files(
                [WriteEntry(path=f"{WORK}/{name}", data=data) for name, data in files.items()]
            )
        except TROUBLES as error:
            raise self._trouble(error) from None

    async def _finish(
        self, machine: Machine, code: str, *, heard: Heard, seconds: float
    ) -> tuple[End, Variables]:
        loop = asyncio.get_running_loop()
        stopping: asyncio.Future[Outcome] = loop.create_future()
        self._stopping = stopping
        timer = loop.call_later(seconds, self._stop, Outcome.TIMED_OUT)
        running = asyncio.create_task(
            machine.run_code(
                code,
                context=self._context,
                on_stdout=heard.take_out,
                on_stderr=heard.take_err,
                on_result=heard.take,
                # Ours is over first.
                timeout=seconds + self._access.seconds,
                request_timeout=self._access.seconds,
            )
        )
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return await self._ended(running)
            return await self._stopped(running, stopping.result())
        except asyncio.CancelledError:
            await asyncio.shield(self._stopped(running, Outcome.INTERRUPTED))
            raise
        finally:
            timer.cancel()
            self._stopping = None

    def _stop(self, reason: Outcome) -> None:
        if self._stopping is not None and not self._stopping.done():
            self._stopping.set_result(reason)

    async def _stopped(self, running: asyncio.Task[Any], reason: Outcome) -> tuple[End, Variables]:
        """Hang up, at which the interpreter interrupts the cell."""
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        variables = await self._settled()
        return End(outcome=reason, exit_code=None, text="KeyboardInterrupt\n"), variables

    async def _ended(self, running: asyncio.Task[Any]) -> tuple[End, Variables]:
        try:
            execution = await running
        except FloodError:
            end = End(
                outcome=Outcome.KILLED,
                exit_code=None,
                text=f"stopped: more than {e2b_machine.STREAM_BYTES:,} bytes of output\n",
            )
            return end, await self._settled()
        except TROUBLES as error:
            if await self._is_alive():
                if not isinstance(error, TimeoutException | httpx.TransportError):
                    raise self._trouble(error) from None
                text = "the connection to E2B was cut while the code ran\n"
                end = End(outcome=Outcome.KILLED, exit_code=None, text=text)
                return end, await self._settled()
            self._forget()
            text = "the machine ended before the code did, and took its files with it\n"
            return End(outcome=Outcome.KILLED, exit_code=None, text=text), Variables.LOST
        end = end_of(execution.error)
        if execution.error is not None and execution.error.name in ENDED:
            await self._drop_context()
            return end, Variables.LOST
        return end, Variables.KEPT

    async def _is_alive(self) -> bool:
        assert self._machine is not None
        try:
            return bool(await self._machine.is_running(request_timeout=self._access.seconds))
        except TROUBLES:
            return False

    async def _settled(self) -> Variables:
        """What is left of a cell that was cut off: its context, if that answers again."""
        assert self._machine is not None
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._machine.run_code("None", context=self._context, timeout=SETTLE_SECONDS)
        except (TimeoutError, FloodError, *TROUBLES) as error:
            if e2b_machine.is_gone(error):
                self._forget()
            else:
                await self._drop_context()
            return Variables.LOST
        return Variables.KEPT

    async def _drop_context(self) -> None:
        context, self._context = self._context, None
        if self._machine is not None and context is not None:
            with contextlib.suppress(*TROUBLES):
                await self._machine.remove_code_context(context)


def _is_regular(info: EntryInfo) -> bool:
    return info.type is FileType.FILE and not info.symlink_target


def _entry(info: EntryInfo) -> FileEntry | None:
    """An entry as we list it; None where it is no file of ours. The names are the guest's."""
    path = info.path.removeprefix(f"{WORK}/")
    hidden = any(part.startswith(".") for part in path.split("/"))
    if not _is_regular(info) or path == info.path or hidden or not path.isprintable():
        return None
    modified = (info.modified_time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    return FileEntry(path=path, size=info.size, modified=1000 * modified)
