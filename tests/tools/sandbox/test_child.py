"""A child process does the same on the loop of uvloop as on that of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from tools.sandbox import child
from tools.sandbox.child import Child

PYTHON = Path(sys.executable)
LIMIT = 64 * 1024
SECONDS = 60

Play = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Play:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def played(scene: Callable[[], Awaitable[None]]) -> None:
        async def within() -> None:
            async with asyncio.timeout(SECONDS):
                await scene()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(within())

    return played


@contextlib.asynccontextmanager
async def started(
    code: str, *, executable: Path = PYTHON, user: int | None = None
) -> AsyncIterator[Child]:
    found = child.start(["quiet", "-c", code], executable=executable, user=user)
    await found.attach(limit=LIMIT)
    assert found.stdin is not None
    try:
        yield found
    finally:
        found.stdin.close()


async def told_by(found: Child) -> str:
    assert found.stdout is not None
    assert found.stderr is not None
    said = await found.stdout.read()
    assert (await found.stderr.read(), await found.wait()) == (b"", 0)
    return said.decode()


def test_what_is_written_to_it_comes_back_whole_and_its_exit_code_with_it(play: Play) -> None:
    code = "import sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write('bad'); sys.exit(7)"

    async def write(into: asyncio.StreamWriter) -> None:
        for _ in range(40):
            into.write(b"x" * LIMIT)
            await into.drain()
        into.close()

    async def scene() -> None:
        async with started(code) as found:
            assert found.stdin is not None
            assert found.stdout is not None
            assert found.stderr is not None
            writing = asyncio.create_task(write(found.stdin))
            assert len(await found.stdout.read()) == 40 * LIMIT
            assert await found.stderr.read() == b"bad"
            assert await found.wait() == found.returncode == 7
            await writing

    play(scene)


def test_it_has_no_environment_a_session_of_its_own_and_the_name_it_was_given(play: Play) -> None:
    code = (
        "import json, os; print(json.dumps([open('/proc/self/environ').read(), "
        "os.getsid(0) == os.getpid(), os.getcwd(), "
        "open('/proc/self/cmdline').read().split(chr(0))[0]]))"
    )

    async def scene() -> None:
        async with started(code) as found:
            assert json.loads(await told_by(found)) == ["", True, "/", "quiet"]

    play(scene)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_it_changes_to_the_user_and_keeps_no_group_of_ours(play: Play) -> None:
    code = "import os; print(os.getresuid(), os.getresgid(), os.getgroups())"

    async def scene() -> None:
        # The interpreter of the tests may lie where nobody else may look.
        async with started(code, executable=Path("/usr/bin/python3"), user=54321) as found:
            three = (54321, 54321, 54321)
            assert await told_by(found) == f"{three} {three} []\n"

    play(scene)


def test_descriptors_of_ours_are_its_streams_and_those_kept_have_their_numbers(play: Play) -> None:
    async def scene() -> None:
        out, kept = os.pipe(), os.pipe()
        silent = os.open(os.devnull, os.O_RDWR)
        code = f"import os; print('out', flush=True); os.write({kept[1]}, b'kept')"
        found = child.start(
            ["quiet", "-c", code],
            executable=PYTHON,
            streams=(silent, out[1], silent),
            kept=(kept[1],),
        )
        await found.attach(limit=LIMIT)
        assert (found.stdin, found.stdout, found.stderr) == (None, None, None)
        assert await found.wait() == 0
        assert (os.read(out[0], 99), os.read(kept[0], 99)) == (b"out\n", b"kept")
        for descriptor in (*out, *kept, silent):
            os.close(descriptor)

    play(scene)


def test_a_killed_one_tells_its_signal_and_everybody_who_waits_hears_it(play: Play) -> None:
    async def scene() -> None:
        async with started("import time; time.sleep(1000)") as found:
            waits = [asyncio.create_task(found.wait()) for _ in range(3)]
            impatient = asyncio.create_task(found.wait())
            await asyncio.sleep(0)
            impatient.cancel()
            found.kill()
            assert await asyncio.gather(*waits) == [-signal.SIGKILL] * 3
            # Over is over: said again, it says nothing.
            found.kill()
            assert await found.wait() == -signal.SIGKILL

    play(scene)


def test_who_writes_to_one_that_has_ended_hears_of_it(play: Play) -> None:
    async def flood(found: Child) -> None:
        assert found.stdin is not None
        while True:
            found.stdin.write(b"x" * LIMIT)
            await found.stdin.drain()

    async def scene() -> None:
        async with started("pass") as found:
            await found.wait()
            with pytest.raises(ConnectionError):
                await flood(found)

    play(scene)


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_descriptor(play: Play) -> None:
    def descriptors() -> list[str]:
        return [one.name for one in Path("/proc/self/fd").iterdir()]

    async def scene() -> None:
        before = len(descriptors())
        with pytest.raises(OSError, match="nothing"):
            child.start(["x"], executable=Path("/nothing/here"))
        assert len(descriptors()) == before

    play(scene)
