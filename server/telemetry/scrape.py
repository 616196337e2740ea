"""One scrape: what this process counts, and what Redis holds at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from server import patience
from server.telemetry import metric_names as names
from server.telemetry.metrics import Metrics

LAG_SECONDS = 1.0


class Refreshed(Protocol):
    """What has to be asked anew before it is told."""

    async def refresh(self) -> None:
        """Ask; never raises."""
        ...


class Scrape:
    """The metrics of a process as one text."""

    def __init__(self, metrics: Metrics, *asked: Refreshed) -> None:
        self.metrics = metrics
        self._asked = asked

    async def text(self) -> bytes:
        """In Prometheus's text format; takes two seconds at most, whatever is away."""
        await asyncio.gather(*(one.refresh() for one in self._asked))
        return self.metrics.text()


@asynccontextmanager
async def lag_watched(metrics: Metrics) -> AsyncIterator[None]:
    """Meanwhile the event loop is asked every second to be on time."""

    async def watch() -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            metrics.observe(names.LOOP_LAG, max(0.0, clock() - due))

    watching = asyncio.create_task(watch(), name="event loop lag")
    try:
        yield
    finally:
        await patience.over(watching)
