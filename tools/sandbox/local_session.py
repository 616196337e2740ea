"""A session of the local sandbox: one kernel after the other, and the files that outlive them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from tools.sandbox.live_kernel import LiveKernel
from tools.sandbox.sandbox import (
    Execution,
    FileEntry,
    Limits,
    Listener,
    SandboxError,
    Variables,
    checked_files,
)
from tools.sandbox.work_folder import WorkFolder


class LocalSession:
    """A notebook. A kernel that ends takes its variables with it; the next one gets its files.

    ``kernel`` gives a new kernel; ``closed`` is told at the end.
    """

    def __init__(
        self,
        kernel: Callable[[], Awaitable[LiveKernel]],
        *,
        limits: Limits,
        closed: Callable[[LocalSession], None],
    ) -> None:
        self._new = kernel
        self._limits = limits
        self._told = closed
        self._turn = asyncio.Lock()
        self._kernel: LiveKernel | None = None
        self._left: WorkFolder | None = None
        self._fresh = True
        self._closed = False

    async def begin(self, files: Mapping[str, bytes]) -> None:
        """Have a kernel, with ``files``. Raises SandboxError."""
        async with self._turn:
            kernel = await self._alive()
            for name, content in files.items():
                await kernel.put(name, content)

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
        listener: Listener | None = None,
    ) -> Execution:
        source = code.encode("utf-8", "replace")
        half = self._limits.disk_bytes // 2
        if len(source) > half:
            raise ValueError(f"code of {len(source):,} bytes: the sandbox takes {half:,} at most")
        longest = self._limits.seconds
        seconds = longest if timeout is None else min(longest, timeout)
        async with self._turn:
            kernel = await self._alive()
            lost, self._fresh = not self._fresh and kernel.cells == 0, False
            execution = await kernel.run(source, seconds=seconds, listener=listener)
            if lost and execution.variables is Variables.KEPT:
                execution = replace(execution, variables=Variables.NEW)
            if execution.variables is Variables.LOST:
                # Told already.
                self._fresh = True
            return execution

    async def put(self, files: Mapping[str, bytes]) -> None:
        contents = checked_files(files, limit=self._limits.disk_bytes // 2)
        async with self._turn:
            kernel = await self._alive()
            for name, content in contents.items():
                await kernel.put(name, content)

    async def get(self, path: str) -> bytes:
        folder = self._folder()
        return await asyncio.to_thread(folder.read, path, limit=self._limits.disk_bytes)

    async def files(self) -> tuple[FileEntry, ...]:
        return await asyncio.to_thread(self._folder().list)

    async def interrupt(self) -> None:
        if self._kernel is not None:
            self._kernel.interrupt()

    async def reset(self) -> None:
        async with self._turn:
            self._check()
            if self._kernel is not None:
                await self._kernel.end()
            self._fresh = True

    async def close(self) -> None:
        self._closed = True
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.end()
            if kernel.work is not None:
                kernel.work.close()
        # A kernel that is just starting finds the session closed, and is ended by its starter.
        async with self._turn:
            if self._left is not None:
                self._left.close()
                self._left = None
        self._told(self)

    def _check(self) -> None:
        if self._closed:
            raise SandboxError("the session is closed")

    def _folder(self) -> WorkFolder:
        self._check()
        if self._kernel is not None and self._kernel.work is not None:
            return self._kernel.work
        if self._left is None:
            raise SandboxError("the session has no files: it could not be started")
        return self._left

    async def _alive(self) -> LiveKernel:
        """The kernel, or a new one with the files of that which ended."""
        self._check()
        if self._kernel is not None and not self._kernel.dead:
            return self._kernel
        if self._kernel is not None:
            # Kept until all of it is handed on, also where no new kernel can be had.
            self._left, self._kernel.work = self._kernel.work, None
            self._kernel = None
        kernel = await self._new()
        try:
            self._check()
            if self._left is not None:
                await self._hand_on(self._left, kernel)
        except BaseException:
            await asyncio.shield(kernel.end())
            if kernel.work is not None:
                kernel.work.close()
            raise
        if self._left is not None:
            self._left.close()
            self._left = None
        self._kernel = kernel
        return kernel

    async def _hand_on(self, folder: WorkFolder, kernel: LiveKernel) -> None:
        for entry in await asyncio.to_thread(folder.list):
            try:
                content = await asyncio.to_thread(
                    folder.read, entry.path, limit=self._limits.disk_bytes
                )
            except FileNotFoundError:
                continue
            # As it was: the cell has not written it.
            await kernel.put(entry.path, content, modified=entry.modified)
