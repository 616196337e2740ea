"""Where passages are kept and looked up: the interface, and what its implementations share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tools.retrieval.documents import (
    Chunk,
    DocumentVersion,
    Passage,
    SparseVector,
    StoredDocument,
)
from tools.retrieval.errors import StoreMismatch
from tools.retrieval.filters import Condition
from tools.retrieval.sparse import Bm25Encoder

DENSE = "dense"
SPARSE = "bm25"
FORMAT = 1
WRITE_BATCH = 256
KEYWORD_FIELDS = ("tenant", "collection", "document_id", "sha256")
INTEGER_FIELDS = ("live", "index")

# The engine in process cannot match true and false: truth is stored as 0 and 1.
LIVE = {"live": 1}

_POINTS = uuid.UUID("5b0c7a52-6b0e-4f55-9d5c-0e4b7f1d3a66")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose documents: nothing outside is seen, counted or weighed."""

    tenant: str
    collection: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A passage that the first stage returned, with the scores it was returned for."""

    point_id: str
    chunk: Chunk
    version: DocumentVersion
    bm25: float | None = None
    dense: float | None = None


class PassageStore(Protocol):
    """Keeps passages with their vectors. Every method may raise StoreError.

    A version becomes visible at once when all its passages are written, and then replaces the
    older ones; a write cut off in between leaves the older version visible, and the document
    not ``complete``.
    """

    async def upsert_document(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write a version and remove the older ones. Repeating it changes nothing."""
        ...

    async def find_document(self, scope: Scope, *, document_id: str) -> StoredDocument | None:
        """The newest version written, wholly or in part."""
        ...

    async def delete_document(self, scope: Scope, *, document_id: str) -> bool:
        """Remove all versions; False if there were none."""
        ...

    async def list_documents(
        self, scope: Scope, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[DocumentVersion], str | None]:
        """Visible documents in a stable order, and where the next page starts, if there is one."""
        ...

    async def candidates(
        self,
        scope: Scope,
        *,
        dense: Sequence[float] | None,
        sparse: SparseVector | None,
        limit: int,
        conditions: Sequence[Condition] = (),
    ) -> Sequence[Candidate]:
        """The ``limit`` nearest passages to each vector given; None leaves that search out."""
        ...

    async def close(self) -> None:
        """Flush and let go."""
        ...


def point_id(version: DocumentVersion, *, index: int) -> str:
    """The same passage of the same version always has the same id."""
    parts = (version.tenant, version.collection, version.document_id, version.sha256, str(index))
    return str(uuid.uuid5(_POINTS, "\0".join(parts)))


def to_payload(version: DocumentVersion, chunk: Chunk) -> dict[str, Any]:
    """What is stored beside the vectors; not ``live`` until the whole version is written."""
    return {
        "tenant": version.tenant,
        "collection": version.collection,
        "document_id": version.document_id,
        "sha256": version.sha256,
        "live": 0,
        "index": chunk.index,
        "chunks": version.chunks,
        "title": version.title,
        "source": version.source,
        "media_type": version.media_type,
        "pages": version.pages,
        "ingested_at": version.ingested_at,
        "text": chunk.text,
        "heading": list(chunk.heading),
        "page": chunk.page,
        "start": chunk.span[0],
        "end": chunk.span[1],
        "metadata": dict(version.metadata),
        "flags": {
            name: int(value) for name, value in version.metadata.items() if isinstance(value, bool)
        },
    }


def version_of(payload: Mapping[str, Any]) -> DocumentVersion:
    """The document's part of a payload."""
    return DocumentVersion(
        tenant=payload["tenant"],
        collection=payload["collection"],
        document_id=payload["document_id"],
        sha256=payload["sha256"],
        title=payload["title"],
        source=payload["source"],
        media_type=payload["media_type"],
        pages=payload["pages"],
        chunks=payload["chunks"],
        ingested_at=payload["ingested_at"],
        metadata=payload["metadata"],
    )


def candidate(
    point: str, payload: Mapping[str, Any], *, bm25: float | None, dense: float | None
) -> Candidate:
    """A stored point as a candidate."""
    return Candidate(
        point_id=point,
        chunk=Chunk(
            document_id=payload["document_id"],
            chunk_id=f"{payload['document_id']}#{payload['index']}",
            index=payload["index"],
            text=payload["text"],
            heading=tuple(payload["heading"]),
            page=payload["page"],
            span=(payload["start"], payload["end"]),
        ),
        version=version_of(payload),
        bm25=bm25,
        dense=dense,
    )


def merge(
    *, dense: Mapping[str, float], sparse: Mapping[str, float], payloads: Mapping[str, Any]
) -> list[Candidate]:
    """The two result lists as one, every passage of a document from its newest version.

    Two visible versions exist for the moment between showing the new and removing the old one,
    or after a crash in that moment.
    """
    found = [
        candidate(point, payload, bm25=sparse.get(point), dense=dense.get(point))
        for point, payload in payloads.items()
    ]
    newest: dict[str, tuple[float, str]] = {}
    for one in found:
        key = (one.version.ingested_at, one.version.sha256)
        newest[one.version.document_id] = max(newest.get(one.version.document_id, key), key)
    return [one for one in found if newest[one.version.document_id][1] == one.version.sha256]


def newest(versions: Sequence[tuple[DocumentVersion, int]]) -> StoredDocument | None:
    """The newest of versions given with their number of visible passages.

    Complete means that it is there alone, whole and visible.
    """
    if not versions:
        return None
    version, live = max(versions, key=lambda one: (one[0].ingested_at, one[0].sha256))
    return StoredDocument(version=version, complete=len(versions) == 1 and live == version.chunks)


def meta(*, embedder: str, dimension: int) -> dict[str, Any]:
    """What decides whether vectors can be compared; recorded with the store."""
    return {
        "format": FORMAT,
        "embedder": embedder,
        "dimension": dimension,
        "sparse": Bm25Encoder.name,
    }


def check_meta(found: Mapping[str, Any], *, wanted: Mapping[str, Any], place: str) -> None:
    """Raises StoreMismatch where ``found`` differs from ``wanted``."""
    for key, value in wanted.items():
        if found.get(key) != value:
            raise StoreMismatch(
                f"{place}: the store was made with {key} {found.get(key)!r}, not {value!r};"
                " set the embedder back, or ingest the documents again into a new store"
            )
