"""Documents that another Counterpoint keeps, reached by its HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import orjson

from models.remote import CONNECT_SECONDS
from tools.retrieval import asking
from tools.retrieval.documents import Chunk, DocumentVersion, Hit, Scores
from tools.retrieval.errors import (
    PARSE_ERRORS,
    BadFilter,
    ParseError,
    StoreError,
    StoreUnreachable,
)
from tools.retrieval.knowledge import Ingested, Passages, Place, Status
from tools.retrieval.options import Found, SearchOptions, Stage

TENANT_HEADER = "X-Counterpoint-Tenant"
PAGE = 10_000
INGEST_SECONDS = 600.0


class RemoteKnowledge:
    """Knowledge of the Counterpoint at a URL, which acts for whatever tenant we name.

    ``patience_seconds``: how long a request that may be made again is, while nobody answers there.
    """

    def __init__(
        self, client: httpx.AsyncClient, *, url: str, patience_seconds: float = 0.0
    ) -> None:
        self._client = client
        self._url = _shown(url)
        self._patience_seconds = patience_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, key: str | None = None, patience_seconds: float = 0.0
    ) -> AsyncIterator[RemoteKnowledge]:
        """``key``: an admin's of that Counterpoint. Nothing is asked of it yet."""
        async with asking.client(url, key=key) as client:
            yield cls(client, url=url, patience_seconds=patience_seconds)

    async def check(self) -> str:
        """The version of the Counterpoint there. Raises StoreError."""
        asked: dict[str, Any] = {"tenant": "default", "patient": False}
        reply = await self._call("GET", "/info", **asked)
        found = _json(reply)
        if not isinstance(found, dict) or "langgraph_py_version" not in found:
            raise StoreUnreachable(
                f"knowledge_url: {self._url} is no Counterpoint; correct COUNTERPOINT_KNOWLEDGE_URL"
            )
        # A key that is no admin's acts for one tenant, so not for this one as well.
        asked["tenant"] = "any-other"
        await self._call("GET", "/documents", **asked, params={"limit": 1})
        return str(found.get("version", "unknown"))

    async def ingest(
        self,
        data: bytes,
        *,
        name: str,
        tenant: str,
        collection: str,
        document_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        folder: str | None = None,
    ) -> Ingested:
        """Raises ParseError, StoreError."""
        about = {
            "collection": collection,
            "id": document_id,
            "title": title,
            "metadata": None if metadata is None else orjson.dumps(dict(metadata)).decode(),
            "folder": folder,
        }
        reply = await self._call(
            "POST",
            "/documents",
            tenant=tenant,
            data={name: value for name, value in about.items() if value is not None},
            files={"files": (_storable(name), data)},
            timeout=httpx.Timeout(INGEST_SECONDS, connect=CONNECT_SECONDS),
        )
        return _ingested(reply, name=name)

    async def ingest_text(
        self,
        text: str,
        *,
        name: str,
        tenant: str,
        collection: str,
        document_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Ingested:
        """Raises EmptyDocument, StoreError."""
        document = {
            "id": document_id,
            "title": title,
            "source": name,
            "text": _storable(text),
            "metadata": None if metadata is None else dict(metadata),
        }
        reply = await self._call(
            "POST",
            "/documents",
            tenant=tenant,
            json={"collection": collection, "documents": [document]},
            timeout=httpx.Timeout(INGEST_SECONDS, connect=CONNECT_SECONDS),
        )
        return _ingested(reply, name=name)

    async def move(
        self,
        document_id: str,
        *,
        name: str,
        tenant: str,
        collection: str,
        folder: str | None = None,
    ) -> Ingested | None:
        """Raises StoreError."""
        reply = await self._call(
            "PATCH",
            _path(document_id),
            tenant=tenant,
            params={"collection": collection},
            json={"source": _storable(name), "folder": folder},
            missing=(httpx.codes.NOT_FOUND, httpx.codes.CONFLICT),
        )
        return _result(_json(reply), name=name) if reply.is_success else None

    async def document(
        self, document_id: str, *, tenant: str, collection: str
    ) -> DocumentVersion | None:
        """Raises StoreError."""
        reply = await self._call(
            "GET",
            _path(document_id),
            tenant=tenant,
            params={"collection": collection},
            missing=(httpx.codes.NOT_FOUND,),
        )
        return _version(_json(reply), tenant, collection) if reply.is_success else None

    async def passages(
        self,
        document_id: str,
        *,
        tenant: str,
        collection: str,
        place: Place | None = None,
        before: int = 0,
        after: int = 0,
        limit: int = 50,
        offset: int = 0,
    ) -> Passages | None:
        """Raises StoreError."""
        place = place or Place()
        start, end = place.span or (None, None)
        asked = {
            "collection": collection,
            "chunk_id": place.chunk_id,
            "start": start,
            "end": end,
            "page": place.page,
            "before": before,
            "after": after,
            "limit": limit,
            "offset": offset,
        }
        reply = await self._call(
            "GET",
            f"{_path(document_id)}/passages",
            tenant=tenant,
            params={name: value for name, value in asked.items() if value is not None},
            missing=(httpx.codes.NOT_FOUND,),
        )
        if not reply.is_success:
            return None
        found = _json(reply)
        return Passages(
            document=_version(found["document"], tenant, collection),
            total=found["total"],
            items=tuple(_chunk(one, document_id=document_id) for one in found["items"]),
            matched=frozenset(one["chunk_id"] for one in found["items"] if one["matched"]),
        )

    async def search(
        self,
        query: str,
        *,
        tenant: str,
        collection: str,
        limit: int = 8,
        filters: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> Sequence[Hit]:
        """Raises BadFilter, StoreError."""
        found = await self.find(
            query,
            tenant=tenant,
            collection=collection,
            limit=limit,
            filters=filters,
            options=options,
        )
        return found.hits

    async def find(
        self,
        query: str,
        *,
        tenant: str,
        collection: str,
        limit: int = 8,
        filters: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> Found:
        """Raises BadFilter, StoreError."""
        query = _storable(query)
        if not query.strip() or limit < 1:
            return Found(hits=[])
        asked = {
            "collection": collection,
            "query": query,
            "limit": limit,
            "filters": filters,
            "explain": True,
            # What the keeper does unless told otherwise is for questions of people.
            "options": {"parts": False} | ({} if options is None else options.to_json()),
        }
        reply = await self._call("POST", "/documents/search", tenant=tenant, json=asked)
        answer = _json(reply)
        return Found(
            hits=[_hit(one) for one in answer["hits"]],
            stages=[Stage.from_json(one) for one in answer["explain"]["stages"]],
        )

    async def delete(self, document_id: str, *, tenant: str, collection: str) -> bool:
        """Raises StoreError."""
        reply = await self._call(
            "DELETE",
            _path(document_id),
            tenant=tenant,
            params={"collection": collection},
            missing=(httpx.codes.NOT_FOUND,),
        )
        return reply.status_code != httpx.codes.NOT_FOUND

    async def documents(self, *, tenant: str, collection: str) -> AsyncIterator[DocumentVersion]:
        """Raises StoreError."""
        offset = 0
        while True:
            page = await self._page(tenant, collection, offset=offset, limit=PAGE)
            for item in page["items"]:
                yield _version(item, tenant, collection)
            offset += PAGE
            if offset >= page["total"]:
                return

    async def is_empty(self, *, tenant: str, collection: str) -> bool:
        """Raises StoreError."""
        page = await self._page(tenant, collection, offset=0, limit=1)
        return int(page["total"]) == 0

    async def _page(self, tenant: str, collection: str, *, offset: int, limit: int) -> Any:
        params: dict[str, str | int] = {"collection": collection, "offset": offset, "limit": limit}
        return _json(await self._call("GET", "/documents", tenant=tenant, params=params))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        tenant: str,
        missing: Sequence[int] = (),
        patient: bool = True,
        **options: Any,
    ) -> httpx.Response:
        """A successful answer, or one of the states ``missing``. Raises BadFilter, StoreError."""
        options["headers"] = {TENANT_HEADER: tenant}
        patience = self._patience_seconds if patient else 0.0
        try:
            reply = await asking.asked(self._client, method, path, patience, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreUnreachable(
                f"the documents are kept by the Counterpoint at {self._url}, which does not answer "
                f"({reason}); start it, or correct COUNTERPOINT_KNOWLEDGE_URL"
            ) from error
        if reply.is_success or reply.status_code in missing:
            return reply
        said = _detail(reply)
        match reply.status_code:
            case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
                raise StoreUnreachable(
                    f"the Counterpoint at {self._url}, which keeps the documents, refuses our key "
                    f"({said}); set COUNTERPOINT_KNOWLEDGE_KEY to an admin's key of it"
                )
            case httpx.codes.UNPROCESSABLE_ENTITY if path.endswith("/search"):
                raise BadFilter(said)
            case _:
                raise StoreError(f"the Counterpoint at {self._url} keeps the documents: {said}")


def _ingested(reply: httpx.Response, *, name: str) -> Ingested:
    """What became of the one document that was sent. Raises ParseError."""
    (result,) = _json(reply)["results"]
    return _result(result, name=name)


def _result(result: Mapping[str, Any], *, name: str) -> Ingested:
    if result["status"] == "failed":
        kind = PARSE_ERRORS.get(result.get("error_kind", ""), ParseError)
        raise kind(result.get("error") or f"{name}: cannot be read")
    return Ingested(
        status=Status(result["status"]),
        document_id=result["document_id"],
        title=result["title"],
        chunks=result["chunks"],
        pages=result["pages"],
        pages_without_text=tuple(result["pages_without_text"]),
    )


def _version(found: Mapping[str, Any], tenant: str, collection: str) -> DocumentVersion:
    return DocumentVersion(**{**found, "tenant": tenant, "collection": collection})


def _chunk(found: Mapping[str, Any], *, document_id: str) -> Chunk:
    return Chunk(
        document_id=document_id,
        chunk_id=found["chunk_id"],
        index=found["index"],
        text=found["text"],
        heading=tuple(found["heading"]),
        page=found["page"],
        span=(found["span"][0], found["span"][1]),
        context=found["context"],
    )


def _path(document_id: str) -> str:
    return f"/documents/{quote(_storable(document_id), safe='')}"


def _hit(found: Mapping[str, Any]) -> Hit:
    return Hit(
        **{
            **found,
            "heading": tuple(found["heading"]),
            "span": tuple(found["span"]),
            "scores": Scores(**found["scores"]),
        }
    )


def _json(reply: httpx.Response) -> Any:
    try:
        return orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        raise StoreUnreachable(
            f"{_shown(str(reply.url))} answers no JSON; correct COUNTERPOINT_KNOWLEDGE_URL"
        ) from None


def _detail(reply: httpx.Response) -> str:
    try:
        return str(orjson.loads(reply.content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"it answered {reply.status_code}"


def _storable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _shown(url: str) -> str:
    """The URL without user, password and path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
