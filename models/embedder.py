"""Text to vectors: the interface of every embedder, and a twin that needs no weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    """Turns texts into unit vectors whose dot product is their similarity.

    ``name`` and ``dimension`` are recorded with every collection: vectors of two embedders
    never mix.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row per text, float32 of shape (texts, dimension), each of length 1."""
        ...

    async def embed_query(self, text: str) -> Vectors:
        """One vector of shape (dimension,) and length 1."""
        ...


class HashedEmbedder:
    """Words and their trigrams hashed into buckets: deterministic, no weights, for tests.

    Texts that share words or stems are near each other; it knows nothing of meaning.
    """

    def __init__(self, *, dimension: int = 256) -> None:
        self._dimension = dimension

    @property
    def name(self) -> str:
        return f"hashed-{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = [self._embed(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._dimension), dtype=np.float32)

    async def embed_query(self, text: str) -> Vectors:
        return self._embed(text)

    def _embed(self, text: str) -> Vectors:
        vector = np.zeros(self._dimension, dtype=np.float32)
        for feature, weight in _features(text):
            digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
            sign = 1.0 if digest[0] & 1 else -1.0
            vector[int.from_bytes(digest[1:], "big") % self._dimension] += sign * weight
        length = float(np.linalg.norm(vector))
        if length == 0.0:
            # A text without words still needs a direction: a zero vector has no cosine.
            vector[0] = length = 1.0
        return vector / np.float32(length)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.casefold()):
        yield word, 1.0
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 0.3
