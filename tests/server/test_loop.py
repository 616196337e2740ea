"""The loop of a command, and what its process keeps out of the way of the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from server import loop

ROOT = Path(__file__).parent.parent.parent


def test_a_command_runs_on_uvloop_whoever_runs_it() -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert loop.run(main()) is uvloop.Loop


def test_a_server_opens_more_files_than_the_shell_allows_at_first() -> None:
    """With 1,024 of them a thousand readers were all that it could have, and runs failed."""
    code = """
import resource
from server import loop
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
loop.open_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), hard)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, text=True
    )
    soft, left, hard = map(int, ended.stdout.split())
    assert left == hard
    endless = hard == resource.RLIM_INFINITY
    assert soft == (loop.OPEN_FILES if endless else min(hard, loop.OPEN_FILES))


def test_a_command_that_is_started_without_stdin_ends_well() -> None:
    code = """
import asyncio
from server import loop

async def main():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
    print(open("/proc/self/fd/0", "rb").read())

loop.run(main())
"""
    words = ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code]
    ended = subprocess.run(words, capture_output=True, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (0, b"b''\n"), ended.stderr.decode()


_CLOSING = """
import asyncio
import os
import signal
from server import loop

async def turns():
    for _ in range(50):
        await asyncio.sleep(0)

async def main():
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        await turns()
        print("went on")
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        await turns()
        print("closed")

loop.run(main())
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # Not as the tests themselves were started, which may be under nohup.
        pytest.param(["env", "--default-signal=HUP"], "closed\n", id="a terminal that closes"),
        pytest.param(["nohup"], "went on\nclosed\n", id="nohup"),
    ],
)
def test_a_closed_terminal_ends_a_command_as_a_stop_does_but_for_nohup(
    words: list[str], said: str
) -> None:
    ended = subprocess.run(
        [*words, sys.executable, "-c", _CLOSING],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
    )
    assert ended.stdout == said, ended.stderr


def test_what_is_there_once_a_server_is_up_is_not_looked_at_again() -> None:
    before = gc.get_threshold()
    kept: list[object] = [[]]
    try:
        loop.settle()
        assert gc.get_freeze_count() > 0
        assert all(one is not kept for one in gc.get_objects())
        if sys.version_info < (3, 14):
            assert gc.get_threshold() == loop.COLLECT_AT
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
