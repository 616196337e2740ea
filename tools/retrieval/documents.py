"""The data of retrieval: what a parser gives, what is stored, what a search finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a section's text may be cut: prose between sentences, tables and code between lines."""

    PROSE = "prose"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A run of text under one heading on one page.

    ``start`` is a character offset: ``parsed.text[start:start + len(text)] == text``.
    ``page`` counts from 1 and is None where the format has no pages. ``caption`` is the
    caption of a table or figure, which stands in the text as well; empty where there is none.
    """

    text: str
    start: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    kind: Kind = Kind.PROSE
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A document as text. ``pages_without_text`` are pages that hold only images, of which
    ``pages_by_ocr``, whose text was read off a picture, are none.
    """

    title: str
    text: str
    sections: tuple[Section, ...]
    media_type: str
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()
    pages_by_ocr: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A passage: the unit that is embedded, found and cited.

    ``span`` is the passage's place in the parsed text. ``text`` is that span, except that
    a further part of a long table repeats the table's caption and header in front of it.
    ``context`` says in a sentence where the passage stands in its document; it is searched, and
    no part of what is cited.
    """

    document_id: str
    chunk_id: str
    index: int
    text: str
    heading: tuple[str, ...]
    page: int | None
    span: tuple[int, int]
    context: str = ""


@dataclass(frozen=True, kw_only=True)
class SparseVector:
    """Term ids and their weights."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A chunk with its vectors, ready to be stored. ``dense`` has the embedder's dimension."""

    chunk: Chunk
    dense: tuple[float, ...]
    sparse: SparseVector


@dataclass(frozen=True, kw_only=True)
class DocumentVersion:
    """One version of a document. ``sha256`` covers everything that decides its passages;
    ``ingested_at`` is in Unix seconds and tells which of two versions is the newer. ``content`` is
    the SHA-256 of the bytes alone, ``folder`` the folder that is followed and holds the file, and
    ``lacking`` how many passages still want their context.
    """

    tenant: str
    collection: str
    document_id: str
    sha256: str
    title: str
    source: str
    media_type: str
    pages: int | None
    chunks: int
    ingested_at: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    content: str = ""
    folder: str | None = None
    lacking: int = 0


@dataclass(frozen=True, kw_only=True)
class StoredPassage:
    """A passage as it lies in the store, of a version that is visible or not yet."""

    title: str
    chunk: Chunk
    dense: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """What the store holds of a document; not ``complete`` means: ingest it again."""

    version: DocumentVersion
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Every score of a hit; None where that search did not return it."""

    bm25: float | None = None
    dense: float | None = None
    fused: float = 0.0
    rerank: float | None = None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage found, with all that a citation needs."""

    document_id: str
    chunk_id: str
    title: str
    source: str
    text: str
    page: int | None
    heading: tuple[str, ...]
    span: tuple[int, int]
    scores: Scores
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The hit as ``POST /documents/search`` gives it."""
        return {
            "document_id": self.document_id,
            "chunk_id": self.chunk_id,
            "title": self.title,
            "source": self.source,
            "text": self.text,
            "page": self.page,
            "heading": list(self.heading),
            "span": list(self.span),
            "scores": {
                "bm25": self.scores.bm25,
                "dense": self.scores.dense,
                "fused": self.scores.fused,
                "rerank": self.scores.rerank,
            },
            "metadata": dict(self.metadata),
        }
