"""Hits made ready for a model's context."""

from __future__ import annotations

from tests.tools.retrieval.test_chunks import assembled, prose
from tools.retrieval.assembly import markdown_table
from tools.retrieval.chunks import chunk
from tools.retrieval.context import merge_neighbours
from tools.retrieval.documents import Chunk, Hit, Parsed, Scores


def hits_of(parsed: Parsed, *order: int) -> list[Hit]:
    passages = chunk(parsed, document_id="d")
    return [hit_of(passages[index], fused=1.0 - place / 10) for place, index in enumerate(order)]


def hit_of(one: Chunk, *, fused: float) -> Hit:
    return Hit(
        document_id=one.document_id,
        chunk_id=one.chunk_id,
        title="T",
        source="t.md",
        text=one.text,
        page=one.page,
        heading=one.heading,
        span=one.span,
        scores=Scores(fused=fused),
    )


RULES = prose(" ".join(f"This is sentence number {n:03} of the rules." for n in range(100)))


def test_overlapping_neighbours_become_one_without_the_repetition() -> None:
    [merged] = merge_neighbours(hits_of(RULES, 2, 1))
    assert merged.text == RULES.text[slice(*merged.span)]
    assert merged.chunk_id == chunk(RULES, document_id="d")[2].chunk_id
    assert merged.scores.fused == 1.0


def test_neighbours_that_would_be_too_long_together_stay_apart() -> None:
    assert len(merge_neighbours(hits_of(RULES, 2, 1), longest=1_000)) == 2
    assert len(merge_neighbours(hits_of(RULES, 2, 1), longest=10_000)) == 1


def test_apart_hits_stay_in_their_order() -> None:
    hits = hits_of(RULES, 3, 0)
    assert merge_neighbours(hits) == hits


def test_a_joined_hit_stands_where_its_best_part_stood() -> None:
    hits = hits_of(RULES, 4, 0, 1)
    assert [one.chunk_id for one in merge_neighbours(hits)] == [hit.chunk_id for hit in hits[:2]]


def test_hits_of_other_pages_and_documents_stay_apart() -> None:
    pages = assembled(
        [("page", 1, ""), ("prose", 0, "One."), ("page", 2, ""), ("prose", 0, "Two.")]
    )
    assert len(merge_neighbours(hits_of(pages, 0, 1))) == 2


def test_parts_of_a_table_keep_their_header() -> None:
    table = markdown_table([["Item", "Price"], *([f"Thing {n}", f"{n}.5"] for n in range(200))])
    merged = merge_neighbours(hits_of(assembled([("table", 0, table)]), 0, 1))
    assert all(one.text.startswith("| Item | Price |") for one in merged)
