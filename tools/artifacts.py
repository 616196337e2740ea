"""What a tool made for people: files and figures of a run, kept apart from its text.

``Artifacts`` is the seam to where they are kept; ``MemoryArtifacts`` is its twin for tests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from tools.tool import ToolContext


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One kept content, by its SHA-256 (hex). Nobody has vouched for it: it comes from a guest.

    ``id`` is what it can be fetched by.
    """

    id: str
    name: str
    media_type: str
    sha256: str
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """As a tool's result carries it."""
        return {
            "id": self.id,
            "name": self.name,
            "media_type": self.media_type,
            "sha256": self.sha256,
            "bytes": self.bytes,
        }


class ArtifactError(Exception):
    """It is not kept; the message says why, for the model and for people."""


class Artifacts(Protocol):
    """Keeps contents for the run that made them."""

    async def keep(
        self, content: bytes, *, name: str, media_type: str, context: ToolContext
    ) -> Artifact:
        """Keep one. The same content again is the same artifact.

        Raises:
            ArtifactError: it is too large, or the run has too many.
        """
        ...


def described(content: bytes, *, name: str, media_type: str) -> Artifact:
    """The artifact that ``content`` is; its hash is its id."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Artifact(
        id=sha256,
        name=name,
        media_type=media_type,
        sha256=sha256,
        bytes=len(content),
    )


class MemoryArtifacts:
    """Keeps contents in memory, ``limit`` bytes each at most."""

    def __init__(self, *, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self.kept: dict[str, bytes] = {}

    async def keep(
        self, content: bytes, *, name: str, media_type: str, context: ToolContext
    ) -> Artifact:
        del context
        if len(content) > self._limit:
            raise ArtifactError(f"{len(content):,} bytes: {self._limit:,} at most")
        artifact = described(content, name=name, media_type=media_type)
        self.kept[artifact.sha256] = content
        return artifact
