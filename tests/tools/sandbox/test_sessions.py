"""What every session does: the local one, E2B's behind a double, and their in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest

from tests.tools.sandbox.conftest import of_kind
from tools.sandbox import live_kernel
from tools.sandbox.sandbox import (
    Execution,
    Limits,
    Listener,
    Outcome,
    Output,
    OutputKind,
    Sandbox,
    SandboxError,
)
from tools.sandbox.scripted import ScriptedSandbox, Step, failed, finished, hanging

LIMITS = Limits(seconds=60.0, output_bytes=1024)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Code, and what a script answers in its place."""

    code: str
    answer: Execution | Step


def _result(text: str) -> tuple[Output, ...]:
    return (Output(kind=OutputKind.RESULT, text=text),)


SET = Cell(code="x = 40 + 2; print('set')", answer=finished("set\n"))
READ = Cell(code="x", answer=finished(outputs=_result("42")))
WRITE = Cell(
    code="import os; os.makedirs('out'); n = open('out/a.csv', 'w').write('a,b')",
    answer=Step(execution=finished(), files={"out/a.csv": b"a,b"}),
)
FLOOD = Cell(code="print('x' * 5000)", answer=finished("x" * 5000))
FAIL = Cell(code="1 / 0", answer=failed("ZeroDivisionError: division by zero\n"))
EXIT = Cell(code="import sys; sys.exit(3)", answer=failed("", exit_code=3))
LOOP = Cell(code="print('on', flush=True)\nwhile True: pass", answer=hanging())
GONE = Cell(code="'x' in globals()", answer=finished(outputs=_result("False")))


@dataclass(frozen=True, kw_only=True)
class Either:
    """A kind of sandbox."""

    kind: str
    real: Sandbox | None

    def playing(self, cells: Iterable[Cell]) -> Sandbox:
        if self.real is not None:
            return self.real
        return ScriptedSandbox([cell.answer for cell in cells], limits=LIMITS)


@pytest.fixture(params=["bubblewrap", "e2b", "scripted"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Either]:
    kind: str = request.param
    if kind == "scripted":
        yield Either(kind=kind, real=None)
        return
    async with of_kind(kind, limits=LIMITS) as real:
        yield Either(kind=kind, real=real)


async def test_cells_share_variables(either: Either) -> None:
    session = await either.playing([SET, READ]).create()
    first = await session.run(SET.code)
    second = await session.run(READ.code)
    assert (first.stdout, first.outcome, first.exit_code) == ("set\n", Outcome.FINISHED, 0)
    assert (second.stdout, second.outputs) == ("", _result("42"))


async def test_output_is_told_while_it_comes(either: Either) -> None:
    session = await either.playing([SET, READ]).create()
    told: list[str] = []
    shown: list[Output] = []
    listener = Listener(stdout=told.append, output=shown.append)
    await session.run(SET.code, listener=listener)
    await session.run(READ.code, listener=listener)
    assert ("".join(told), tuple(shown)) == ("set\n", _result("42"))


async def test_an_error_is_a_result_and_the_session_goes_on(either: Either) -> None:
    session = await either.playing([FAIL, SET, READ]).create()
    execution = await session.run(FAIL.code)
    assert (execution.outcome, execution.exit_code) == (Outcome.FAILED, 1)
    assert execution.stderr.endswith("ZeroDivisionError: division by zero\n")
    await session.run(SET.code)
    assert (await session.run(READ.code)).outputs == _result("42")


async def test_an_exit_ends_the_cell_alone(either: Either) -> None:
    session = await either.playing([EXIT, SET]).create()
    execution = await session.run(EXIT.code)
    assert (execution.outcome, execution.exit_code) == (Outcome.FAILED, 3)
    assert (await session.run(SET.code)).outcome is Outcome.FINISHED


async def test_output_is_capped(either: Either) -> None:
    session = await either.playing([FLOOD]).create()
    told: list[str] = []
    execution = await session.run(FLOOD.code, listener=Listener(stdout=told.append))
    assert execution.output_truncated
    assert execution.stdout == "".join(told) == "x" * 1024


async def test_files_go_in_and_what_code_writes_comes_out(either: Either) -> None:
    session = await either.playing([WRITE]).create(files={"in.csv": b"1,2"})
    await session.put({"deep/er/more.bin": b"\0\xff"})
    await session.run(WRITE.code)
    assert {entry.path: entry.size for entry in await session.files()} == {
        "deep/er/more.bin": 2,
        "in.csv": 3,
        "out/a.csv": 3,
    }
    assert await session.get("out/a.csv") == b"a,b"
    assert await session.get("deep/er/more.bin") == b"\0\xff"


async def test_a_file_that_is_written_again_is_newer(either: Either) -> None:
    session = await either.playing([]).create(files={"a": b"1"})
    (before,) = await session.files()
    await session.put({"a": b"2"})
    (after,) = await session.files()
    assert after.modified > before.modified


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "", "nul\0"])
async def test_a_path_outside_the_work_folder_is_refused(either: Either, name: str) -> None:
    session = await either.playing([]).create()
    with pytest.raises(ValueError, match="relative path"):
        await session.put({name: b""})
    with pytest.raises(ValueError, match="relative path"):
        await session.get(name)


async def test_a_missing_file_is_said_to_be_missing(either: Either) -> None:
    session = await either.playing([]).create()
    with pytest.raises(FileNotFoundError, match=r"no file 'none\.csv'"):
        await session.get("none.csv")


async def test_an_interrupt_ends_the_cell_and_variables_stay(
    either: Either, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_kernel, "GRACE_SECONDS", 60.0)
    session = await either.playing([SET, LOOP, READ]).create()
    await session.run(SET.code)
    started = asyncio.Event()
    listener = Listener(stdout=lambda text: started.set())
    running = asyncio.create_task(session.run(LOOP.code, listener=listener))
    if either.real is not None:
        await started.wait()
    else:
        await asyncio.sleep(0)
    await session.interrupt()
    execution = await running
    assert execution.outcome is Outcome.INTERRUPTED
    assert "KeyboardInterrupt" in execution.stderr
    assert (await session.run(READ.code)).outputs == _result("42")


async def test_an_interrupt_without_a_cell_does_nothing(either: Either) -> None:
    session = await either.playing([SET]).create()
    await session.interrupt()
    assert (await session.run(SET.code)).stdout == "set\n"


async def test_a_reset_drops_variables_and_keeps_files(either: Either) -> None:
    session = await either.playing([SET, GONE]).create(files={"in.csv": b"1,2"})
    await session.run(SET.code)
    await session.reset()
    assert (await session.run(GONE.code)).outputs == _result("False")
    assert await session.get("in.csv") == b"1,2"


async def test_two_sessions_are_strangers(either: Either) -> None:
    sandbox = either.playing([SET, GONE])
    one, other = await sandbox.create(files={"mine": b"1"}), await sandbox.create()
    await one.run(SET.code)
    assert (await other.run(GONE.code)).outputs == _result("False")
    assert await other.files() == ()


async def test_a_closed_session_does_nothing_more(either: Either) -> None:
    session = await either.playing([]).create()
    await session.close()
    await session.close()
    with pytest.raises(SandboxError, match="closed"):
        await session.run("1")
    with pytest.raises(SandboxError, match="closed"):
        await session.put({"a": b""})
    with pytest.raises(SandboxError, match="closed"):
        await session.files()


async def test_a_closed_sandbox_closes_its_sessions(either: Either) -> None:
    sandbox = either.playing([])
    session = await sandbox.create()
    await sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        await session.run("1")
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.create()
