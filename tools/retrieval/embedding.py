"""Texts of all documents that come in at the same time, embedded together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from models.embedder import Embedder

WINDOW = 256
BATCH = 128


@dataclass(eq=False, kw_only=True)
class _Wanted:
    text: str
    vector: tuple[float, ...] | None = None
    error: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self.vector is None and self.error is None


class SharedEmbedding:
    """Embeds for several callers at once: ``window`` texts are sorted by length, longest first, and
    given to the embedder ``batch`` at a time, since padding costs as much as words do.

    Whoever waits does the work for all; there is no task to end.
    """

    def __init__(self, embedder: Embedder, *, window: int = WINDOW, batch: int = BATCH) -> None:
        self._embedder = embedder
        self._window = window
        self._batch = batch
        self._waiting: list[_Wanted] = []
        self._turn = asyncio.Lock()

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector per text, in their order. Raises what the embedder raises."""
        mine = [_Wanted(text=text) for text in texts]
        self._waiting += mine
        try:
            async with self._turn:
                while any(one.is_open for one in mine):
                    await self._embed_window()
        finally:
            # Cancelled, or failed: nobody wants the rest any more.
            left = set(mine)
            self._waiting = [one for one in self._waiting if one not in left]
        vectors = []
        for one in mine:
            if one.error is not None:
                raise one.error
            assert one.vector is not None
            vectors.append(one.vector)
        return vectors

    async def _embed_window(self) -> None:
        window = self._waiting[: self._window]
        window.sort(key=lambda one: len(one.text), reverse=True)
        for start in range(0, len(window), self._batch):
            batch = window[start : start + self._batch]
            try:
                vectors = await self._embedder.embed_documents([one.text for one in batch])
            except Exception as error:  # noqa: BLE001 - each caller is told
                for one in batch:
                    one.error = error
            else:
                for one, vector in zip(batch, vectors, strict=True):
                    one.vector = tuple(vector.tolist())
        self._waiting = [one for one in self._waiting if one.is_open]
