"""Which passages of the engine in process are nearest to a question: filters, and what they cost.

To look at a hundred thousand passages' fields takes the engine ten times as long as to compare
their vectors. So it is asked without a filter where the answer shows that it needed none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import qdrant_edge as qdrant

from tools.retrieval import store
from tools.retrieval.documents import SparseVector
from tools.retrieval.filters import AnyOf, Between, Condition, Within
from tools.retrieval.store import DENSE, SPARSE, Candidate, Scope

# Compressed vectors find so many times as many, of which the vectors themselves choose.
_OVERSAMPLING = 4.0
# What is found without a filter is so much more, for what is being written and not shown yet.
_SPARE = 1 / 8
# After a search without a filter found others' passages, so many go with one at once.
_WARY = 50
_WARY_OF = 1_000


class EdgeLookup:
    """Looks passages up in a shard, one search at a time."""

    def __init__(self, shard: qdrant.EdgeShard) -> None:
        self._shard = shard
        self._scopes = _scopes(shard)
        self._wary: dict[Scope, int] = {}

    def written(self, scope: Scope) -> None:
        """Passages of a scope are about to be written. Safe from another thread."""
        self._scopes.add(scope)

    def candidates(
        self,
        scope: Scope,
        *,
        dense: Sequence[float] | None,
        sparse: SparseVector | None,
        limit: int,
        conditions: Sequence[Condition],
        complete: bool,
    ) -> list[Candidate]:
        """The ``limit`` nearest visible passages to each vector."""
        payloads: dict[str, Any] = {}
        scores: dict[str, dict[str, float]] = {}
        filled: list[list[qdrant.ScoredPoint]] = []
        where = qdrant.Filter(must=[*visible(scope), *map(condition, conditions)])
        if dense is not None:
            nearest = qdrant.Query.Nearest(list(dense), using=DENSE)
            found = None if conditions else self._unfiltered(nearest, scope, limit=limit)
            if found is None:
                found = self._shard.query(_near(nearest, where, most=limit, payload=True))
            _note(found, DENSE, scores, payloads)
        if sparse is not None and sparse.indices:
            words = qdrant.Query.Nearest(
                qdrant.SparseVector(list(sparse.indices), list(sparse.values)), using=SPARSE
            )
            # Where there is nobody else, how rare a word is in all is how rare it is here.
            corpus = None if self._scopes <= {scope} else qdrant.Filter(must=visible(scope))
            requests = [_worded(words, where, corpus=corpus, most=limit, payload=True)]
            if complete and scores.get(DENSE):
                ids = set(scores[DENSE])
                requests.append(_worded(words, these(ids), corpus=corpus, most=len(ids)))
            # In one batch, since a corpus is counted once for all of it.
            found, *filled = self._shard.query_batch(qdrant.QueryBatchRequest(requests))
            _note(found, SPARSE, scores, payloads)
        if complete and len(scores) == 2:
            lacking = store.lacking(scores[DENSE], scores[SPARSE])
            if lacking[DENSE]:
                request = _near(nearest, these(lacking[DENSE]), most=len(lacking[DENSE]))
                scores[DENSE] |= dict.fromkeys(lacking[DENSE], 0.0)
                scores[DENSE] |= {str(p.id): p.score for p in self._shard.query(request)}
            scores[SPARSE] |= dict.fromkeys(lacking[SPARSE], 0.0)
            scores[SPARSE] |= {str(p.id): p.score for points in filled for p in points}
        return store.merge(
            dense=scores.get(DENSE, {}), sparse=scores.get(SPARSE, {}), payloads=payloads
        )

    def _unfiltered(
        self, nearest: qdrant.Query, scope: Scope, *, limit: int
    ) -> list[qdrant.ScoredPoint] | None:
        """The nearest of all, without those that are not visible; None where that is too few."""
        if left := self._wary.get(scope, 0):
            self._wary[scope] = left - 1
            return None
        most = limit + int(limit * _SPARE)
        found = self._shard.query(_near(nearest, None, most=most, payload=True))
        kept = [point for point in found if _is_visible(point.payload or {}, scope)]
        if len(kept) < limit and len(found) == most:
            if len(self._wary) >= _WARY_OF:
                self._wary.clear()
            self._wary[scope] = _WARY
            return None
        return kept[:limit]


def equal(key: str, value: str | int) -> qdrant.FieldCondition:
    """A field has a value."""
    return qdrant.FieldCondition(key=key, match=qdrant.MatchValue(value))


def within(scope: Scope) -> list[Any]:
    """All that is in a scope, shown or not."""
    return [equal("tenant", scope.tenant), equal("collection", scope.collection)]


def visible(scope: Scope) -> list[Any]:
    """What is shown of a scope."""
    return [*within(scope), equal("live", 1)]


def these(points: Collection[str]) -> qdrant.Filter:
    """Points by their ids."""
    return qdrant.Filter(must=[qdrant.HasIdCondition(set(points))])


def condition(asked: Condition) -> qdrant.FieldCondition:
    """A filter of a search as the engine has it."""
    match asked:
        case AnyOf(field=field, values=(value,)):
            return equal(field, value)
        case AnyOf(field=field, values=values):
            return qdrant.FieldCondition(key=field, match=qdrant.MatchAny(list(values)))  # type: ignore[arg-type]
        case Within(field=field, gt=gt, gte=gte, lt=lt, lte=lte):
            bounds = qdrant.RangeFloat(gt=gt, gte=gte, lt=lt, lte=lte)
            return qdrant.FieldCondition(key=field, range=bounds)
        case Between(field=field, gt=gt, gte=gte, lt=lt, lte=lte):
            written = {"gt": gt, "gte": gte, "lt": lt, "lte": lte}
            moments = qdrant.RangeDateTime(
                **{bound: at.isoformat() for bound, at in written.items() if at is not None}
            )
            return qdrant.FieldCondition(key=field, range=moments)


def _near(
    query: qdrant.Query, where: qdrant.Filter | None, *, most: int, payload: bool = False
) -> qdrant.QueryRequest:
    return qdrant.QueryRequest(
        limit=most,
        query=query,
        filter=where,
        with_payload=payload,
        params=qdrant.SearchParams(
            quantization=qdrant.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
        ),
    )


def _worded(
    query: qdrant.Query,
    where: qdrant.Filter,
    *,
    corpus: qdrant.Filter | None,
    most: int,
    payload: bool = False,
) -> qdrant.QueryRequest:
    idf = None if corpus is None else qdrant.IdfParams(corpus=corpus)
    return qdrant.QueryRequest(
        limit=most,
        query=query,
        filter=where,
        with_payload=payload,
        params=qdrant.SearchParams(idf=idf),
    )


def _note(
    found: Sequence[qdrant.ScoredPoint],
    name: str,
    scores: dict[str, dict[str, float]],
    payloads: dict[str, Any],
) -> None:
    scores[name] = {str(point.id): point.score for point in found}
    payloads.update((str(point.id), point.payload) for point in found)


def _is_visible(payload: Any, scope: Scope) -> bool:
    found = (payload.get("tenant"), payload.get("collection"), payload.get("live"))
    return found == (scope.tenant, scope.collection, 1)


def _scopes(shard: qdrant.EdgeShard) -> set[Scope]:
    """Whose passages are in a shard; where there are several, two at least."""
    tenants, collections = (
        [
            str(hit.value)
            for hit in shard.facet(qdrant.FacetRequest(key=key, limit=2, exact=True)).hits
        ]
        for key in ("tenant", "collection")
    )
    return {
        Scope(tenant=tenant, collection=collection)
        for tenant in tenants
        for collection in collections
    }
