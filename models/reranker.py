"""Question and passage read together: the interface of every model that does it, and a twin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

_WORD = re.compile(r"\w+")


class RerankError(Exception):
    """The reranker gave no scores; the message says why and what to do. Holds no key."""


class PairScorer(Protocol):
    """Says how well each text answers a question."""

    @property
    def name(self) -> str: ...

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number a text, in their order, the higher the better. Raises RerankError."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class WordScorer:
    """The share of the question's words that a text holds: no weights, for tests."""

    name = "words"

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        wanted = _words(query)
        return [len(wanted & _words(text)) / max(1, len(wanted)) for text in texts]

    async def close(self) -> None:
        return


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
