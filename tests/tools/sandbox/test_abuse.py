"""Hostile code against the real sandbox: the list of `sandbox check`, and what needs a witness
outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.sandbox.conftest import required
from tools.sandbox import interpreter
from tools.sandbox.abuse import ATTACKS, Attack, assault
from tools.sandbox.find import open_sandbox
from tools.sandbox.memory import descendants
from tools.sandbox.sandbox import MEBIBYTE, Limits, Outcome, Sandbox

ROOT = Path(__file__).parents[3]
BOUND = 30.0
SMALL = Limits(memory_bytes=96 * MEBIBYTE, seconds=30.0)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_is_held_off(attack: Attack) -> None:
    sandbox = required(await open_sandbox(limits=SMALL))
    finding = await assault(sandbox, attack, limits=SMALL)
    await sandbox.close()
    assert finding.holds, finding.execution


async def test_a_fork_bomb_that_never_stops_is_ended_and_the_next_run_works(
    sandbox: Sandbox,
) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    ended = (await sandbox.run(bomb, timeout=0.5)).outcome
    # It may come to the end of its memory before that of its time.
    assert ended in {Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY}
    assert (await sandbox.run("1 + 1")).stdout == "2\n"


async def test_a_listener_on_this_machine_is_out_of_reach(sandbox: Sandbox) -> None:
    """TCP on loopback and an abstract unix socket, both of which a process outside reaches."""
    name = f"\0{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        port = tcp.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)
        code = f"""
import socket
reached = []
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=1)
    reached.append("tcp")
except OSError: pass
try:
    socket.socket(socket.AF_UNIX).connect({name!r})
    reached.append("unix")
except ConnectionRefusedError: pass
reached
"""
        assert (await sandbox.run(code)).stdout == "[]\n"


async def test_the_environment_of_the_server_is_nowhere_to_be_read(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = secrets.token_hex(8)
    monkeypatch.setenv("COUNTERPOINT_CANARY", canary)
    code = """
import glob, os
print(dict(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try: print(path, open(path).read())
    except OSError as error: print(path, error)
"""
    told = (await sandbox.run(code)).stdout
    assert "/proc/1/environ" in told
    assert canary not in told
    assert str(ROOT) not in told


@contextlib.contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Bytes that this process grew by at its highest, as the only item."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _memory("VmRSS")
    grown: list[int] = []
    yield grown
    grown.append(_memory("VmHWM") - before)


def _memory(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nfor _ in range(200): sys.stdout.write('line\\n' * 200_000)",
        "print('x' * 100_000_000)",
        "import os\nblock = bytes([255]) * 1_000_000\nfor _ in range(200): os.write(2, block)",
    ],
    ids=["200 MB of lines", "a line of 100 MB", "200 MB of invalid UTF-8 on stderr"],
)
async def test_a_flood_is_cut_and_costs_this_process_no_memory(sandbox: Sandbox, code: str) -> None:
    with _peak_memory() as grown:
        execution = await sandbox.run(code)
    assert execution.output_truncated
    assert len(execution.stdout) + len(execution.stderr) <= 64 * 1024
    assert grown[0] < 16 * MEBIBYTE


async def test_bytes_that_are_no_text_are_replaced(sandbox: Sandbox) -> None:
    execution = await sandbox.run("import os; n = os.write(1, b'a\\xff\\xfeb\\n')")
    assert execution.stdout == "a��b\n"


def _named(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text("utf-8", "replace").strip() == name:
                found.append(int(path.parent.name))
    return found


def _orphan(name: str, *, then: str) -> str:
    return f"""
import ctypes, os, signal, time
up, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in signal.valid_signals() - {{signal.SIGKILL, signal.SIGSTOP}}:
            signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(15, b"{name}")
        os.write(1, b"up\\n")
        os.write(tell, b"1")
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(60)
    os._exit(0)
os.wait()
_ = os.read(up, 1)
{then}
"""


async def test_a_daemon_is_gone_when_the_run_returns(sandbox: Sandbox) -> None:
    name = secrets.token_hex(6)
    execution = await sandbox.run(_orphan(name, then=""))
    assert execution.stdout == "up\n"
    assert execution.outcome is Outcome.FINISHED
    assert _named(name) == []


async def test_a_daemon_is_gone_when_the_run_is_cancelled(sandbox: Sandbox) -> None:
    name = secrets.token_hex(6)
    running = asyncio.create_task(sandbox.run(_orphan(name, then="time.sleep(60)")))
    async with asyncio.timeout(BOUND):
        while not _named(name):  # noqa: ASYNC110 - another process, no event to wait for
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert _named(name) == []


async def test_two_runs_see_nothing_of_each_other(sandbox: Sandbox) -> None:
    write = """
import os, time
for folder in (".", "/tmp", "/dev/shm"): open(folder + "/secret", "w").write("x")
time.sleep(0.6)
"""
    look = """
import os, time
seen, until = set(), time.monotonic() + 0.5
while time.monotonic() < until:
    seen |= set(os.listdir(".")) | set(os.listdir("/tmp")) | set(os.listdir("/dev/shm"))
    seen |= {name for name in os.listdir("/proc") if name.isdigit() and int(name) > 2}
    time.sleep(0.02)
sorted(seen)
"""
    _, seen = await asyncio.gather(sandbox.run(write), sandbox.run(look))
    after = await sandbox.run("import os; os.listdir('.') + os.listdir('/tmp')")
    assert (seen.stdout, after.stdout) == ("[]\n", "[]\n")


@pytest.mark.siege
@pytest.mark.timeout(240)
@pytest.mark.parametrize("user", ["of this process", "an ordinary one"])
async def test_all_attacks_at_once_disturb_nobody_and_leave_nothing(user: str) -> None:
    """As root, with control groups where there are some, and as an ordinary user without."""
    drops = user == "an ordinary one"
    if drops and os.geteuid() != 0:
        pytest.skip("the other run is one of an ordinary user already")
    binaries = interpreter.find_bwrap(None)
    if not binaries:
        required(await open_sandbox())
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") if drops else sys.executable
    if python is None:
        pytest.skip("no Python outside of root's own folders: apt-get install python3")
    identity: dict[str, Any] = {"user": 61007, "group": 61007, "extra_groups": []} if drops else {}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101
        shutil.copytree(ROOT / "tools", Path(folder) / "tools")
        program = shutil.copy(Path(__file__).with_name("siege.py"), folder)
        binary = interpreter.copy_bwrap(binaries[0], into=Path(folder))

        def besieged() -> bytes:
            words = [python, "-B", program, folder, str(binary)]
            # uvloop's own way to start a process cannot change the user.
            ended: subprocess.CompletedProcess[bytes] = subprocess.run(
                words,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                **identity,
            )
            return ended.stdout

        told = (await asyncio.to_thread(besieged)).decode()
    first, *rest = told.splitlines()
    assert rest == ["done"], told
    assert first.endswith("no capabilities")
    if drops:
        assert first == "the server's own, unprivileged; no capabilities"


def test_the_process_tree_is_walked_to_its_leaves() -> None:
    assert next(iter(descendants(os.getpid()))) == os.getpid()
