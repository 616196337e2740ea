"""A store of passages that is opened by the first test that looks into it: most never do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tools.retrieval.edge_store import EdgeStore


class LazyStore:
    """Everything that an ``EdgeStore`` does, once it is asked for something."""

    def __init__(self, open_: Callable[[], Awaitable[EdgeStore]]) -> None:
        self._open = open_
        self._opening = asyncio.Lock()
        self._opened: EdgeStore | None = None

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            return await getattr(await self._store(), name)(*given, **named)

        return call

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _store(self) -> EdgeStore:
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open()
            return self._opened
