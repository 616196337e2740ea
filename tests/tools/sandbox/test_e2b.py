"""The sandbox at E2B: what its service does wrong, and that its key is nowhere to be read."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("e2b_code_interpreter", reason="the extra e2b is not installed")

from e2b_code_interpreter.models import ExecutionError, Result
from pydantic import SecretStr

from tests.tools.sandbox.e2b_double import KEY, Double, behind
from tools.sandbox import e2b_machine, e2b_session
from tools.sandbox.e2b_machine import Access
from tools.sandbox.e2b_results import end_of, output
from tools.sandbox.e2b_sandbox import E2BSandbox
from tools.sandbox.sandbox import (
    MEBIBYTE,
    Limits,
    Outcome,
    OutputKind,
    SandboxError,
    Variables,
)

LIMITS = Limits(seconds=60.0)


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    async with behind() as opened:
        yield opened


@pytest.fixture
async def sandbox(double: Double) -> AsyncIterator[E2BSandbox]:
    opened = E2BSandbox(double.access(), limits=LIMITS, sessions=2)
    yield opened
    await opened.close()


async def test_each_session_is_a_machine_without_network_that_ends_with_it(
    double: Double, sandbox: E2BSandbox
) -> None:
    one, other = await sandbox.create(), await sandbox.create()
    asked = [machine.asked for machine in double.machines.values()]
    assert [each["allow_internet_access"] for each in asked] == [False, False]
    assert [each["timeout"] for each in asked] == [901, 901]
    with pytest.raises(SandboxError, match="2 sessions are open"):
        await sandbox.create()
    await one.close()
    assert len(double.killed) == 1
    await sandbox.close()
    assert (len(double.killed), double.machines) == (2, {})
    with pytest.raises(SandboxError, match="closed"):
        await other.run("1")


async def test_named_hosts_are_all_that_a_machine_reaches(double: Double) -> None:
    sandbox = E2BSandbox(double.access(), limits=LIMITS, hosts=("api.example.com",))
    await sandbox.create()
    (machine,) = double.machines.values()
    network = machine.asked["network"]
    assert (network["allowOut"], network["denyOut"]) == (["api.example.com"], ["0.0.0.0/0"])
    (told,) = [one.detail for one in sandbox.describe().guarantees if one.name == "network"]
    assert "api.example.com alone" in told
    await sandbox.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refuses the key"), (429, "allows no more"), (503, "is busy"), (500, "an error")],
)
async def test_a_refusal_is_one_line_without_the_key(
    double: Double,
    sandbox: E2BSandbox,
    caplog: pytest.LogCaptureFixture,
    status: int,
    words: str,
) -> None:
    """The double's own answers quote the key, as a careless service might."""
    caplog.set_level(logging.DEBUG)
    double.refuse = status
    with pytest.raises(SandboxError, match=words) as raised:
        await sandbox.create()
    told = str(raised.value)
    assert "\n" not in told
    assert "e2b.test" in told
    assert KEY not in told + caplog.text
    assert KEY not in repr(double.access())


async def test_nobody_there_is_told() -> None:
    access = Access(
        key=SecretStr(KEY), api_url="http://127.0.0.1:9", domain="e2b.test", seconds=1.0
    )
    sandbox = E2BSandbox(access, limits=LIMITS)
    with pytest.raises(SandboxError, match=r"E2B at e2b\.test"):
        await sandbox.create()
    await sandbox.close()


async def test_a_machine_that_vanishes_takes_the_files_and_the_next_cell_has_another(
    double: Double, sandbox: E2BSandbox
) -> None:
    session = await sandbox.create(files={"a": b"1"})
    double.vanish = True
    gone = await session.run("print('begun', flush=True)\nimport time; time.sleep(60)")
    assert (gone.outcome, gone.variables) == (Outcome.KILLED, Variables.LOST)
    assert "took its files with it" in gone.stderr
    after = await session.run("import os; print(os.listdir())")
    assert (after.outcome, after.stdout) == (Outcome.FINISHED, "[]\n")


async def test_a_machine_that_ended_between_two_cells_is_told(
    double: Double, sandbox: E2BSandbox
) -> None:
    session = await sandbox.create(files={"a": b"1"})
    await double.end(next(iter(double.machines)))
    with pytest.raises(SandboxError, match="has ended, and its files with it"):
        await session.get("a")
    assert (await session.run("1 + 1")).outputs[0].text == "2"


async def test_a_stream_that_is_cut_is_told_and_the_session_goes_on(
    double: Double, sandbox: E2BSandbox
) -> None:
    session = await sandbox.create()
    await session.run("x = 1")
    double.cut = True
    cut = await session.run("print('begun', flush=True)\nimport time; time.sleep(60)")
    assert (cut.outcome, cut.variables) == (Outcome.KILLED, Variables.KEPT)
    assert "was cut" in cut.stderr
    assert (await session.run("x")).outputs[0].text == "1"


async def test_a_cell_over_its_time_is_interrupted(double: Double, sandbox: E2BSandbox) -> None:
    session = await sandbox.create()
    await session.run("x = 1")
    over = await session.run("while True: pass", timeout=0.5)
    assert (over.outcome, over.variables) == (Outcome.TIMED_OUT, Variables.KEPT)
    assert (await session.run("x")).outputs[0].text == "1"


async def test_an_interpreter_that_does_not_answer_is_given_up(
    double: Double, sandbox: E2BSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e2b_session, "SETTLE_SECONDS", 0.5)
    session = await sandbox.create(files={"a": b"1"})
    double.hang = True
    over = await session.run("1", timeout=0.5)
    assert (over.outcome, over.variables) == (Outcome.TIMED_OUT, Variables.LOST)
    double.hang = False
    assert (await session.run("open('a').read()")).outputs[0].text == "'1'"


async def test_a_cancelled_cell_is_interrupted(double: Double, sandbox: E2BSandbox) -> None:
    session = await sandbox.create()
    running = asyncio.create_task(session.run("x = 1\nwhile True: pass"))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await session.run("1 + 1")).outputs[0].text == "2"


async def test_a_flood_is_not_read_to_its_end(
    double: Double, sandbox: E2BSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK takes all there is, a line of any length whole; ours stops."""
    monkeypatch.setattr(e2b_machine, "STREAM_BYTES", MEBIBYTE)
    session = await sandbox.create()
    double.flood = 4 * MEBIBYTE
    flooded = await session.run("1")
    assert (flooded.outcome, len(flooded.stdout)) == (Outcome.KILLED, 0)
    assert "more than 1,048,576 bytes" in flooded.stderr
    double.flood = 0
    assert (await session.run("1 + 1")).outputs[0].text == "2"


async def test_a_kernel_that_crashes_is_told_and_files_stay(
    double: Double, sandbox: E2BSandbox
) -> None:
    session = await sandbox.create(files={"a": b"1"})
    crashed = await session.run("import os; os._exit(1)")
    assert (crashed.outcome, crashed.variables) == (Outcome.KILLED, Variables.LOST)
    assert (await session.run("open('a').read()")).outputs[0].text == "'1'"


def test_a_result_is_shown_in_its_forms() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
    shown = output(Result(text="t", html="<b>", svg="<svg>", png=png, jpeg="x"))
    assert (shown.kind, shown.text, shown.html, shown.svg) == (
        OutputKind.DISPLAY,
        "t",
        "<b>",
        "<svg>",
    )
    assert shown.png.startswith(b"\x89PNG")
    assert shown.left_out == ("image/jpeg: not shown",)
    assert output(Result(png="not base64!", is_main_result=True)).left_out == (
        "image/png that is none",
    )


@pytest.mark.parametrize(
    ("name", "value", "outcome", "code"),
    [
        ("SystemExit", "0", Outcome.FINISHED, 0),
        ("SystemExit", "3", Outcome.FAILED, 3),
        ("SystemExit", "out of here", Outcome.FAILED, 1),
        ("MemoryError", "", Outcome.OUT_OF_MEMORY, 1),
        ("ValueError", "no", Outcome.FAILED, 1),
        ("ContextRestarting", "Context was restarted", Outcome.KILLED, None),
    ],
)
def test_an_error_is_an_end(name: str, value: str, outcome: Outcome, code: int | None) -> None:
    end = end_of(ExecutionError(name, value, f"\x1b[31mTraceback\x1b[0m\n{name}: {value}"))
    assert (end.outcome, end.exit_code) == (outcome, code)
    assert "\x1b" not in end.text


def test_a_long_traceback_keeps_its_end() -> None:
    end = end_of(ExecutionError("E", "last", "x" * 100_000))
    assert end.text.endswith("E: last\n")
    assert len(end.text) < 10_000
