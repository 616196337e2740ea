"""Text to BM25 term weights; the store multiplies in how rare a term is among the tenant's."""

from __future__ import annotations

import re

import qdrant_edge

from tools.retrieval.documents import SparseVector

# Scripts written without spaces, and Hangul, whose particles cling to the word.
_CJK_RUN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff66-\uff9f]+")


class Bm25Encoder:
    """Qdrant's BM25 for English words, with character bigrams for Chinese, Japanese and Korean."""

    name = "qdrant-bm25-english-cjk2"

    def __init__(self) -> None:
        self._bm25 = qdrant_edge.Bm25()

    def document(self, text: str) -> SparseVector:
        """Term weights of an indexed text."""
        return _vector(self._bm25.embed_document(with_bigrams(text)))

    def query(self, text: str) -> SparseVector:
        """The query's terms, each of weight one."""
        return _vector(self._bm25.embed_query(with_bigrams(text)))


def _vector(vector: qdrant_edge.SparseVector) -> SparseVector:
    return SparseVector(indices=tuple(vector.indices), values=tuple(vector.values))


def with_bigrams(text: str) -> str:
    return _CJK_RUN.sub(lambda run: f" {_bigrams(run.group())} ", text)


def _bigrams(run: str) -> str:
    return " ".join(run[place : place + 2] for place in range(max(1, len(run) - 1)))
