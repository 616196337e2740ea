"""`counterpoint up` whose tracing is switched while it runs, for ``python -m bench.telemetry``.

One process for all modes: two of the same program differ by more than what is measured. A line on
stdin names a mode; what was heard before is written and sent first, and the answer is the CPU that
the process has used so far, in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
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
        self.switch(OFF)

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        if self._mode != OFF:
            super().hear(record, event, at=at)

    def switch(self, mode: str) -> None:
        self._mode = mode
        self._exporting = self._sends if mode == SENT else None

    async def settle(self) -> Sequence[int]:
        """Write and send all there is; how many spans were sent so far, and how many lost."""
        await self.flush()
        if self._sends is None:
            return 0, self.dropped
        await asyncio.to_thread(self._sends.flush)
        return self._sends.sent, self._sends.lost + self.dropped


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
                told = {"spent": spent, "from": 1_000 * time.process_time()}
                print(json.dumps({**told, "sent": sent, "lost": lost}), flush=True)


if __name__ == "__main__":
    loop.run(main())
