"""A worker that is stopped in a hurry gives back what it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.runs.worker import RunWorker


@asynccontextmanager
async def hurried(worker: RunWorker) -> AsyncIterator[None]:
    """The worker at work. A cancel while it drains ends its grace, and what is left is given back
    all the same, so that no run has to wait for the end of a lease."""
    await worker.__aenter__()
    try:
        yield
    except asyncio.CancelledError:
        # It came while something else was closing.
        worker.hurry()
        raise
    finally:
        closing = asyncio.create_task(worker.__aexit__(None, None, None), name="drain")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            worker.hurry()
            await closing
            raise
