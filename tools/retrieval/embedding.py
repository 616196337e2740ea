"""Texts of all documents that come in at the same time, embedded together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from models.embedder import Embedder

BATCH = 32


class _Caller:
    """The texts that one caller wants, and what they have become so far."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.vectors: list[tuple[float, ...] | None] = [None] * len(texts)
        self.left = deque(range(len(texts)))
        self.missing = len(texts)
        self.error: Exception | None = None


class SharedEmbedding:
    """Embeds for several callers at once, ``batch`` texts at a time, one of each caller in turn.

    So who wants a few texts waits for the batch in hand and for its own, however many texts
    others want. Whoever waits does the work for all; there is no task to end.
    """

    def __init__(self, embedder: Embedder, *, batch: int = BATCH) -> None:
        self._embedder = embedder
        self._batch = batch
        self._callers: deque[_Caller] = deque()
        self._under_way: asyncio.Event | None = None

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector per text, in their order. Raises what the embedder raises."""
        mine = _Caller(texts)
        self._callers.append(mine)
        try:
            while mine.missing and mine.error is None:
                if self._under_way is not None:
                    await self._under_way.wait()
                else:
                    await self._embed_some()
        finally:
            # Cancelled, or failed: nobody wants the rest any more.
            mine.left.clear()
            if mine in self._callers:
                self._callers.remove(mine)
        if mine.error is not None:
            raise mine.error
        return [vector for vector in mine.vectors if vector is not None]

    async def _embed_some(self) -> None:
        self._under_way = ended = asyncio.Event()
        batch = self._next()
        try:
            vectors = await self._embedder.embed_documents(
                [caller.texts[place] for caller, place in batch]
            )
        except asyncio.CancelledError:
            for caller, place in reversed(batch):
                caller.left.appendleft(place)
            raise
        except Exception as error:  # noqa: BLE001 - each caller is told
            for caller, _ in batch:
                caller.error = error
        else:
            for (caller, place), vector in zip(batch, vectors, strict=True):
                caller.vectors[place] = tuple(vector.tolist())
                caller.missing -= 1
        finally:
            self._under_way = None
            ended.set()

    def _next(self) -> list[tuple[_Caller, int]]:
        """What to embed next, each as its caller and its place there."""
        batch: list[tuple[_Caller, int]] = []
        idle = 0
        while len(batch) < self._batch and idle < len(self._callers):
            caller = self._callers[0]
            self._callers.rotate(-1)
            if caller.left:
                batch.append((caller, caller.left.popleft()))
                idle = 0
            else:
                idle += 1
        return batch
