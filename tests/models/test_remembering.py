"""The embedder that remembers: the same vectors as the one behind it, with fewer calls of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.embedder import HashedEmbedder, Vectors
from models.remembering import LONGEST, RememberingEmbedder


class Counted(HashedEmbedder):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def embed_query(self, text: str) -> Vectors:
        self.asked.append(text)
        return await super().embed_query(text)


async def ask(embedder: RememberingEmbedder, texts: Sequence[str]) -> None:
    for text in texts:
        assert np.array_equal(
            await embedder.embed_query(text), await HashedEmbedder().embed_query(text)
        )


async def test_a_question_that_comes_again_is_not_embedded_again() -> None:
    behind = Counted()
    await ask(RememberingEmbedder(behind), ["refunds", "plans", "refunds", "plans"])
    assert behind.asked == ["refunds", "plans"]


async def test_the_question_that_was_asked_longest_ago_is_forgotten_first() -> None:
    behind = Counted()
    await ask(RememberingEmbedder(behind, queries=2), ["a", "b", "a", "c", "a", "b"])
    assert behind.asked == ["a", "b", "c", "b"]


async def test_a_very_long_question_is_not_kept() -> None:
    behind = Counted()
    long = "x" * (LONGEST + 1)
    await ask(RememberingEmbedder(behind), [long, long])
    assert behind.asked == [long, long]


async def test_it_calls_itself_and_embeds_documents_as_the_one_behind_it() -> None:
    behind = HashedEmbedder()
    embedder = RememberingEmbedder(behind)
    assert (embedder.name, embedder.dimension) == (behind.name, behind.dimension)
    assert np.array_equal(
        await embedder.embed_documents(["a", "b"]), await behind.embed_documents(["a", "b"])
    )
