"""An embedder that remembers: a question that comes again costs nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from models.embedder import Embedder, Vectors

QUERIES = 2_048
LONGEST = 2_000


class RememberingEmbedder:
    """``embedder`` with the vectors of its last ``queries`` questions in memory (1.5 KiB each).

    A team asks the same thing several times in a run: each agent opens with it.
    """

    def __init__(self, embedder: Embedder, *, queries: int = QUERIES) -> None:
        self._embedder = embedder
        self._queries = queries
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self.hits = 0
        self.misses = 0

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return await self._embedder.embed_documents(texts)

    async def embed_query(self, text: str) -> Vectors:
        if (known := self._known.get(text)) is not None:
            self._known.move_to_end(text)
            self.hits += 1
            return known
        self.misses += 1
        vector = await self._embedder.embed_query(text)
        if len(text) <= LONGEST:
            vector.setflags(write=False)
            self._known[text] = vector
            while len(self._known) > self._queries:
                self._known.popitem(last=False)
        return vector
