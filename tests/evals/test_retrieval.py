"""The evaluation of the search: its tables, its targets, the training of the reranker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evals import retrieval, retrieval_sets, train_reranker
from evals.ranking import MEASURES, Estimate
from evals.vectors import KeptVectors
from models.embedder import HashedEmbedder
from tools.retrieval import features


def row(value: float, *, name: str = "scifact", kind: str = "") -> retrieval.Row:
    found = Estimate(mean=value, low=value - 0.05, high=value + 0.05)
    return retrieval.Row(
        set=name,
        kind=kind,
        ways=retrieval.DEFAULT,
        questions=3,
        measures=dict.fromkeys(MEASURES, found),
    )


def test_a_target_that_is_missed_is_told_with_its_figure() -> None:
    assert retrieval.missed([row(0.9)]) == []
    told = retrieval.missed([row(0.5), row(0.985, name="cppdocs_errors", kind="identifier")])
    assert told == [
        "scifact: ndcg@10 is 0.5000, wanted 0.74",
        "scifact: recall@5 is 0.5000, wanted 0.80",
        "cppdocs_errors, identifier: hit@1 is 0.9850, wanted 0.99",
    ]


def test_the_tables_take_the_place_of_the_older_ones_alone() -> None:
    page = f"before\n{retrieval.BEGIN}\nold\n{retrieval.END}\nafter\n"
    made = retrieval.written(page, retrieval.tables([row(0.75)]))
    assert "| default | .750 (.700–.800) |" in made
    assert "old" not in made
    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert retrieval.written(made, retrieval.tables([row(0.75)])) == made
    with pytest.raises(ValueError, match="lacks"):
        retrieval.written("nothing", "x")


def test_without_the_sets_the_evaluation_is_skipped_with_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(retrieval_sets, "DATA", tmp_path)
    done = CliRunner().invoke(retrieval.main, [])
    assert done.exit_code == 0
    assert "skipped: no question sets" in done.output


def test_a_set_is_read_with_its_questions_and_judgements(tmp_path: Path) -> None:
    home = tmp_path / "small"
    home.mkdir()
    (home / "corpus.jsonl").write_text('{"_id": "d1", "title": "T", "text": "words"}\n')
    (home / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "words?", "metadata": {"kind": "plain"}}\n{"_id": "q2"}\n'
    )
    (home / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t0\n")
    judged = retrieval_sets.load("small", folder=tmp_path)
    assert judged.qrels == {"q1": {"d1": 1}}
    assert [(one.id, one.kind) for one in judged.questions] == [("q1", "plain")]
    assert judged.documents == [retrieval_sets.Text(id="d1", title="T", text="words")]


async def test_vectors_are_kept_as_they_were_given(tmp_path: Path) -> None:
    embedder = HashedEmbedder(dimension=16)
    first = KeptVectors(embedder, tmp_path)
    rows = await first.embed_documents(["one", "two", "one"])
    await first.save()
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    again = KeptVectors(embedder, tmp_path)
    await again.load()
    assert (await again.embed_documents(["two", "one"]) == rows[[1, 0]]).all()
    assert again.embedded == 0
    other = KeptVectors(HashedEmbedder(dimension=8), tmp_path)
    await other.load()
    assert (await other.embed_query("one")).shape == (8,)


def groups(seed: int) -> list[train_reranker.Group]:
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(60):
        rows = chance.random((12, len(features.NAMES)))
        # The third feature tells, the others are noise.
        right = rows[:, 2] == rows[:, 2].max()
        made.append(train_reranker.Group(rows=rows, right=right))
    return made


def test_training_finds_what_tells_and_gives_the_same_weights_again() -> None:
    columns = range(len(features.NAMES))
    first = train_reranker.rounded(train_reranker.fit(groups(1), columns=columns))
    assert max(first, key=lambda name: first[name]) == features.NAMES[2]
    assert first[features.NAMES[2]] > 0.5
    assert train_reranker.rounded(train_reranker.fit(groups(1), columns=columns)) == first


def test_the_weights_that_come_with_the_package_are_those_of_the_features() -> None:
    assert set(train_reranker.shipped()["weights"]) <= set(features.NAMES)
