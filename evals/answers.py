"""Whole answers with evidence, by the front door: ``python -m evals.answers``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from evals import answer_report
from evals.answer_judge import Result, judged
from evals.answer_sets import SETS, UNANSWERABLE, Absent, Case, Places, cases, write_documents
from evals.product import Product, ProductError, finished, installed, running
from evals.questions import QuestionsError

Told = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Results in a file of one JSON object a line: a run that is broken off goes on from it."""

    path: Path

    def read(self) -> dict[str, Result]:
        """What was answered so far, by key; a failure is asked again, a torn line is left out."""
        found: dict[str, Result] = {}
        if not self.path.is_file():
            return found
        for row in self.path.read_text("utf-8").splitlines():
            try:
                one = Result.model_validate_json(row)
            except ValidationError:
                continue
            if not one.failure:
                found[one.key] = one
        return found

    def add(self, one: Result) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(one.model_dump_json() + "\n")


async def ask_all(
    asked: Sequence[Case],
    *,
    product: Product,
    places: Places,
    folder: Path,
    kept: Kept,
    until: float,
    told: Told,
) -> list[Result]:
    """Put the sets' documents in, then ask what was not answered before, one after another.

    No question is begun after ``until``, a time of the monotonic clock.

    Raises:
        ProductError: documents could not be put in.
        Absent: a set's documents are not there.
    """
    before = kept.read()
    left = [case for case in asked if case.key not in before]
    if before and len(left) < len(asked):
        told(f"{len(asked) - len(left)} of {len(asked)} are answered already: {kept.path}")
    ready: set[str] = set()
    begun = time.monotonic()
    results = {case.key: before[case.key] for case in asked if case.key in before}
    for number, case in enumerate(left, 1):
        if time.monotonic() >= until:
            told(f"The time is up; {len(left) - number + 1} are left. The same command goes on.")
            break
        if case.documents not in ready:
            source = write_documents(case.documents, places=places, into=folder)
            told(f"Reading {source} ...")
            await product.ingest(source, collection=case.documents)
            ready.add(case.documents)
            begun = time.monotonic() if number == 1 else begun
        reply = await product.put(case.text, collection=case.documents)
        one = judged(case, reply.finished, seconds=reply.seconds, failure=reply.failure)
        results[case.key] = one
        kept.add(one)
        told(_line(one, number=number, of=len(left), begun=begun))
    return [results[case.key] for case in asked if case.key in results]


def _line(one: Result, *, number: int, of: int, begun: float) -> str:
    left = (time.monotonic() - begun) / number * (of - number)
    if one.failure:
        word = f"failed: {one.failure}"
    elif not one.answerable:
        word = "refused" if one.refused else "NOT refused"
    else:
        word = "refused" if one.refused else f"F1 {one.f1:.2f}"
        word += f", gold {one.gold_cited} of {len(one.cited)}"
    return (
        f"[{number}/{of}, {left / 60:.0f} min left] {one.set} {one.id}: {word}, {one.seconds:.1f} s"
    )


async def run(
    asked: Sequence[Case],
    *,
    places: Places,
    kept: Kept,
    minutes: float | None,
    url: str | None,
    data_dir: Path | None,
    told: Told,
) -> list[Result]:
    """Ask the server at ``url``, else one started in ``data_dir``, else in a folder of its own.

    Raises:
        ProductError: the server does not start or takes no documents.
    """
    command = installed()
    until = time.monotonic() + (float("inf") if minutes is None else 60 * minutes)
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="counterpoint-answers-", ignore_cleanup_errors=True
                )
            )
        )
        if url is not None:
            product = Product(command=command, where=("--url", url), patience=1_800.0)
        else:
            told("Starting the server ...")
            started = await stack.enter_async_context(
                running(command, data_dir=data_dir or folder / "data")
            )
            product = Product(command=started.command, where=started.where, patience=1_800.0)
        return await ask_all(
            asked,
            product=product,
            places=places,
            folder=folder,
            kept=kept,
            until=until,
            told=told,
        )


@click.command()
@click.option("--sets", default=",".join(SETS), show_default=True, help="Which sets, by comma.")
@click.option("--limit", type=click.IntRange(min=1), help="Questions of each set at most.")
@click.option("--seed", default=0, show_default=True, help="Draws the questions of --limit.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Begin no question after so many.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("build/answers.jsonl"),
    show_default=True,
    help="Where each answer is kept as it comes; the same command goes on from there.",
)
@click.option("--again", is_flag=True, help="Forget the kept answers and ask all anew.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the figures into this page.")
@click.option("--url", help="Ask a server that is running instead of starting one.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The started server's folder.")
@click.option("--machine", default="two cores", show_default=True, help="For --write.")
@click.option("--model", default="qwen2.5-coder-1.5b", show_default=True, help="For --write.")
@click.option(
    "--anthropic-docs",
    "anthropic",
    type=click.Path(path_type=Path),
    default=Places().anthropic,
    show_default=True,
    help="The folder of that set.",
)
def main(
    *,
    sets: str,
    limit: int | None,
    seed: int,
    minutes: float | None,
    results: Path,
    again: bool,
    write: Path | None,
    url: str | None,
    data_dir: Path | None,
    machine: str,
    model: str,
    anthropic: Path,
) -> None:
    """Ask every set through the whole team and measure the answers: token F1 against the gold
    answer, cited gold sections, refusals. Exit code 0 when all were asked, 3 when time ran out.
    """
    names = [name.strip() for name in sets.split(",") if name.strip()]
    if not names or not set(names) <= set(SETS):
        raise click.UsageError(f"--sets {sets!r}: choose of {', '.join(SETS)}")
    places = Places(anthropic=anthropic)

    def told(line: str) -> None:
        click.echo(line, err=True)

    try:
        asked: list[Case] = []
        for name in names:
            try:
                asked += cases([name], places=places, limit=limit, seed=seed)
            except Absent as absent:
                told(f"{name} is left out: {absent}")
        if not (places.anthropic / "corpus.jsonl").is_file() and UNANSWERABLE in names:
            told("unanswerable: only the questions about the handbook")
        if again:
            results.unlink(missing_ok=True)
        kept = Kept(path=results)
        working = run(
            asked,
            places=places,
            kept=kept,
            minutes=minutes,
            url=url,
            data_dir=data_dir,
            told=told,
        )
        try:
            done = finished(working)
        except KeyboardInterrupt:
            known = kept.read()
            done = [known[case.key] for case in asked if case.key in known]
            told(f"Stopped; the same command goes on from {results}.")
        text = answer_report.section(
            done, seed=seed, asked=len(asked), machine=machine, model=model
        )
        click.echo(text.partition("<details>")[0].rstrip())
        if write is not None and done:
            answer_report.write(write, text)
    except (QuestionsError, ProductError, answer_report.NoMarksError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    sys.exit(0 if len(done) == len(asked) else 3)


if __name__ == "__main__":
    main()
