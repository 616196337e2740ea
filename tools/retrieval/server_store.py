"""Passages on a Qdrant server: one Qdrant collection for all tenants and collections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from models import outside
from tools.retrieval import store
from tools.retrieval.documents import (
    Chunk,
    DocumentVersion,
    Passage,
    SparseVector,
    StoredDocument,
    StoredPassage,
)
from tools.retrieval.errors import StoreDamaged, StoreError, StoreMismatch
from tools.retrieval.filters import AnyOf, Between, Condition, Within
from tools.retrieval.store import DENSE, SPARSE, Candidate, Choose, Scope

MEMORY = ":memory:"
_OLDEST = (1, 19)


class ServerStore:
    """A PassageStore on qdrant-client."""

    def __init__(self, client: AsyncQdrantClient, *, url: str, name: str) -> None:
        self._client = client
        self._url = url
        self._name = name

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        embedder: str,
        dimension: int,
        key: str | None = None,
        name: str = "counterpoint",
        timeout: int = 30,  # noqa: ASYNC109
    ) -> ServerStore:
        """Connect, and create the Qdrant collection ``name`` if it is missing.

        ``:memory:`` as ``url`` is an empty store inside this process. Raises StoreMismatch,
        StoreDamaged, httpx.ProxyError.
        """
        if url == MEMORY:
            client = AsyncQdrantClient(location=MEMORY)
        else:
            # The client's own check runs in a thread and only warns.
            client = AsyncQdrantClient(
                url=url,
                api_key=key,
                timeout=timeout,
                check_compatibility=False,
                **outside.options(url),
            )
        opened = cls(client, url=url, name=name)
        try:
            async with opened._errors():
                await opened._prepare(embedder=embedder, dimension=dimension)
        except BaseException:
            await client.close()
            raise
        return opened

    async def _prepare(self, *, embedder: str, dimension: int) -> None:
        if self._url != MEMORY:
            version = (await self._client.info()).version
            if tuple(map(int, version.split("-")[0].split(".")[:2])) < _OLDEST:
                # An older one leaves the tenant out of account without a word.
                raise StoreError(
                    f"{self._url}: Qdrant {version} cannot weigh terms per tenant;"
                    f" update it to {'.'.join(map(str, _OLDEST))} or newer"
                )
        wanted = store.meta(embedder=embedder, dimension=dimension)
        if not await self._client.collection_exists(self._name):
            try:
                await self._client.create_collection(
                    self._name,
                    vectors_config={
                        DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE)
                    },
                    sparse_vectors_config={
                        SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)
                    },
                    metadata=wanted,
                )
            except UnexpectedResponse as error:
                # Another process created it in this moment.
                if error.status_code != httpx.codes.CONFLICT:
                    raise
        info = await self._client.get_collection(self._name)
        vectors = info.config.params.vectors
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
        if dense is None:
            raise StoreMismatch(
                f"{self._url}: the Qdrant collection {self._name!r} is not Counterpoint's;"
                " choose another name"
            )
        found = {"dimension": dense.size, **(info.config.metadata or {})}
        store.check_meta(found, wanted=wanted, place=f"{self._url}, collection {self._name!r}")
        if self._url != MEMORY:
            await self._create_indexes()

    async def _create_indexes(self) -> None:
        schemas: dict[str, Any] = {
            name: models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, is_tenant=name == "tenant"
            )
            for name in store.KEYWORD_FIELDS
        }
        schemas |= dict.fromkeys(store.INTEGER_FIELDS, models.PayloadSchemaType.INTEGER)
        for name, schema in schemas.items():
            await self._client.create_payload_index(self._name, name, schema)

    async def upsert_document(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write a version, show it, remove the older ones."""
        await self.write_passages(version, passages)
        await self.show_document(version)

    async def write_passages(self, version: DocumentVersion, passages: Sequence[Passage]) -> None:
        """Write some of a version's passages, which nobody sees yet."""
        async with self._errors():
            for start in range(0, len(passages), store.WRITE_BATCH):
                points = [
                    models.PointStruct(
                        id=store.point_id(version, index=passage.chunk.index),
                        vector={
                            DENSE: list(passage.dense),
                            SPARSE: models.SparseVector(
                                indices=list(passage.sparse.indices),
                                values=list(passage.sparse.values),
                            ),
                        },
                        payload=store.to_payload(version, passage.chunk),
                    )
                    for passage in passages[start : start + store.WRITE_BATCH]
                ]
                await self._client.upsert(self._name, points, wait=True)

    async def show_document(self, version: DocumentVersion) -> None:
        """Make a version visible and remove the older ones."""
        scope = Scope(tenant=version.tenant, collection=version.collection)
        mine = _equal("sha256", version.sha256)
        document = [*_scope(scope), _equal("document_id", version.document_id)]
        older = models.FieldCondition(
            key="ingested_at", range=models.Range(lte=version.ingested_at)
        )
        async with self._errors():
            await self._client.set_payload(
                self._name,
                payload=store.shown(version),
                points=models.Filter(must=[*document, mine]),
                wait=True,
            )
            await self._client.delete(
                self._name,
                points_selector=models.Filter(must=[*document, older], must_not=[mine]),
                wait=True,
            )

    async def find_document(self, scope: Scope, *, document_id: str) -> StoredDocument | None:
        """The newest version written, wholly or in part."""
        document = [*_scope(scope), _equal("document_id", document_id)]
        versions: list[tuple[DocumentVersion, int]] = []
        async with self._errors():
            facet = await self._client.facet(
                self._name,
                key="sha256",
                facet_filter=models.Filter(must=document),
                limit=100,
                exact=True,
            )
            for hit in facet.hits:
                one = [*document, _equal("sha256", str(hit.value))]
                records, _ = await self._client.scroll(
                    self._name, scroll_filter=models.Filter(must=one), limit=1
                )
                live = await self._client.count(
                    self._name, models.Filter(must=[*one, _equal("live", 1)]), exact=True
                )
                versions.extend(
                    (store.version_of(record.payload or {}), live.count) for record in records
                )
        return store.newest(versions)

    async def delete_document(self, scope: Scope, *, document_id: str) -> bool:
        """Remove all versions; False if there were none."""
        where = models.Filter(must=[*_scope(scope), _equal("document_id", document_id)])
        async with self._errors():
            found = await self._client.count(self._name, where, exact=True)
            if found.count:
                await self._client.delete(self._name, points_selector=where, wait=True)
        return bool(found.count)

    async def list_documents(
        self, scope: Scope, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[DocumentVersion], str | None]:
        """Visible documents by the id of their first passage."""
        async with self._errors():
            records, following = await self._client.scroll(
                self._name,
                scroll_filter=models.Filter(must=[*_visible(scope), _equal("index", 0)]),
                limit=limit,
                offset=after,
            )
        versions = [store.version_of(record.payload or {}) for record in records]
        return versions, None if following is None else str(following)

    async def visible_document(self, scope: Scope, *, document_id: str) -> DocumentVersion | None:
        """The newest visible version."""
        first = [*_visible(scope), _equal("document_id", document_id), _equal("index", 0)]
        records = await self._scrolled(first)
        return store.newest_version([one.payload or {} for one in records])

    async def stored_passages(self, scope: Scope, *, document_id: str) -> Sequence[StoredPassage]:
        """All passages of all versions of a document with their vectors."""
        where = [*_scope(scope), _equal("document_id", document_id)]
        records = await self._scrolled(where, with_vectors=[DENSE])
        return [store.stored_passage(one.payload or {}, one.vector) for one in records]

    async def chunks(
        self, scope: Scope, *, document_id: str, conditions: Sequence[Condition] = ()
    ) -> Sequence[Chunk]:
        """The visible passages of the newest version, in the document's order."""
        document = [*_visible(scope), _equal("document_id", document_id)]
        records = await self._scrolled([*document, *map(_condition, conditions)])
        return store.of_newest([one.payload or {} for one in records])

    async def _scrolled(
        self, where: list[Any], *, with_vectors: Sequence[str] = ()
    ) -> list[models.Record]:
        found: list[models.Record] = []
        after: Any = None
        while True:
            async with self._errors():
                records, after = await self._client.scroll(
                    self._name,
                    scroll_filter=models.Filter(must=where),
                    limit=store.READ_BATCH,
                    offset=after,
                    with_vectors=list(with_vectors) or False,
                )
            found += records
            if after is None:
                return found

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
        """The ``limit`` nearest passages to each vector given."""
        where = models.Filter(must=[*_visible(scope), *map(_condition, conditions)])
        queries: dict[str, Any] = {}
        if dense is not None:
            queries[DENSE] = list(dense)
        if sparse is not None and sparse.indices:
            queries[SPARSE] = models.SparseVector(
                indices=list(sparse.indices), values=list(sparse.values)
            )
        idf = models.IdfCorpusParams(corpus=models.Filter(must=_visible(scope)))

        def request(
            name: str, within: models.Filter, *, most: int, payload: bool
        ) -> models.QueryRequest:
            return models.QueryRequest(
                query=queries[name],
                using=name,
                limit=most,
                filter=within,
                with_payload=payload,
                params=models.SearchParams(idf=idf) if name == SPARSE else None,
            )

        async with self._errors():
            found = await self._query(
                {name: request(name, where, most=limit, payload=True) for name in queries}
            )
            payloads = {str(p.id): p.payload for points in found.values() for p in points}
            scores = {name: {str(p.id): p.score for p in points} for name, points in found.items()}
            if complete and len(queries) == 2:
                wanted = store.lacking(scores[DENSE], scores[SPARSE])
                more = await self._query(
                    {
                        name: request(
                            name,
                            models.Filter(must=[models.HasIdCondition(has_id=sorted(points))]),
                            most=len(points),
                            payload=False,
                        )
                        for name, points in wanted.items()
                        if points
                    }
                )
                for name, points in more.items():
                    scores[name] |= dict.fromkeys(wanted[name], 0.0)
                    scores[name] |= {str(p.id): p.score for p in points}
        near, worded = scores.get(DENSE, {}), scores.get(SPARSE, {})
        read = store.chosen(dense=near, sparse=worded, choose=choose)
        return store.merge(
            dense=near, sparse=worded, payloads={point: payloads[point] for point in read}
        )

    async def _query(
        self, requests: dict[str, models.QueryRequest]
    ) -> dict[str, list[models.ScoredPoint]]:
        if not requests:
            return {}
        responses = await self._client.query_batch_points(
            self._name, requests=list(requests.values())
        )
        points = (response.points for response in responses)
        return dict(zip(requests, points, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except UnexpectedResponse as error:
            status = error.status_code
            if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise StoreError(
                    f"{self._url}: Qdrant refused the key (HTTP {status}); set the right one"
                ) from error
            raise StoreDamaged(
                f"{self._url}: Qdrant answered HTTP {status}; look into its log"
            ) from error
        except (ResponseHandlingException, ApiException, httpx.HTTPError, OSError) as error:
            raise StoreError(
                f"{self._url}: Qdrant does not answer ({_cause(error)}); check the address and"
                " that it runs"
            ) from error


def _cause(error: Exception) -> str:
    source = getattr(error, "source", error)
    return " ".join(str(source).split())[:200] or type(source).__name__


def _equal(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _scope(scope: Scope) -> list[Any]:
    return [_equal("tenant", scope.tenant), _equal("collection", scope.collection)]


def _visible(scope: Scope) -> list[Any]:
    return [*_scope(scope), _equal("live", 1)]


def _condition(condition: Condition) -> models.FieldCondition:
    match condition:
        case AnyOf(field=field, values=(value,)):
            return _equal(field, value)
        case AnyOf(field=field, values=values):
            return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))  # type: ignore[arg-type]
        case Within(field=field, gt=gt, gte=gte, lt=lt, lte=lte):
            bounds = models.Range(gt=gt, gte=gte, lt=lt, lte=lte)
            return models.FieldCondition(key=field, range=bounds)
        case Between(field=field, gt=gt, gte=gte, lt=lt, lte=lte):
            moments = models.DatetimeRange(gt=gt, gte=gte, lt=lt, lte=lte)
            return models.FieldCondition(key=field, range=moments)
