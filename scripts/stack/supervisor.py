"""Keeps processes going: starts them in order, again when they end, stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
LARGEST_LOG = 20_000_000
_LOOK_SECONDS = 0.05

Look = Callable[[], Awaitable[bool]]
"""Whether the process is ready, as seen from outside; it does not raise."""
Tell = Callable[[str], None]


class StackError(Exception):
    """The stack cannot start; the message says which process, why, and where its log is."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process to keep: its words, and what its environment has beside ours.

    It is ready when ``look`` finds so. ``grace_seconds``: how long it may take to end after SIGTERM
    before it is killed. ``without``: variables of ours that it is not to see, by prefix.
    """

    name: str
    words: Sequence[str]
    look: Look
    environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    where: str = ""
    ready_seconds: float = 120.0
    grace_seconds: float = 10.0


def dying_with_us() -> list[str]:
    """The words before a command that make the kernel end it when this process ends."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


class Kept:
    """One process that is being kept."""

    def __init__(self, process: Process, *, logs: Path, tell: Tell) -> None:
        self.process = process
        self.log = logs / f"{process.name}.log"
        self.starts = 0
        self._tell = tell
        self._running: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        running = self._running
        return running.pid if running is not None and running.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises StackError, with nothing left running."""
        try:
            await self._spawn()
            if not await self._until_ready():
                why = "ended at once" if self.pid is None else "is not ready in time"
                raise StackError(f"{self.name} {why}: {self.last_words()} (its log: {self.log})")
        except BaseException:
            await self._end()
            raise
        self._watch = asyncio.create_task(self._keep(), name=f"watch {self.name}")

    async def stop(self) -> None:
        """End it for good. Safe to call twice."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await self._end()

    def last_words(self) -> str:
        """The last line of its log."""
        try:
            lines = self.log.read_text(errors="replace")[-4000:].split("\n")
        except OSError:
            lines = []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    async def _spawn(self) -> None:
        self.ready.clear()
        self._rotate()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.process.without or ("\0",))
        }
        with self.log.open("ab") as log:
            try:
                self._running = await asyncio.create_subprocess_exec(
                    *dying_with_us(),
                    *self.process.words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**kept, **self.process.environment},
                    # Ctrl-C is for the supervisor, which stops all in order.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}") from error
        self.starts += 1

    async def _until_ready(self) -> bool:
        """Wait; False where it ended, or was not ready in time."""
        running = self._running
        assert running is not None
        began = time.monotonic()
        while running.returncode is None and not await self.process.look():
            if time.monotonic() - began > self.process.ready_seconds:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        if running.returncode is not None:
            return False
        seconds = time.monotonic() - began
        where = f" at {self.process.where}" if self.process.where else ""
        self._tell(f"{self.name} is ready{where} (pid {running.pid}, {seconds:.1f} s)")
        self.ready.set()
        return True

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            running, began = self._running, time.monotonic()
            assert running is not None
            code = await running.wait()
            self.ready.clear()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._tell(f"{self.name} ended ({_how(code)}); starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                await self._spawn()
                if not await self._until_ready() and self.pid is not None:
                    self._tell(f"{self.name} is not ready in time; killing it")
                    await self._end()
            except StackError as error:
                self._tell(str(error))

    async def _end(self) -> None:
        running = self._running
        if running is None or running.returncode is not None:
            return
        for word, seconds in ((signal.SIGTERM, self.process.grace_seconds), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                running.send_signal(word)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await running.wait()
                return

    def _rotate(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))


class Supervisor:
    """Open it with ``async with``: all are started, in rows, a row when the one before is ready.

    At the end they are stopped, the last row first. Raises StackError where one does not start.
    """

    def __init__(self, rows: Sequence[Sequence[Process]], *, logs: Path, tell: Tell) -> None:
        self.rows = [[Kept(process, logs=logs, tell=tell) for process in row] for row in rows]
        self._logs = logs
        self._tell = tell

    @property
    def kept(self) -> list[Kept]:
        return [kept for row in self.rows for kept in row]

    def named(self, name: str) -> Kept:
        """Raises KeyError."""
        return {kept.name: kept for kept in self.kept}[name]

    async def __aenter__(self) -> Supervisor:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for row in self.rows:
                await _all(*(kept.start() for kept in row))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for row in reversed(self.rows):
            names = ", ".join(kept.name for kept in row if kept.pid is not None)
            await asyncio.gather(*(kept.stop() for kept in row))
            if names:
                self._tell(f"stopped {names}")


async def _all(*starts: Awaitable[None]) -> None:
    """All of them, to the end: none is left half started. Raises the first failure."""
    for ended in await asyncio.gather(*starts, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def python(*words: str) -> list[str]:
    """The words of a Python program in our own environment."""
    return [sys.executable, *words]
