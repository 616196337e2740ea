"""What says in a sentence where a passage stands in its document, so that it is found by more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tools.retrieval.documents import Chunk, Parsed

LONGEST = 400


class NotSituated(Exception):  # noqa: N818 - it says what is missing
    """No context was made, for a reason that is logged; the passage goes without."""


class Situating(Protocol):
    """Makes the context of passages. ``name`` tells apart what makes different ones."""

    @property
    def name(self) -> str: ...

    async def situate(self, chunk: Chunk, *, document: Parsed, tenant: str) -> str:
        """At most ``LONGEST`` characters on one line. Raises NotSituated."""
        ...


class ScriptedSituating:
    """The twin for tests: contexts by a word of the passage; what it does not know fails."""

    def __init__(self, contexts: Mapping[str, str], *, name: str = "scripted") -> None:
        self.name = name
        self.contexts = dict(contexts)
        self.asked: list[str] = []

    async def situate(self, chunk: Chunk, *, document: Parsed, tenant: str) -> str:
        del document, tenant
        self.asked.append(chunk.text)
        for word, context in self.contexts.items():
            if word in chunk.text:
                return context
        raise NotSituated(f"nothing is known of {chunk.text[:50]!r}")
