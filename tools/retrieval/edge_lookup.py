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
from tools.retrieval.store import DENSE, SPARSE, Candidate, Choose, Scope

# Compressed vectors find so many times as many, of which the vectors themselves choose.
_OVERSAMPLING = 4.0
# So many times as many are asked for without a filter, for what is being written and not shown
# yet: first few, then many, which cost a third of a filter.
_GUESSES = (1.5, 6.0)
# After a guess found too many of others' passages, so many searches begin with the next one.
_WARY = 8
_WARY_OF = 1_000


class EdgeLookup:
    """Looks passages up in a shard, one search at a time."""

    def __init__(self, shard: qdrant.EdgeShard) -> None:
        self._shard = shard
        self._scopes = _scopes(shard)
        self._wary: dict[Scope, tuple[int, int]] = {}

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
        choose: Choose | None,
    ) -> list[Candidate]:
        """The ``limit`` nearest visible passages to each vector; read are those that are chosen."""
        near: dict[str, float] = {}
        worded: dict[str, float] = {}
        where = qdrant.Filter(must=[*visible(scope), *map(condition, conditions)])
        if dense is not None:
            nearest = qdrant.Query.Nearest(list(dense), using=DENSE)
            guessed = None if conditions else self._unfiltered(nearest, scope, limit=limit)
            near = self._near(nearest, where, most=limit) if guessed is None else guessed
        if sparse is not None and sparse.indices:
            words = qdrant.Query.Nearest(
                qdrant.SparseVector(list(sparse.indices), list(sparse.values)), using=SPARSE
            )
            # Where there is nobody else, how rare a word is in all is how rare it is here.
            corpus = None if self._scopes <= {scope} else qdrant.Filter(must=visible(scope))
            requests = [_worded(words, where, corpus=corpus, most=limit)]
            if complete and near:
                requests.append(_worded(words, these(near), corpus=corpus, most=len(near)))
            # In one batch, since a corpus is counted once for all of it.
            worded, *filled = map(
                _scores, self._shard.query_batch(qdrant.QueryBatchRequest(requests))
            )
            if complete and dense is not None:
                lacking = store.lacking(near, worded)
                if lacking[DENSE]:
                    near |= dict.fromkeys(lacking[DENSE], 0.0)
                    near |= self._near(nearest, these(lacking[DENSE]), most=len(lacking[DENSE]))
                worded |= dict.fromkeys(lacking[SPARSE], 0.0)
                for more in filled:
                    worded |= more
        read: list[Any] = [*store.chosen(dense=near, sparse=worded, choose=choose)]
        records = self._shard.retrieve(read, True, False) if read else []  # noqa: FBT003
        payloads = {str(one.id): one.payload for one in records}
        return store.merge(dense=near, sparse=worded, payloads=payloads)

    def _near(
        self, nearest: qdrant.Query, where: qdrant.Filter | None, *, most: int
    ) -> dict[str, float]:
        quantization = qdrant.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
        request = qdrant.QueryRequest(
            limit=most,
            query=nearest,
            filter=where,
            params=qdrant.SearchParams(quantization=quantization),
        )
        return _scores(self._shard.query(request))

    def _unfiltered(
        self, nearest: qdrant.Query, scope: Scope, *, limit: int
    ) -> dict[str, float] | None:
        """The nearest of all, without those that are not visible; None where that is too few."""
        first, left = self._wary.pop(scope, (0, 0))
        place, kept = first, None
        while place < len(_GUESSES):
            kept = self._guessed(nearest, scope, limit=limit, most=int(limit * _GUESSES[place]))
            if kept is not None:
                break
            place += 1
        left = left - 1 if place == first else _WARY
        # The next searches begin where this one ended, and after so many with the guess before it.
        if left <= 0:
            place, left = place - 1, _WARY
        if place > 0:
            if len(self._wary) >= _WARY_OF:
                self._wary.clear()
            self._wary[scope] = (place, left)
        return kept

    def _guessed(
        self, nearest: qdrant.Query, scope: Scope, *, limit: int, most: int
    ) -> dict[str, float] | None:
        """What is visible of the ``most`` nearest of all; None where that may be too few."""
        found = self._near(nearest, None, most=most)
        shown = qdrant.Filter(must=[_ids(found), *visible(scope)])
        kept = self._near(nearest, shown, most=limit) if found else {}
        return kept if len(kept) == limit or len(found) < most else None


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
    return qdrant.Filter(must=[_ids(points)])


def _ids(points: Collection[str]) -> qdrant.HasIdCondition:
    return qdrant.HasIdCondition(set(points))


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


def _worded(
    words: qdrant.Query, where: qdrant.Filter, *, corpus: qdrant.Filter | None, most: int
) -> qdrant.QueryRequest:
    idf = None if corpus is None else qdrant.IdfParams(corpus=corpus)
    return qdrant.QueryRequest(
        limit=most, query=words, filter=where, params=qdrant.SearchParams(idf=idf)
    )


def _scores(found: Sequence[qdrant.ScoredPoint]) -> dict[str, float]:
    return {str(point.id): point.score for point in found}


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
