"""Passages of drawn words and vectors, as many as asked for, for `bench.retrieval`.

The words are those that the embedder knows as one token, so that a drawn question costs it what a
real one does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np

from tools.retrieval.documents import Chunk, DocumentVersion, Passage
from tools.retrieval.sparse import Bm25Encoder

TENANT, COLLECTION = "bench", "bench"
SHORTEST_WORD = 3
PASSAGE_WORDS = 130
DOCUMENT_PASSAGES = 250


class Words:
    """Texts of words that are as unevenly frequent as a language's."""

    def __init__(self, tokenizer: Path, *, seed: int = 1) -> None:
        known = json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"]
        self._words = [
            word
            for word in known
            if word.isascii() and word.isalpha() and len(word) >= SHORTEST_WORD
        ]
        self._chance = random.Random(seed)
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(len(self._words))))

    def text(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=words))


def documents(
    words: Words, *, count: int, dimension: int
) -> Iterator[tuple[DocumentVersion, list[Passage]]]:
    """Documents with ``count`` passages in all."""
    encoder, chance = Bm25Encoder(), np.random.default_rng(count)
    for number, start in enumerate(range(0, count, DOCUMENT_PASSAGES)):
        many = min(DOCUMENT_PASSAGES, count - start)
        vectors = chance.standard_normal((many, dimension))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        passages = []
        for index in range(many):
            text = words.text(PASSAGE_WORDS)
            chunk = Chunk(
                document_id=f"d{number}",
                chunk_id=f"d{number}#{index}",
                index=index,
                text=text,
                heading=(),
                page=None,
                span=(0, len(text)),
            )
            dense = tuple(vectors[index].tolist())
            passages.append(Passage(chunk=chunk, dense=dense, sparse=encoder.document(text)))
        yield _version(number, chunks=many), passages


def _version(number: int, *, chunks: int) -> DocumentVersion:
    return DocumentVersion(
        tenant=TENANT,
        collection=COLLECTION,
        document_id=f"d{number}",
        sha256=str(number),
        title=f"d{number}",
        source=f"d{number}",
        media_type="text/plain",
        pages=None,
        chunks=chunks,
        ingested_at=float(number + 1),
    )
