"""Whole answers measured: the judge, the sets, and a run against a stand-in of the command line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import answer_judge, answer_report, answer_sets
from evals.answer_judge import Result, figures, judged, token_f1
from evals.answer_sets import Absent, Case, Places, cases
from evals.answers import Kept, ask_all
from evals.product import Product
from graphs.events import EVENT, Citation, RunFinished, Source, Usage

ROOT = Path(__file__).parents[2]
CASE = Case(
    id="q",
    set="anthropic_docs",
    documents="anthropic_docs",
    text="How long?",
    answer="It takes five days.",
    gold=frozenset({"000-a.md"}),
)
OPEN = Case(id="o", set="unanswerable", documents="handbook", text="Who founded it?", answer="")

# Answers every question with what stands beside it; writes down every call.
STAND_IN = """
import pathlib, sys
here = pathlib.Path(__file__)
with here.with_name("calls").open("a") as file:
    print(*sys.argv[1:], sep="|", file=file)
if sys.argv[1] == "ask":
    print(here.with_name("event").read_text(), flush=True)
"""


def places(tmp_path: Path) -> Places:
    """A data set of two sections and three questions."""
    folder = tmp_path / "docs"
    folder.mkdir()
    rows = [{"_id": f"https://d/x#{n}", "title": n, "text": f"{n}\n\nText of {n}."} for n in "ab"]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [
        {"_id": f"q{n}", "text": f"Question {n}?", "metadata": {"answer": "Text"}} for n in "123"
    ]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    (folder / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\thttps://d/x#a\t1\nq1\thttps://d/x#b\t0\nq2\tgone\t1\n"
    )
    return Places(
        handbook=ROOT / "examples" / "handbook",
        questions=ROOT / "examples" / "questions.json",
        anthropic=folder,
    )


def finished(answer: str, *files: str, stop_reason: str = "answered") -> RunFinished:
    sources = [
        Source(
            number=n, document_id=f, chunk_id=f, title="t", source=f"/x/{f}", text="It takes five."
        )
        for n, f in enumerate(files, 1)
    ]
    cited = [
        Citation(number=1, start=0, end=5, document_id="d", chunk_id="c", source="s", text="It")
        for _ in sources
    ]
    return RunFinished(
        answer=answer,
        sources=sources,
        citations=cited,
        stop_reason=stop_reason,
        unsupported_share=0.0,
        usage=Usage(model_calls=3, input_tokens=100, output_tokens=10),
    )


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("It takes five days [1].", "It takes five days.", 1.0),
        ("five days", "It takes five days.", 2 / 3),
        ("The five-days.", "five days", 1.0),
        ("no", "five", 0.0),
        ("", "five", 0.0),
        ("five five", "five", 2 / 3),
    ],
)
def test_token_f1_counts_words_without_signs_articles_and_marks(
    answer: str, gold: str, f1: float
) -> None:
    assert token_f1(answer, gold) == pytest.approx(f1)


@given(st.text(max_size=60), st.text(max_size=60))
def test_token_f1_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))
    assert 0 <= token_f1(one, other) <= 1
    assert token_f1(one, one) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("end", "refused"),
    [
        (finished("The documents do not say that.", stop_reason="not_found"), True),
        (finished("The documents do not mention a founder."), True),
        (finished("It was founded in 2001 [1].", "a.md"), False),
        (finished("The page does not mention a fee, but it is 5 EUR [1].", "a.md"), False),
    ],
)
def test_a_refusal_is_told_from_an_answer(end: RunFinished, refused: bool) -> None:
    assert judged(OPEN, end, seconds=1).refused is refused


def test_cited_files_are_held_against_the_gold_ones() -> None:
    one = judged(CASE, finished("It takes five days [1][2].", "000-a.md", "001-b.md"), seconds=2)
    assert (one.gold_cited, one.cited, one.f1) == (1, ("000-a.md", "001-b.md"), 1.0)
    none = judged(CASE, None, seconds=2, failure="no model")
    assert (none.failure, none.f1) == ("no model", 0.0)


def test_the_figures_of_a_set() -> None:
    results = [
        judged(CASE, finished("It takes five days [1].", "000-a.md"), seconds=2),
        judged(CASE, finished("Six [1].", "001-b.md"), seconds=4),
        judged(CASE, finished("The documents do not say.", stop_reason="not_found"), seconds=6),
        judged(OPEN, finished("They do not say.", stop_reason="not_found"), seconds=4),
        judged(OPEN, None, seconds=0, failure="broken"),
    ]
    found = figures(results, seed=1)
    assert (found.asked, found.failed) == (5, 1)
    assert found.f1 == pytest.approx(1 / 3)
    assert found.f1 is not None
    assert found.f1_low is not None
    assert found.f1_high is not None
    assert found.f1_low <= found.f1 <= found.f1_high
    assert (found.gold_share, found.gold_answers) == (0.5, 0.5)
    assert found.refused_answerable == pytest.approx(1 / 3)
    assert found.refused_unanswerable == 1.0
    assert figures([], seed=1).f1 is None


def test_the_sets_are_read_and_drawn_by_seed(tmp_path: Path) -> None:
    where = places(tmp_path)
    first, second, third = cases(["anthropic_docs"], places=where, limit=None, seed=0)
    assert first.gold == {"000-x-a.md"}
    assert not second.gold
    assert not third.gold
    drawn = [
        [one.id for one in cases(["handbook", "unanswerable"], places=where, limit=2, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    open_ones = cases(["unanswerable"], places=where, limit=None, seed=0)
    assert len(open_ones) == 10
    assert not any(one.answerable for one in open_ones)
    handbook = cases(["handbook"], places=where, limit=None, seed=0)
    assert sum(one.answerable for one in handbook) == 9


def test_a_set_that_is_not_there_says_what_is_missing(tmp_path: Path) -> None:
    where = Places(anthropic=tmp_path, questions=ROOT / "examples" / "questions.json")
    with pytest.raises(Absent, match=r"corpus\.jsonl"):
        cases(["anthropic_docs"], places=where, limit=None, seed=0)
    asked = cases(["unanswerable"], places=where, limit=None, seed=0)
    assert {one.documents for one in asked} == {"handbook"}


async def test_a_run_asks_keeps_and_goes_on(tmp_path: Path) -> None:
    where = places(tmp_path)
    script = tmp_path / "counterpoint.py"
    script.write_text(STAND_IN)
    event = EVENT.dump_json(finished("Text [1].", "000-x-a.md")).decode()
    (tmp_path / "event").write_text(event)
    product = Product(command=(sys.executable, str(script)), where=("--url", "http://x"))
    asked = cases(["anthropic_docs", "unanswerable"], places=where, limit=2, seed=0)
    kept = Kept(path=tmp_path / "kept" / "answers.jsonl")
    told: list[str] = []

    async def go(until: float) -> list[Result]:
        return await ask_all(
            asked,
            product=product,
            places=where,
            folder=tmp_path / "f",
            kept=kept,
            until=until,
            told=told.append,
        )

    assert await go(time.monotonic()) == []
    assert "4 are left" in told[-1]
    done = await go(float("inf"))
    assert [one.id for one in done] == [one.id for one in asked]
    assert done[0].f1 == 1.0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split("|")[0] for call in calls].count("ask") == 4
    assert any("--collection|anthropic_docs" in call for call in calls)
    # A torn line, as a crash leaves it, costs only its own answer.
    rows = kept.path.read_text().splitlines()
    kept.path.write_text("\n".join([*rows[:3], rows[3][:20]]) + "\n")
    (tmp_path / "calls").unlink()
    assert len(await go(float("inf"))) == 4
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split("|")[0] for call in calls] == ["ingest", "ask"]


async def test_a_failure_is_kept_in_words_and_asked_again(tmp_path: Path) -> None:
    where = places(tmp_path)
    broken = tmp_path / "counterpoint.py"
    broken.write_text("import sys\nif sys.argv[1] == 'ask': sys.exit('error: no model')\n")
    kept = Kept(path=tmp_path / "answers.jsonl")
    product = Product(command=(sys.executable, str(broken)), where=())
    (one,) = await ask_all(
        [CASE],
        product=product,
        places=where,
        folder=tmp_path,
        kept=kept,
        until=float("inf"),
        told=lambda _: None,
    )
    assert one.failure == "error: no model"
    assert kept.read() == {}


def test_the_figures_stand_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "answers.md"
    page.write_text(f"# Answers\n\n{answer_report.BEGIN}\nold\n{answer_report.END}\n\nEnd.\n")
    results = [judged(CASE, finished("It | takes\nfive [1].", "000-a.md"), seconds=2)]
    text = answer_report.section(results, seed=3, asked=2, machine="two cores", model="m")
    answer_report.write(page, text)
    answer_report.write(page, text)
    there = page.read_text()
    assert there.startswith("# Answers\n\n<!--")
    assert there.endswith("-->\n\nEnd.\n")
    assert there.count("| anthropic_docs | 1 |") == 1
    assert "1 of 2 questions" in there
    assert "It \\| takes five" in there
    bare = tmp_path / "bare.md"
    bare.write_text("# Bare\n")
    with pytest.raises(answer_report.NoMarksError, match="add them"):
        answer_report.write(bare, text)
    assert bare.read_text() == "# Bare\n"


def test_sections_are_written_as_files_that_their_sources_name(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = answer_sets.write_documents("anthropic_docs", places=where, into=tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["000-x-a.md", "001-x-b.md"]
    assert (folder / "000-x-a.md").read_text() == "# a\n\nText of a.\n"
    assert answer_sets.write_documents("handbook", places=where, into=tmp_path) == where.handbook


def test_intervals_are_the_same_for_one_seed() -> None:
    assert answer_judge.interval([0.0, 1.0, 1.0], seed=4) == answer_judge.interval(
        [0.0, 1.0, 1.0], seed=4
    )
    assert answer_judge.interval([1.0], seed=4) == (None, None)
