"""What every sandbox does: the local one, E2B behind a double, and their in-memory twin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.sandbox.conftest import of_kind
from tools.sandbox.conformance import kept
from tools.sandbox.sandbox import (
    Execution,
    Limits,
    Outcome,
    Sandbox,
    SandboxError,
    checked_files,
)
from tools.sandbox.scripted import ScriptedSandbox, failed, finished

# Code, and what a script answers in its place.
SUM = ("print('sum'); 40 + 2", finished("sum\n42\n"))
ERROR = (
    "def half(n):\n    return n / 0\n\nhalf(1)",
    failed("Traceback (most recent call last):\nZeroDivisionError: division by zero\n"),
)
FLOOD = ("print('x' * 100_000)", finished("x" * 100_000))
EXIT = ("import sys; sys.exit(3)", failed("", exit_code=3))


@pytest.fixture(params=["bubblewrap", "e2b", "scripted"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Sandbox]]:
    kind: str = request.param
    if kind != "scripted":
        async with of_kind(kind) as sandbox:
            yield kind, sandbox
        return
    scripted = ScriptedSandbox([])
    yield kind, scripted
    await scripted.close()


async def _run(either: tuple[str, Sandbox], step: tuple[str, Execution]) -> Execution:
    code, answer = step
    kind, sandbox = either
    if kind == "scripted":
        return await ScriptedSandbox([answer]).run(code)
    return await sandbox.run(code)


async def test_prints_and_the_last_value_come_back(either: tuple[str, Sandbox]) -> None:
    execution = await _run(either, SUM)
    assert (execution.stdout, execution.stderr) == ("sum\n42\n", "")
    assert (execution.outcome, execution.exit_code) == (Outcome.FINISHED, 0)
    assert not execution.output_truncated


async def test_an_error_is_a_result(either: tuple[str, Sandbox]) -> None:
    execution = await _run(either, ERROR)
    assert (execution.outcome, execution.exit_code) == (Outcome.FAILED, 1)
    assert execution.stderr.endswith("ZeroDivisionError: division by zero\n")


async def test_an_exit_code_is_kept(either: tuple[str, Sandbox]) -> None:
    execution = await _run(either, EXIT)
    assert (execution.outcome, execution.exit_code) == (Outcome.FAILED, 3)


async def test_output_is_capped(either: tuple[str, Sandbox]) -> None:
    execution = await _run(either, FLOOD)
    assert execution.output_truncated
    assert len(execution.stdout) == 64 * 1024


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "", "nul\0"])
async def test_a_file_outside_the_work_folder_is_refused(
    either: tuple[str, Sandbox], name: str
) -> None:
    with pytest.raises(ValueError, match="relative path"):
        await either[1].run("1", files={name: b""})


async def test_files_beyond_the_disk_are_refused(either: tuple[str, Sandbox]) -> None:
    with pytest.raises(ValueError, match="at most"):
        await either[1].run("1", files={"big": bytes(33 * 1024 * 1024)})


async def test_nothing_runs_after_close(either: tuple[str, Sandbox]) -> None:
    await either[1].close()
    with pytest.raises(SandboxError, match="closed"):
        await either[1].run("1")


async def test_it_says_what_holds(either: tuple[str, Sandbox]) -> None:
    assert all(guarantee.detail for guarantee in either[1].describe().guarantees)


async def test_what_check_tries_is_kept_by_what_runs_code_and_not_by_a_script(
    either: tuple[str, Sandbox],
) -> None:
    kind, sandbox = either
    found = await kept(sandbox, limits=Limits())
    if kind == "scripted":
        assert not all(one.holds for one in found)
    else:
        assert [one for one in found if not one.holds] == []


@given(st.text(alphabet="ab./\\\0~", max_size=12))
def test_an_accepted_name_stays_inside(name: str) -> None:
    try:
        (accepted,) = checked_files({name: b""}, limit=1)
    except ValueError:
        return
    assert not accepted.startswith("/")
    assert ".." not in accepted.split("/")


async def test_a_script_without_a_step_left_fails_loudly() -> None:
    sandbox = ScriptedSandbox([finished("1\n")])
    await sandbox.run("1")
    assert (sandbox.ran, sandbox.unused) == (["1"], 0)
    with pytest.raises(AssertionError, match="no step left"):
        await sandbox.run("2")
