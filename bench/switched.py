"""`counterpoint up` whose tracing is switched while it runs, for ``python -m bench.telemetry``.

One process for all modes: two of the same program differ by more than what is measured. A line on
stdin names a mode; what was heard before is written and sent first, and the answer is the CPU that
the process has used so far, and how much of it was tracing's own, in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from server import app, house, lock, logs, loop, progress, serve, settings
from server.part import Part
from server.runs.record import RunRecord
from server.telemetry import otlp, traced
from server.telemetry.hearing import Heard
from server.telemetry.tracing import Tracing

OFF, KEPT, SENT = MODES = ("off", "kept", "kept and sent")


class Switched(Tracing):
    """Tracing that is off until it is told otherwise."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sends = self._exporting
        self._own = 0
        self.switch(OFF)

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        if self._mode != OFF:
            began = time.thread_time_ns()
            super().hear(record, event, at=at)
            self._own += time.thread_time_ns() - began

    def created(self, record: RunRecord, *, since: float) -> None:
        began = time.thread_time_ns()
        super().created(record, since=since)
        self._own += time.thread_time_ns() - began

    async def flush(self, *, running: bool = True) -> None:
        await self._timed(super().flush(running=running))

    @property
    def own(self) -> float:
        """CPU milliseconds of all this in the loop, and of the thread that sends."""
        sending = [one for one in threading.enumerate() if one.name.startswith("OtelBatch")]
        schedules = [Path(f"/proc/self/task/{one.native_id}/schedstat") for one in sending]
        spent = sum(int(one.read_text().split()[0]) for one in schedules)
        return (self._own + spent) / 1e6

    def switch(self, mode: str) -> None:
        self._mode = mode
        self._exporting = self._sends if mode == SENT else None

    async def settle(self) -> Sequence[int]:
        """Write and send all there is; how many spans were sent so far, and how many lost."""
        await self.flush()
        if self._sends is None:
            return 0, self.dropped
        self._own += await asyncio.to_thread(_sent_by, self._sends)
        return self._sends.sent, self._sends.lost + self.dropped

    @types.coroutine
    def _timed(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """``work``, with what its steps take of the loop's thread counted."""
        step: Callable[[], Any] = partial(work.send, None)
        while True:
            began = time.thread_time_ns()
            try:
                waits = step()
            except StopIteration:
                return
            finally:
                self._own += time.thread_time_ns() - began
            try:
                step = partial(work.send, (yield waits))
            except BaseException as error:  # noqa: BLE001 - it is the work's to handle
                step = partial(work.throw, error)


def _sent_by(sends: otlp.Exporting) -> int:
    began = time.thread_time_ns()
    sends.flush()
    return time.thread_time_ns() - began


async def main() -> None:
    configured = settings.load(host="127.0.0.1", port=0)
    lock.prepare(configured.data_dir)
    logs.configure_as_set(configured)
    setattr(traced, "Tracing", Switched)  # noqa: B010 - a name of its own import
    assert otlp.wanted(os.environ)
    bar = progress.for_console(Console(stderr=True))
    with serve.listening(configured.host, configured.port) as sock:
        async with (
            house.open_house(configured, progress=bar, part=Part.ALL) as opened,
            serve.serving(app.build(opened), sock=sock),
        ):
            tracing = opened.tracing
            assert isinstance(tracing, Switched)
            gc.collect()
            gc.freeze()
            print(json.dumps({"url": serve.url_of(sock)}), flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                sent, lost = await tracing.settle()
                spent = 1_000 * time.process_time()
                gc.collect()
                tracing.switch(line.strip())
                told = {"spent": spent, "own": tracing.own, "sent": sent, "lost": lost}
                told["from"] = 1_000 * time.process_time()
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    loop.run(main())
