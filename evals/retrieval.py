"""How well the documents are searched: ``python -m evals.retrieval``.

The product's own knowledge, with the engine in process, MiniLM and one configuration for all
sets. A document's place is that of its best passage.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from evals import ranking, retrieval_sets, searched_sets
from evals.ranking import MEASURES, Estimate
from evals.retrieval_sets import Judged
from models.artifacts import WeightsError
from server import settings
from tools.retrieval.fusion import Fusion
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.options import Mode, SearchOptions

SETS = ("scifact", "cppdocs_errors", "anthropic_docs")
DEFAULT = "default"
# What has to hold with the default settings: set, kind of question, measure, least value.
TARGETS = (
    ("scifact", "", "ndcg@10", 0.74),
    ("scifact", "", "recall@5", 0.80),
    ("cppdocs_errors", "identifier", "hit@1", 0.99),
    ("anthropic_docs", "", "ndcg@10", 0.81),
    ("anthropic_docs", "", "recall@5", 0.83),
)
BEGIN = "<!-- results: python -m evals.retrieval --all --write docs/retrieval.md -->"
END = "<!-- end of results -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration on the questions of one kind of one set."""

    set: str
    kind: str
    ways: str
    questions: int
    measures: Mapping[str, Estimate]


def variants(plain: SearchOptions, *, every: bool) -> dict[str, SearchOptions]:
    """The default, and with ``every`` what it is to be compared with."""
    if not every:
        return {DEFAULT: plain}
    bare = replace(plain, rerank=False, parts=False, complete=False)
    return {
        DEFAULT: plain,
        "not taken apart": replace(plain, parts=False),
        "scores, filled in": replace(plain, rerank=False, parts=False),
        "scores": bare,
        "RRF, k = 60": replace(bare, fusion=Fusion.RRF, rrf_k=60),
        "RRF, k = 2": replace(bare, fusion=Fusion.RRF, rrf_k=2),
        "DBSF": replace(bare, fusion=Fusion.DBSF),
        "BM25 alone": replace(bare, mode=Mode.BM25),
        "dense alone": replace(bare, mode=Mode.DENSE),
    }


async def rows(
    knowledge: LocalKnowledge, judged: Judged, ways: Mapping[str, SearchOptions]
) -> list[Row]:
    """Every way over every kind of question of one set, whose documents are there already."""
    made = []
    for name, options in ways.items():
        run: dict[str, list[str]] = {}
        for question in judged.questions:
            hits = await knowledge.search(
                question.text,
                tenant=searched_sets.TENANT,
                collection=judged.name,
                limit=100,
                options=replace(options, per_document=1),
            )
            run[question.id] = [hit.document_id for hit in hits]
        for kind in sorted({question.kind for question in judged.questions}):
            ids = [question.id for question in judged.questions if question.kind == kind]
            qrels = {found: judged.qrels[found] for found in ids}
            measured = {
                measure: ranking.estimate(
                    list(ranking.per_query(measure, run, qrels=qrels).values())
                )
                for measure in MEASURES
            }
            made.append(
                Row(set=judged.name, kind=kind, ways=name, questions=len(ids), measures=measured)
            )
    return made


def missed(found: Sequence[Row]) -> list[str]:
    """Targets that the default does not reach, each a line."""
    told = []
    for wanted, kind, measure, least in TARGETS:
        for row in found:
            if (row.set, row.kind, row.ways) == (wanted, kind, DEFAULT):
                mean = row.measures[measure].mean
                # As tables show it: 98 of 99 are .990.
                if round(mean, 3) < least:
                    told.append(f"{_name(row)}: {measure} is {mean:.4f}, wanted {least:.2f}")
    return told


def tables(found: Sequence[Row]) -> str:
    """The rows as Markdown, a table for each kind of question."""
    parts = []
    for name in dict.fromkeys(_name(row) for row in found):
        mine = [row for row in found if _name(row) == name]
        lines = [f"**{name}**, {mine[0].questions} questions", ""]
        lines.append("| | " + " | ".join(MEASURES) + " |")
        lines.append("| --- |" + " --- |" * len(MEASURES))
        for row in mine:
            cells = (_cell(row.measures[measure]) for measure in MEASURES)
            lines.append(f"| {row.ways} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def written(page: str, results: str) -> str:
    """The page with its results replaced. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{results}\n{END}{after}"


def vectors_folder(configured: settings.Settings) -> Path:
    """Where vectors of earlier evaluations are kept."""
    return configured.models_dir.parent / "eval-vectors"


def _name(row: Row) -> str:
    return f"{row.set}, {row.kind}" if row.kind else row.set


def _cell(found: Estimate) -> str:
    return f"{_short(found.mean)} ({_short(found.low)}–{_short(found.high)})"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


async def _evaluate(sets: Sequence[str], *, every: bool) -> list[Row]:
    configured = settings.load()
    found: list[Row] = []
    for name in sets:
        judged = retrieval_sets.load(name)
        since = time.monotonic()
        async with searched_sets.opened(configured, vectors=vectors_folder(configured)) as opened:
            click.echo(f"{name}: reading {len(judged.documents)} documents ...", err=True)
            await searched_sets.fill(opened.knowledge, judged)
            click.echo(
                f"{name}: {time.monotonic() - since:.0f} s, {opened.embedder.embedded} passages "
                "embedded anew",
                err=True,
            )
            ways = variants(configured.asked_options(), every=every)
            found += await rows(opened.knowledge, judged, ways)
    return found


@click.command()
@click.option("--all", "every", is_flag=True, help="Also what the default is compared with.")
@click.option("--set", "sets", multiple=True, type=click.Choice(SETS), help="Only this set.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--write", type=click.Path(path_type=Path, dir_okay=False), help="Put the tables into a page."
)
def main(*, every: bool, sets: tuple[str, ...], as_json: bool, write: Path | None) -> None:
    """Measure the search; exit code 1 where a target is missed."""
    wanted = [name for name in sets or SETS if (retrieval_sets.DATA / name).is_dir()]
    if not wanted:
        click.echo(f"skipped: no question sets on this machine ({retrieval_sets.DATA})", err=True)
        return
    try:
        found = asyncio.run(_evaluate(wanted, every=every))
    except WeightsError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps([asdict(row) for row in found]) if as_json else tables(found))
    if write is not None:
        write.write_text(written(write.read_text("utf-8"), tables(found)), "utf-8")
    if short := missed(found):
        raise click.ClickException("; ".join(short))


if __name__ == "__main__":
    main()
