"""Where passages are kept and looked up: the interface, and what its implementations share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tools.retrieval.documents import (
    Chunk,
    DocumentVersion,
    Passage,
    SparseVector,
    StoredDocument,
    StoredPassage,
)
from tools.retrieval.errors import StoreMismatch
from tools.retrieval.filters import Condition
from tools.retrieval.fusion import Pair
from tools.retrieval.sparse import Bm25Encoder

DENSE = "dense"
SPARSE = "bm25"
FORMAT = 1
WRITE_BATCH = 256
READ_BATCH = 1_000
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


Choose = Callable[[Sequence[Pair]], Sequence[str]]


class PassageStore(Protocol):
    """Keeps passages with their vectors. Every method may raise StoreError.

    A version becomes visible at once when all its passages are written, and then replaces the
    older ones; a write cut off in between leaves the older version visible, and the document
    not ``complete``.
    """

    async def upsert_document(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write a version and remove the older ones. Repeating it changes nothing."""
        ...

    async def write_passages(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write some of a version's passages, which nobody sees yet."""
        ...

    async def show_document(self, version: DocumentVersion) -> None:
        """Make a version visible, all of whose passages are written, and remove the older ones.

        A version that is visible already takes its ``folder`` and ``lacking`` from this one.
        """
        ...

    async def visible_document(self, scope: Scope, *, document_id: str) -> DocumentVersion | None:
        """The newest visible version."""
        ...

    async def stored_passages(self, scope: Scope, *, document_id: str) -> Sequence[StoredPassage]:
        """All passages of all versions of a document with their vectors, in no order."""
        ...

    async def chunks(
        self, scope: Scope, *, document_id: str, conditions: Sequence[Condition] = ()
    ) -> Sequence[Chunk]:
        """The visible passages of the newest version, in the document's order."""
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
        complete: bool = False,
        choose: Choose | None = None,
    ) -> Sequence[Candidate]:
        """The ``limit`` nearest passages to each vector given; None leaves that search out.

        ``complete``: a passage that only one search returned gets its score of the other too,
        0 where it shares no term. ``choose`` says by the scores which of them are read at all; it
        may be called on another thread.
        """
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
        "chunk_id": chunk.chunk_id,
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
        "context": chunk.context,
        "content": version.content,
        "folder": version.folder,
        "lacking": version.lacking,
        "metadata": dict(version.metadata),
        "flags": _flags(version.metadata),
    }


def _flags(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is true or false among the fields, as numbers, at the same place."""
    within = {name: _flags(value) for name, value in metadata.items() if isinstance(value, Mapping)}
    held = {name: int(value) for name, value in metadata.items() if isinstance(value, bool)}
    return {name: value for name, value in within.items() if value} | held


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
        # Missing in what an older Counterpoint wrote.
        content=payload.get("content", ""),
        folder=payload.get("folder"),
        lacking=payload.get("lacking", 0),
    )


def shown(version: DocumentVersion) -> dict[str, Any]:
    """What a version's payloads take on when it becomes visible."""
    return {**LIVE, "folder": version.folder, "lacking": version.lacking}


def chunk_of(payload: Mapping[str, Any]) -> Chunk:
    """The passage's part of a payload."""
    return Chunk(
        document_id=payload["document_id"],
        chunk_id=payload.get("chunk_id") or f"{payload['document_id']}#{payload['index']}",
        index=payload["index"],
        text=payload["text"],
        heading=tuple(payload["heading"]),
        page=payload["page"],
        span=(payload["start"], payload["end"]),
        context=payload.get("context", ""),
    )


def stored_passage(payload: Mapping[str, Any], vector: Any) -> StoredPassage:
    """A stored point with its vectors as a passage."""
    return StoredPassage(
        title=payload["title"], chunk=chunk_of(payload), dense=tuple(vector[DENSE])
    )


def newest_version(payloads: Sequence[Mapping[str, Any]]) -> DocumentVersion | None:
    """The newest of the versions among ``payloads``."""
    versions = [version_of(one) for one in payloads]
    return max(versions, key=lambda one: (one.ingested_at, one.sha256), default=None)


def of_newest(payloads: Sequence[Mapping[str, Any]]) -> list[Chunk]:
    """The passages of the newest of the versions among ``payloads``, in the document's order."""
    newest = max(((one["ingested_at"], one["sha256"]) for one in payloads), default=(0.0, ""))
    found = [chunk_of(one) for one in payloads if one["sha256"] == newest[1]]
    return sorted(found, key=lambda one: one.index)


def candidate(
    point: str, payload: Mapping[str, Any], *, bm25: float | None, dense: float | None
) -> Candidate:
    """A stored point as a candidate."""
    return Candidate(
        point_id=point,
        chunk=chunk_of(payload),
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


def chosen(
    *, dense: Mapping[str, float], sparse: Mapping[str, float], choose: Choose | None
) -> list[str]:
    """The points that are to be read, of those that the searches found."""
    found = list(dict.fromkeys((*dense, *sparse)))
    if choose is None:
        return found
    return list(choose([Pair(id=one, bm25=sparse.get(one), dense=dense.get(one)) for one in found]))


def lacking(dense: Mapping[str, float], sparse: Mapping[str, float]) -> dict[str, set[str]]:
    """The points that lack the one or the other score, by the name of the vector."""
    return {DENSE: set(sparse) - set(dense), SPARSE: set(dense) - set(sparse)}


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
        "normalized": True,
    }


def check_meta(found: Mapping[str, Any], *, wanted: Mapping[str, Any], place: str) -> None:
    """Raises StoreMismatch where ``found`` differs from ``wanted``."""
    # Older stores do not say that their vectors have length 1, as all have.
    found = {"normalized": True, **found}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise StoreMismatch(
                f"{place}: the store was made with {key} {found.get(key)!r}, not {value!r};"
                " set the embedder back, or ingest the documents again into a new store"
            )
