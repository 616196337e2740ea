"""What is not to be seen changes nothing of what is found, though the engine may not filter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.retrieval.conftest import EMBEDDER, open_edge
from tests.tools.retrieval.test_stores import SCOPE, find, passages_of, put, version_of
from tools.retrieval.store import PassageStore


async def _own(store: PassageStore) -> dict[str, tuple[float | None, float | None]]:
    return await find(store, "holiday canteen")


async def test_whose_passages_there_are_changes_no_score_of_a_scope(folder: Path) -> None:
    """Alone, beside others, after a restart beside them, and when they have gone again."""
    store = await open_edge(folder)
    try:
        await put(store, "leave", "Holiday is 30 days.", "The canteen opens at noon.")
        await put(store, "more", "Holiday may be moved.", "Ask your lead.")
        alone = await _own(store)
        others = [{"tenant": "other"}, {"collection": "other"}]
        for number, other in enumerate(others * 6):
            await put(store, f"d{number}", "Holiday, holiday canteen.", **other)
        assert await _own(store) == alone
        await store.close()
        store = await open_edge(folder)
        assert await _own(store) == alone
        for number, other in enumerate(others * 6):
            assert await store.delete_document(replace(SCOPE, **other), document_id=f"d{number}")
        assert await _own(store) == alone
        await store.close()
        store = await open_edge(folder)
        assert await _own(store) == alone
    finally:
        await store.close()


async def test_passages_that_are_nearer_and_not_to_be_seen_push_out_none(folder: Path) -> None:
    """Others' passages, and those of a version that is being written."""
    store = await open_edge(folder)
    try:
        texts = [f"Holiday of kind {number}." for number in range(12)]
        await put(store, "leave", *texts)
        wanted = await _nearest(store, limit=8)
        hidden = version_of("leave", chunks=40, sha256="b" * 64, ingested_at=200.0)
        drawn = await passages_of(hidden, *(f"Holiday kind {number}" for number in range(40)))
        await store.write_passages(hidden, drawn[:39])
        assert await _nearest(store, limit=8) == pytest.approx(wanted)
        await put(store, "theirs", *(["Holiday kind"] * 60), tenant="other")
        # Often enough for every way in which a search may begin after one that found too few.
        for _ in range(30):
            assert await _nearest(store, limit=8) == pytest.approx(wanted)
        await store.delete_document(replace(SCOPE, tenant="other"), document_id="theirs")
        await store.write_passages(hidden, drawn[39:])
        await store.show_document(hidden)
        assert min(await _nearest(store, limit=8)) > max(wanted)
    finally:
        await store.close()


async def _nearest(store: PassageStore, *, limit: int) -> list[float]:
    """How near the nearest are; which of two that are as near comes first is nobody's promise."""
    found = await store.candidates(
        SCOPE, dense=(await EMBEDDER.embed_query("holiday kind")).tolist(), sparse=None, limit=limit
    )
    assert len(found) == limit
    return sorted(one.dense or 0.0 for one in found)
