"""The tool that reads one document in order: all of it, or what it has on a subject."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from tools.retrieval.documents import Chunk, DocumentVersion
from tools.retrieval.errors import RetrievalError
from tools.retrieval.knowledge import Knowledge
from tools.thread_documents import Given, ThreadDocuments
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

NAME = "read_document"
READING = "reading"
"""Key in ``ToolResult.data``: which document was read, and how many passages it has."""

MOST = 100
MOST_ABOUT = 60
_MOST_DOCUMENTS = 1_000
_TITLES = 10
_GIVEN = re.compile(
    r"\b(?:attach(?:ed|ment|ments)|upload(?:ed|s)?|files?|(?:this|these) documents?)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
# What a request says around the name of a document, and file endings.
_SAID = frozenset(
    """a about across all an and are as at be by can chapter chapters content contents could do does
    document documents each every file for from give how i in is it its key main me of on or our
    outline over overview page pages part parts please point points recap report say says section
    sections short sum summaries summarise summarize summary tell text that the their this to up
    us what which whole with you your md pdf docx pptx xlsx html htm txt csv eml""".split()
)


class ReadDocument(BaseModel):
    """Arguments of ``read_document``."""

    document: str = Field(
        min_length=1, max_length=400, description="The document's id, title or file name."
    )
    about: str = Field(default="", max_length=200, description="Only what it has on this subject.")
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Passages to leave out.")
    limit: int = Field(default=10, ge=1, le=MOST, description="Passages to read.")


def read_document(knowledge: Knowledge, *, given: ThreadDocuments | None = None) -> Tool:
    """A tool over ``knowledge`` that gives a document's passages in their order; one that the
    thread's user has ``given`` as well.
    """

    async def call(arguments: ReadDocument, context: ToolContext) -> ToolResult:
        tenant = context.tenant
        try:
            ready = Given()
            if given is not None:
                ready = await given.ready(tenant=tenant, thread_id=context.thread_id)
            version = await _by_id(
                knowledge,
                arguments.document,
                tenant=tenant,
                collections=[one for one in (ready.collection, context.collection) if one],
            )
            if version is None:
                listed = await _some(knowledge, tenant=tenant, collection=context.collection)
                theirs = (
                    await _some(knowledge, tenant=tenant, collection=ready.collection)
                    if ready.collection
                    else []
                )
                version = _meant(arguments.document, theirs=theirs, listed=listed)
                if version is None:
                    return ToolResult(content=_which([*theirs, *listed], ready), ok=False)
            collection = version.collection
            if arguments.about:
                hits = await knowledge.search(
                    arguments.about,
                    tenant=tenant,
                    collection=collection,
                    limit=MOST_ABOUT,
                    filters={"document_id": version.document_id},
                )
                found = [hit.to_json() for hit in sorted(hits, key=lambda hit: hit.span)]
                total = len(found)
                found = found[arguments.offset : arguments.offset + arguments.limit]
            else:
                page = await knowledge.passages(
                    version.document_id,
                    tenant=tenant,
                    collection=collection,
                    limit=arguments.limit,
                    offset=arguments.offset,
                )
                if page is None:
                    raise ToolError(f"The document {version.title!r} is not there any more.")
                total = page.total
                found = [_evidence(chunk, version) for chunk in page.items]
        except RetrievalError as error:
            raise ToolError(f"Reading failed: {error}") from error
        return ToolResult(
            content="\n\n".join(f"[{n}] {one['text']}" for n, one in enumerate(found, 1))
            or f"{version.title} has no further passages.",
            evidence=tuple(found),
            data={
                READING: {
                    "document_id": version.document_id,
                    "title": version.title,
                    "total": total,
                }
            },
        )

    return Tool(
        name=NAME,
        description="Read a document's passages in their order, a few at a time.",
        parameters=ReadDocument,
        effect=Effect.READS,
        call=call,
    )


async def _by_id(
    knowledge: Knowledge, document_id: str, *, tenant: str, collections: Iterable[str]
) -> DocumentVersion | None:
    for collection in collections:
        found = await knowledge.document(document_id, tenant=tenant, collection=collection)
        if found is not None:
            return found
    return None


def _meant(
    request: str, *, theirs: list[DocumentVersion], listed: list[DocumentVersion]
) -> DocumentVersion | None:
    """The document that a request means: one that the user gave where it says so, or names no
    other."""
    if theirs and _GIVEN.search(request) and (found := named(request, theirs)):
        return found
    return named(request, [*theirs, *listed]) or (named(request, theirs) if theirs else None)


async def _some(knowledge: Knowledge, *, tenant: str, collection: str) -> list[DocumentVersion]:
    found: list[DocumentVersion] = []
    async for version in knowledge.documents(tenant=tenant, collection=collection):
        found.append(version)
        if len(found) >= _MOST_DOCUMENTS:
            break
    return found


def named(request: str, documents: Iterable[DocumentVersion]) -> DocumentVersion | None:
    """The one document whose title or file name a request names; the only one there is, anyway.

    Of several it is the one of whose name the greatest share stands in the request; None where no
    word of any name does, or two are named alike.
    """
    listed = list(documents)
    if len(listed) == 1:
        return listed[0]
    asked = _words(request)
    scored: list[tuple[float, int, DocumentVersion]] = []
    for one in listed:
        file = one.source.replace("\\", "/").rsplit("/", 1)[-1]
        for name in (_words(one.title), _words(file)):
            if shared := len(asked & name):
                scored.append((shared / len(name), shared, one))
    if not scored:
        return None
    best = max((share, shared) for share, shared, _ in scored)
    first = {one.document_id: one for *score, one in scored if tuple(score) == best}
    return next(iter(first.values())) if len(first) == 1 else None


def _words(text: str) -> set[str]:
    return {
        word.removesuffix("s")
        for word in _WORD.findall(text.casefold())
        if word not in _SAID and len(word) > 1
    }


def _which(listed: list[DocumentVersion], given: Given) -> str:
    if not listed:
        return " ".join(["There are no documents.", *given.unread])
    titles = "; ".join(one.title for one in listed[:_TITLES])
    more = f" and {len(listed) - _TITLES} more" if len(listed) > _TITLES else ""
    return f"Which document? There are: {titles}{more}."


def _evidence(chunk: Chunk, version: DocumentVersion) -> dict[str, Any]:
    return {
        "document_id": version.document_id,
        "chunk_id": chunk.chunk_id,
        "title": version.title,
        "source": version.source,
        "text": chunk.text,
        "page": chunk.page,
        "heading": list(chunk.heading),
        "span": list(chunk.span),
        "scores": {"bm25": None, "dense": None, "fused": None, "rerank": None},
        "metadata": dict(version.metadata),
    }
