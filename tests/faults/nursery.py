"""Real worker and API processes in milliseconds: forked from one that has everything imported.

Run as a program it reads one JSON object a line from stdin, forks, and tells on stdout who is
ready and who has ended. `Nursery` is its other side, in the process of the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, Self

KINDS = {
    "worker": "tests.faults.worker",
    "api": "tests.faults.api",
    "decider": "tests.faults.decider",
}
_ROOT = Path(__file__).parent.parent.parent
_READY_SECONDS = 30.0
_END_SECONDS = 20.0


class Child:
    """One forked process."""

    def __init__(self, kind: str, log: Path) -> None:
        self.kind = kind
        self.log = log
        self.pid = 0
        self.status: int | None = None
        self.told: dict[str, Any] = {}
        self.born, self.ready, self.exited = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still lives."""
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        await self.gone()

    async def stop(self) -> int:
        """SIGTERM, and wait; gives the exit status."""
        self.send(signal.SIGTERM)
        await self.gone()
        assert self.status is not None
        return self.status

    async def gone(self, *, within: float = _END_SECONDS) -> None:
        async with asyncio.timeout(within):
            await self.exited.wait()

    def last_words(self) -> str:
        """The end of what it logged."""
        try:
            return self.log.read_text(errors="replace")[-4000:]
        except OSError:
            return ""


class Nursery:
    """Open it once with ``async with``; everything forked ends with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._wanted: dict[int, Child] = {}
        self._living: dict[int, Child] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        clean = {name: value for name, value in os.environ.items() if "COUNTERPOINT" not in name}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.nursery",
            cwd=_ROOT,
            env={**clean, "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._process is not None
        assert self._reading is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def spawn(self, kind: str, spec: dict[str, Any], *, wait: bool = True) -> Child:
        """Fork one; with ``wait`` it is at work when this returns."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._count += 1
        child = Child(kind, self._folder / f"{kind}-{self._count}.log")
        self._wanted[self._count] = child
        asked = {"id": self._count, "kind": kind, "log": str(child.log), "spec": spec}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(_READY_SECONDS):
            await child.born.wait()
        if wait:
            await self.until_ready(child)
        return child

    async def until_ready(self, child: Child) -> None:
        """Raises AssertionError with its last words if it ends instead."""
        ends = [asyncio.create_task(e.wait()) for e in (child.ready, child.exited)]
        done, _ = await asyncio.wait(
            ends, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        for task in ends:
            task.cancel()
        assert done, f"{child.kind} {child.pid} is not ready:\n{child.last_words()}"
        assert child.ready.is_set(), f"{child.kind} ended at once:\n{child.last_words()}"

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            match told["now"]:
                case "born":
                    child = self._wanted.pop(told["id"])
                    child.pid = told["pid"]
                    self._living[child.pid] = child
                    child.born.set()
                case "ready":
                    child = self._living[told["pid"]]
                    child.told = told
                    child.ready.set()
                case "ended":
                    child = self._living.pop(told["pid"])
                    child.status = told["status"]
                    child.exited.set()


def say(**told: Any) -> None:
    """To the other side; one write, so that lines of several processes do not mix."""
    os.write(1, json.dumps(told).encode() + b"\n")


def _child(asked: dict[str, Any]) -> NoReturn:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    os.close(0)
    code = 1
    try:
        code = importlib.import_module(KINDS[asked["kind"]]).main(asked["spec"])
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Fork as asked until stdin ends; then end everything that was forked."""
    for module in KINDS.values():
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    inbox, outbox = os.pipe()
    os.set_blocking(outbox, False)
    signal.set_wakeup_fd(outbox)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    living: set[int] = set()
    waiting = b""
    while True:
        readable, _, _ = select.select([0, inbox], [], [])
        if inbox in readable:
            os.read(inbox, 4096)
            _bury(living)
        if 0 not in readable:
            continue
        piece = os.read(0, 65536)
        if not piece:
            break
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(inbox)
                os.close(outbox)
                # Said by itself: on a starved machine it may be ready before its parent goes on.
                say(now="born", id=asked["id"], pid=os.getpid())
                _child(asked)
            living.add(pid)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    while living:
        _bury(living, block=True)


def _bury(living: set[int], *, block: bool = False) -> None:
    while living:
        try:
            pid, status = os.waitpid(-1, 0 if block else os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        living.discard(pid)
        with contextlib.suppress(BrokenPipeError):
            say(now="ended", pid=pid, status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
