"""One live kernel: a process tree of its own in the sandbox, driven over pipes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.sandbox import arguments, frames, memory, pipes, trees
from tools.sandbox.egress import Egress
from tools.sandbox.launch import Launched, emptied
from tools.sandbox.pipes import Capture, Tap
from tools.sandbox.sandbox import (
    Execution,
    Limits,
    Listener,
    Outcome,
    Output,
    SandboxError,
    Variables,
)
from tools.sandbox.work_folder import WorkFolder

if TYPE_CHECKING:
    from tools.sandbox.proxy import Door

READY_SECONDS = 60.0
GRACE_SECONDS = 2.0
"""From the interrupt to the kill."""
QUIET_SECONDS = 1.0
"""After a cell's end its threads may go on for so long; then the whole tree is stopped."""
END_SECONDS = 5.0
SILENT_SECONDS = 0.5

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class _Cell:
    """A cell at work."""

    nonce: str
    listener: Listener
    out: Capture
    err: Capture
    outputs: list[Output] = field(default_factory=list)
    outputs_bytes: int = 0
    left_out: bool = False
    reason: Outcome | None = None
    begun: bool = False
    done: frames.Done | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class LiveKernel:
    """Runs cells one at a time. ``dead`` once its tree has ended; ``work`` can be read all the
    same until it is closed by whoever took it."""

    def __init__(
        self,
        tree: Launched,
        *,
        limits: Limits,
        group: memory.ControlGroup | None,
        watch: bool,
        requests: int,
        streams: tuple[int, int, int],
        freed: Callable[[], None],
    ) -> None:
        self._tree = tree
        self._limits = limits
        self._group = group
        self._watches = watch and group is None
        self._requests = requests
        self._freed = freed
        self._reader = frames.FrameReader()
        self._cell: _Cell | None = None
        self._writing: tuple[str, asyncio.Future[str]] | None = None
        self._greeted: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._stopped: Outcome | None = None
        self._frozen = False
        self._killed = 0
        self._quiet: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._first_words = Capture(2048)
        self._main: int | None = None
        self._door: Door | None = None
        self.work: WorkFolder | None = None
        self.dead = False
        self.name = ""
        self.cells = 0
        os.set_blocking(requests, False)
        out, err, answers = streams
        self._out = Tap(out, feed=self._hear_out, ended=lambda: None)
        self._err = Tap(err, feed=self._hear_err, ended=lambda: None)
        self._answers = Tap(answers, feed=self._hear, ended=self._fall_silent)
        self._burial = asyncio.create_task(self._bury(), name="kernel's end")

    async def ready(self) -> None:
        """Wait until it takes cells.

        Raises:
            SandboxError: it ended before that, or takes too long.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                told = await self._greeted
            self.name = told.get("kernel", "")
            self._main = trees.handle_of_child(self._tree.first)
            self.work = WorkFolder.of(self._tree.first, arguments.WORK)
        except TimeoutError:
            raise SandboxError(f"the kernel was not ready within {READY_SECONDS:.0f} s") from None
        except OSError as error:
            raise SandboxError(f"the kernel's folder cannot be reached: {error}") from error

    def open_door(self, listener: socket.socket, egress: Egress) -> None:
        """Serve what connects to the guest's proxy until the end."""
        if self.dead:
            listener.close()
        else:
            from tools.sandbox.proxy import Door  # late: nobody else needs an HTTP client's parts

            self._door = Door(listener, egress)

    async def run(self, code: bytes, *, seconds: float, listener: Listener | None) -> Execution:
        """Run a cell; whatever becomes of it is its result.

        Cancelled, the cell is interrupted, and killed where it does not heed that.
        """
        nonce = secrets.token_bytes(frames.NONCE_BYTES)
        told = listener or Listener()
        cap = self._limits.output_bytes
        cell = _Cell(
            nonce=nonce.hex(),
            listener=told,
            out=Capture(cap, tell=told.stdout),
            err=Capture(cap, tell=told.stderr),
        )
        if self.dead:
            cell.ended.set()
        self._wake()
        kills = self._kills()
        self._cell = cell
        self.cells += 1
        start = time.monotonic()
        timer = asyncio.get_running_loop().call_later(seconds, self.interrupt, Outcome.TIMED_OUT)
        sending = asyncio.create_task(self._send(frames.packed(frames.CELL, nonce, code)))
        try:
            await cell.ended.wait()
        except asyncio.CancelledError:
            self.interrupt(Outcome.INTERRUPTED)
            await asyncio.shield(cell.ended.wait())
            raise
        finally:
            timer.cancel()
            sending.cancel()
            if cell.done is None:
                await asyncio.shield(self._burial)
            self._out.drain()
            self._err.drain()
            self._cell = None
            self._rest()
        killed = self._kills() > kills
        return self._execution(cell, killed=killed, seconds=time.monotonic() - start)

    async def put(self, name: str, content: bytes, *, modified: int = 0) -> None:
        """Write one file into the work folder; see `frames.put`.

        Raises:
            SandboxError: the guest could not write it.
        """
        nonce = secrets.token_bytes(frames.NONCE_BYTES)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._writing = (nonce.hex(), answer)
        self._wake()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._send(frames.put(nonce, name=name, content=content, modified=modified))
                complaint = "the kernel has ended" if self.dead else await answer
        except TimeoutError:
            self.stop()
            complaint = "the kernel does not answer"
        finally:
            self._writing = None
            self._rest()
        if complaint:
            raise SandboxError(f"the file could not be written: {complaint}")

    def interrupt(self, reason: Outcome = Outcome.INTERRUPTED) -> None:
        """Interrupt the running cell; without effect where there is none."""
        cell = self._cell
        if cell is None or cell.reason is not None:
            return
        cell.reason = reason
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._lose_patience, cell)
        if self._main is None:
            self.stop(reason)
        elif cell.begun:
            # Before that it would not hear it.
            self._signal_interrupt()

    def stop(self, reason: Outcome = Outcome.KILLED) -> None:
        """Kill the whole tree, for the first reason given."""
        if self.dead or self._stopped is not None:
            return
        self._stopped = reason
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._tree.first_handle, signal.SIGKILL)
        asyncio.get_running_loop().call_later(END_SECONDS, self._end_bubblewrap)

    async def end(self) -> None:
        """Kill it and wait until nothing of it is left but its work folder."""
        self.stop()
        await asyncio.shield(self._burial)

    def _fall_silent(self) -> None:
        """It ended, which its exit code will say; or it hung up, and is no kernel any more."""
        if not self.dead:
            asyncio.get_running_loop().call_later(SILENT_SECONDS, self.stop)

    def _end_bubblewrap(self) -> None:
        if not self.dead:
            with contextlib.suppress(ProcessLookupError):
                self._tree.process.kill()

    def _kills(self) -> int:
        if self._group is None or self.dead:
            return self._killed
        return self._group.kills()

    def _signal_interrupt(self) -> None:
        if self._main is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._main, signal.SIGINT)

    def _lose_patience(self, cell: _Cell) -> None:
        if self._cell is cell and not cell.ended.is_set():
            self.stop(cell.reason or Outcome.KILLED)

    def _wake(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if self._frozen:
            self._frozen = False
            trees.signal_below(self._tree.first, signal.SIGCONT)
        if self._watches and self._watching is None and not self.dead:
            self._watching = asyncio.create_task(self._watch(), name="memory of a kernel")

    def _rest(self) -> None:
        if not self.dead:
            self._quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._freeze)

    def _freeze(self) -> None:
        """Idle, it costs no time of the processor, whatever its threads are up to."""
        self._quiet = None
        self._frozen = True
        trees.signal_below(self._tree.first, signal.SIGSTOP)
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self) -> None:
        await memory.exceeded(
            self._tree.first, limit=self._limits.memory_bytes, folders=arguments.WRITABLE
        )
        self.stop(Outcome.OUT_OF_MEMORY)

    async def _send(self, pieces: list[bytes]) -> None:
        with contextlib.suppress(BrokenPipeError):
            await pipes.write(self._requests, pieces)

    def _hear_out(self, data: bytes) -> None:
        if self._cell is not None:
            self._cell.out.feed(data)

    def _hear_err(self, data: bytes) -> None:
        if self._cell is not None:
            self._cell.err.feed(data)
        elif not self._greeted.done():
            self._first_words.feed(data)

    def _hear(self, data: bytes) -> None:
        if self._stopped is not None:
            return
        try:
            for frame in self._reader.feed(data):
                self._heed(frame)
        except frames.ProtocolError as error:
            _log.warning("a kernel in the sandbox is ended: it sent %s", error)
            self.stop()

    def _heed(self, frame: frames.Frame) -> None:
        cell = self._cell
        match frame.kind:
            case frames.HELLO:
                if not self._greeted.done():
                    self._greeted.set_result(frames.hello(frame.body))
            case frames.BEGUN:
                if cell is not None and frames.nonce_of(frame.body) == cell.nonce:
                    cell.begun = True
                    if cell.reason is not None:
                        self._signal_interrupt()
            case frames.OUTPUT:
                if cell is not None and frames.nonce_of(frame.body) == cell.nonce:
                    _keep(cell, frame.body)
            case frames.DONE:
                done = frames.done(frame.body)
                if cell is not None and done.nonce == cell.nonce:
                    cell.done = done
                    cell.ended.set()
            case _:
                if self._writing is not None:
                    nonce, answer = self._writing
                    if frames.nonce_of(frame.body) == nonce and not answer.done():
                        answer.set_result(frames.written(frame.body))

    async def _bury(self) -> None:
        """Wait for the end of the tree, however it comes, and clear up behind it."""
        process = self._tree.process
        await process.wait()
        await emptied(self._tree)
        self._killed = self._kills()
        self.dead = True
        for timer in (self._quiet, self._watching):
            if timer is not None:
                timer.cancel()
        for tap in (self._answers, self._out, self._err):
            tap.drain()
            tap.close()
        os.close(self._requests)
        os.close(self._tree.first_handle)
        if self._main is not None:
            os.close(self._main)
            self._main = None
        if not self._greeted.done():
            words = self._first_words.text().strip().rpartition("\n")[2]
            self._greeted.set_exception(
                SandboxError(words or f"the kernel ended at its start ({process.returncode})")
            )
            self._greeted.exception()
        if self._writing is not None and not self._writing[1].done():
            self._writing[1].set_result("the kernel has ended")
        if self._cell is not None:
            self._cell.ended.set()
        if self._door is not None:
            await self._door.close()
        if self._group is not None:
            await self._group.close()
        self._freed()

    def _execution(self, cell: _Cell, *, killed: bool, seconds: float) -> Execution:
        done = cell.done
        outcome: Outcome
        if done is None:
            outcome = Outcome.OUT_OF_MEMORY if killed else (self._stopped or Outcome.KILLED)
        elif done.ok:
            outcome = Outcome.FINISHED
        elif done.memory:
            outcome = Outcome.OUT_OF_MEMORY
        elif done.interrupted and cell.reason is not None:
            outcome = cell.reason
        else:
            outcome = Outcome.FAILED
        code = None if self._stopped else self._tree.process.returncode
        out, err = cell.out.text(), cell.err.text()
        if done is not None:
            code = 0 if done.ok else done.exit_code
            err += ("\n" if err and done.text and not err.endswith("\n") else "") + done.text
        return Execution(
            stdout=out,
            stderr=err,
            outcome=outcome,
            exit_code=code,
            seconds=seconds,
            output_truncated=cell.out.cut or cell.err.cut or cell.left_out,
            outputs=tuple(cell.outputs),
            variables=Variables.LOST if done is None else Variables.KEPT,
        )


def _keep(cell: _Cell, body: bytes) -> None:
    """Keep a rich output while there is room for it."""
    shown = frames.output(body)
    size = frames.size_of(shown)
    room = frames.OUTPUTS_BYTES - cell.outputs_bytes
    if len(cell.outputs) >= frames.OUTPUTS or size > room:
        cell.left_out = True
        return
    cell.outputs.append(shown)
    cell.outputs_bytes += size
    cell.listener.output(shown)
