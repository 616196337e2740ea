"""Kernels that are ready before anybody asks, each a sandbox of its own that nobody has used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tools.sandbox.live_kernel import LiveKernel
from tools.sandbox.sandbox import SandboxError

_log = logging.getLogger(__name__)


class WarmKernels:
    """Keeps ``size`` kernels ready; a taken one is replaced in the background."""

    def __init__(self, start: Callable[[], Awaitable[LiveKernel]], *, size: int) -> None:
        self._start = start
        self._size = size
        self._ready: list[LiveKernel] = []
        self._filling: asyncio.Task[None] | None = None
        self._closed = False
        self.warm = 0
        """How many were taken that were ready."""
        self.cold = 0
        """How many had to be started for their taker."""

    @property
    def ready(self) -> int:
        """How many are."""
        return len(self._ready)

    async def take(self) -> LiveKernel:
        """A kernel of one's own. Raises SandboxError."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        try:
            while self._ready:
                kernel = self._ready.pop(0)
                if not kernel.dead:
                    self.warm += 1
                    return kernel
                _forget(kernel)
            self.cold += 1
            return await self._start()
        finally:
            self.refill()

    async def close(self) -> None:
        """End them all."""
        self._closed = True
        # Cancelled, a kernel that is just starting is ended by its starter.
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        kernels, self._ready = self._ready, []
        await asyncio.gather(*(kernel.end() for kernel in kernels))
        for kernel in kernels:
            _forget(kernel)

    def refill(self) -> None:
        """Begin to replace those that are missing."""
        if not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill_quietly(), name="warm kernels")

    async def _fill_quietly(self) -> None:
        try:
            while len(self._ready) < self._size:
                self._ready.append(await self._start())
        except SandboxError as error:
            # Whoever needs a kernel is told; the next one taken tries again.
            _log.warning("no warm kernel: %s", error)


def _forget(kernel: LiveKernel) -> None:
    if kernel.work is not None:
        kernel.work.close()
