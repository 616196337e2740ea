"""Five questions over files with known answers, put to the whole product:
``python -m evals.data_tasks``.

Each file goes in by ``counterpoint ask --file``, and what is drawn comes back by ``--save``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import click

from evals.data_files import DataTask, make
from evals.product import Product, ProductError, Reply, finished, installed, running

_NUMBER = re.compile(r"-?\d[\d,\u00a0\u202f ]*(?:\.\d+)?")
_PNG = b"\x89PNG\r\n\x1a\n"
_SMALLEST = 2_000
"""A chart of fewer bytes shows nothing."""
_PATIENCE = 1800.0
_NEAR = Decimal("0.005")
_BEGIN, _END = "<!-- data tasks: begin -->", "<!-- data tasks: end -->"

# A small model on a busy machine answers late; that is no failure of the answer.
PATIENT = ("env", "COUNTERPOINT_MODEL_TIMEOUT=600", "COUNTERPOINT_MAX_SECONDS=1500")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What came of one task; ``why`` it did not pass, empty where it did."""

    task: DataTask
    reply: Reply
    why: str

    @property
    def answer(self) -> str:
        return self.reply.finished.answer if self.reply.finished else self.reply.failure

    @property
    def runs(self) -> int:
        """How often code was run."""
        return len(self.reply.finished.cells) if self.reply.finished else 0


def judged(task: DataTask, reply: Reply, *, saved: Sequence[bytes]) -> str:
    """Why an answer does not do; empty where it does."""
    if reply.finished is None:
        return f"no answer: {reply.failure}"
    answer = reply.finished.answer
    figures = [Decimal(re.sub(r"[^\d.-]", "", one)) for one in _NUMBER.findall(answer)]
    for wanted in task.numbers:
        if not any(abs(abs(figure) - abs(wanted)) <= _NEAR for figure in figures):
            return f"{wanted} is not in the answer"
    for word in task.words:
        if word.casefold() not in answer.casefold():
            return f"{word} is not in the answer"
    if task.draws and not any(one.startswith(_PNG) and len(one) >= _SMALLEST for one in saved):
        return "no chart came back"
    return ""


async def scored(
    tasks: Sequence[DataTask], *, folder: Path, product: Product, tell: bool = True
) -> list[Scored]:
    """Put each task to a running product; ``folder`` holds the files."""
    done = []
    for task in tasks:
        with tempfile.TemporaryDirectory(prefix="counterpoint-data-") as made:
            options = ("--file", str(folder / task.file), "--save", made)
            reply = await product.put(task.question, options=options)
            saved = await asyncio.to_thread(_contents, Path(made))
        done.append(Scored(task=task, reply=reply, why=judged(task, reply, saved=saved)))
        if tell:
            click.echo(line(done[-1]), err=True)
    return done


def _contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def line(one: Scored) -> str:
    """One task in one line."""
    verdict = "passed" if not one.why else f"failed ({one.why})"
    return f"{one.task.name}: {verdict}, {one.runs} runs of code, {one.reply.seconds:.0f} s"


def table(done: Sequence[Scored], *, model: str, machine: str) -> str:
    """The figures as Markdown."""
    passed = sum(not one.why for one in done)
    rows = [
        f"| {one.task.name} | {one.task.question} | {'yes' if not one.why else one.why} | "
        f"{one.runs} | {one.reply.seconds:.0f} s |"
        for one in done
    ]
    head = (
        f"{passed} of {len(done)} passed with {model}, on {machine}. Made by "
        "`python -m evals.data_tasks`.\n\n"
        "| task | question | passed | runs of code | time |\n| --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(row.replace("\n", " ") for row in rows) + "\n"


def written(page: str, figures: str) -> str:
    """The page with its figures replaced, or added at its end."""
    block = f"{_BEGIN}\n\n{figures}\n{_END}"
    if _BEGIN in page and _END in page:
        before, _, rest = page.partition(_BEGIN)
        return before + block + rest.partition(_END)[2]
    return f"{page.rstrip()}\n\n{block}\n"


async def _all(count: int | None, only: str | None, url: str | None) -> list[Scored]:
    with tempfile.TemporaryDirectory(prefix="counterpoint-files-") as files:
        folder = Path(files)
        click.echo("Making the files ...", err=True)
        tasks = await asyncio.to_thread(make, folder)
        tasks = [one for one in tasks if only in {None, one.name}][:count]
        if not tasks:
            raise click.ClickException(f"--only: no task {only}")
        if url is not None:
            product = Product(command=installed(), where=("--url", url), patience=_PATIENCE)
            return await scored(tasks, folder=folder, product=product)
        with tempfile.TemporaryDirectory(
            prefix="counterpoint-evals-", ignore_cleanup_errors=True
        ) as data:
            click.echo("Starting the server ...", err=True)
            async with running((*PATIENT, *installed()), data_dir=Path(data)) as product:
                patient = replace(product, patience=_PATIENCE)
                return await scored(tasks, folder=folder, product=patient)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many tasks.")
@click.option("--only", help="Only the task of this name: csv, broken, xlsx, pdf or plot.")
@click.option("--url", help="Ask a server that is running instead of starting one.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the figures into this page.")
@click.option("--model", default="the local model", show_default=True, help="For --write.")
@click.option("--machine", default="two cores", show_default=True, help="For --write.")
def main(
    *,
    as_json: bool,
    limit: int | None,
    only: str | None,
    url: str | None,
    write: Path | None,
    model: str,
    machine: str,
) -> None:
    """Put the data tasks to the product; exit code 1 where one did not pass."""
    try:
        done = finished(_all(limit, only, url))
    except ProductError as error:
        raise click.ClickException(str(error)) from None
    if write is not None:
        page = write.read_text("utf-8") if write.exists() else "# Data tasks\n"
        write.write_text(written(page, table(done, model=model, machine=machine)), "utf-8")
    if as_json:
        told = [
            {"task": one.task.name, "passed": not one.why, "why": one.why, "answer": one.answer}
            for one in done
        ]
        click.echo(json.dumps({"tasks": told}))
    else:
        click.echo(table(done, model=model, machine=machine))
    sys.exit(any(one.why for one in done))


if __name__ == "__main__":
    main()
