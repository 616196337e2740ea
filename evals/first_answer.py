"""The example questions put to the whole product: ``python -m evals.first_answer``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from evals import transcript
from evals.product import Product, ProductError, finished, installed, running
from evals.questions import Question, QuestionsError, load
from evals.transcript import Attempt


async def attempts(
    questions: Sequence[Question], *, docs: Path, command: Sequence[str], url: str | None
) -> list[Attempt]:
    """Ask every question, of the server at ``url`` or of one started for this.

    Raises:
        ProductError: the server does not start or takes no documents.
    """
    if url is not None:
        return await _ask(
            Product(command=tuple(command), where=("--url", url)), questions, docs=docs
        )
    # A server that is being stopped may still write into its folder.
    with tempfile.TemporaryDirectory(prefix="counterpoint-evals-", ignore_cleanup_errors=True) as d:
        click.echo("Starting the server ...", err=True)
        async with running(command, data_dir=Path(d)) as product:
            return await _ask(product, questions, docs=docs)


async def _ask(product: Product, questions: Sequence[Question], *, docs: Path) -> list[Attempt]:
    click.echo(f"Reading {docs} ...", err=True)
    await product.ingest(docs)
    done = []
    for question in questions:
        done.append(await product.ask(question))
        click.echo(transcript.line(done[-1]), err=True)
    return done


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    "--questions",
    "questions_file",
    type=click.Path(path_type=Path),
    default=Path("examples/questions.json"),
    show_default=True,
    help="Questions with known answers.",
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path, exists=True),
    default=Path("examples/handbook"),
    show_default=True,
    help="Documents to ask about.",
)
@click.option("--write", type=click.Path(path_type=Path), help="Keep the transcript in this file.")
@click.option("--url", help="Ask a server that is running instead of starting one.")
@click.option("--only", help="Ask the question with this id alone.")
@click.option(
    "--machine", default="two cores", show_default=True, help="What it runs on, for --write."
)
def main(
    *,
    as_json: bool,
    questions_file: Path,
    docs: Path,
    write: Path | None,
    url: str | None,
    only: str | None,
    machine: str,
) -> None:
    """Ask the example questions; exit code 0 if at least 7 of 10 are answered as they should be."""
    try:
        questions = load(questions_file)
        if only is not None:
            questions = tuple(question for question in questions if question.id == only)
            if not questions:
                raise QuestionsError(f"{questions_file} has no question {only!r}")
        done = finished(attempts(questions, docs=docs, command=installed(), url=url))
    except (QuestionsError, ProductError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(transcript.document(done, machine=machine), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(transcript.as_json(done), ensure_ascii=False, indent=2))
    else:
        click.echo(transcript.table(done))
    result = transcript.outcome(done)
    click.echo(f"{result.right} of {result.asked} right", err=True)
    for problem in result.problems:
        click.echo(f"not as it should be: {problem}", err=True)
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    main()
