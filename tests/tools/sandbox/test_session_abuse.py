"""Hostile code as cells of real sessions: what it does to the session, the files and the server."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tools.sandbox.conftest import required
from tests.tools.sandbox.test_abuse import BOUND, ROOT, SMALL, _named, _orphan, _peak_memory
from tools.sandbox import live_kernel, memory
from tools.sandbox.abuse import ATTACKS, Attack, assault_session
from tools.sandbox.find import Sizes, open_sandbox
from tools.sandbox.memory import descendants
from tools.sandbox.sandbox import (
    MEBIBYTE,
    Limits,
    Outcome,
    Sandbox,
    SandboxError,
    Session,
    Variables,
)


@pytest.fixture
async def session(sandbox: Sandbox) -> AsyncIterator[Session]:
    opened = await sandbox.create()
    yield opened
    await opened.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_is_held_off_and_the_session_goes_on(attack: Attack) -> None:
    sandbox = required(await open_sandbox(limits=SMALL))
    finding = await assault_session(sandbox, attack, limits=SMALL)
    await sandbox.close()
    assert finding.holds, finding.execution


async def test_attacks_do_not_keep_ten_others_from_their_work() -> None:
    sandbox = required(await open_sandbox(limits=SMALL, sizes=Sizes(kernels=12)))
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    hog = "hoard = []\nwhile True: hoard.append(b'x' * 10_000_000)"

    async def work(number: int) -> list[str]:
        session = await sandbox.create(files={"n": str(number).encode()})
        told = [await session.run(code) for code in ("n = int(open('n').read())", "print(n * n)")]
        return [one.stdout for one in told]

    attackers = [await sandbox.create(), await sandbox.create()]
    attacks = [
        asyncio.create_task(one.run(code, timeout=seconds))
        for one, code, seconds in zip(attackers, (bomb, hog), (3.0, None), strict=True)
    ]
    results = await asyncio.gather(*(work(number) for number in range(10)))
    ends = [(await attack).outcome for attack in attacks]
    await sandbox.close()
    assert results == [["", f"{number * number}\n"] for number in range(10)]
    # A bomb of processes may come to the end of its memory before that of its time.
    assert ends[0] in {Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY}
    assert ends[1] is Outcome.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nfor _ in range(200): n = sys.stdout.write('line\\n' * 200_000)",
        "print('x' * 100_000_000)",
        "import os\nblock = bytes([255]) * 1_000_000\nfor _ in range(200): n = os.write(2, block)",
        "'x' * 100_000_000",
    ],
    ids=["200 MB of lines", "a line of 100 MB", "200 MB of invalid UTF-8", "a value of 100 MB"],
)
async def test_a_flood_is_cut_and_costs_this_process_no_memory(session: Session, code: str) -> None:
    with _peak_memory() as grown:
        execution = await session.run(code)
    assert execution.outcome is Outcome.FINISHED
    texts = [execution.stdout, execution.stderr, *(one.text for one in execution.outputs)]
    assert execution.output_truncated or execution.outputs[0].left_out
    assert sum(map(len, texts)) <= 64 * 1024
    assert grown[0] < 16 * MEBIBYTE


async def test_lines_that_look_like_the_protocol_are_output(session: Session) -> None:
    forged = b'D\0\0\0\x0b{"ok":true}'
    execution = await session.run(f"import os; n = os.write(1, {forged!r})\nx = 1")
    assert (execution.outcome, execution.stdout) == (Outcome.FINISHED, forged.decode())
    assert (await session.run("x")).outputs[0].text == "1"


async def test_a_forged_answer_ends_its_own_cell_alone(session: Session) -> None:
    """The guest knows its cell's number and may lie about it; the next cell runs all the same."""
    code = """
import sys, threading, time
frame = sys._getframe()
while frame and "self" not in frame.f_locals or not hasattr(frame.f_locals["self"], "_wire"):
    frame = frame.f_back
kernel = frame.f_locals["self"]
kernel._wire.tell(b"D", id=kernel._nonce, ok=True)
kernel._wire.tell(b"D", id=kernel._nonce, ok=True)
kernel._wire.tell(b"D", id="0" * 32, ok=True)
time.sleep(1)
"""
    forged = await session.run(code)
    assert forged.outcome is Outcome.FINISHED
    honest = await session.run("print('honest')")
    assert (honest.outcome, honest.stdout) == (Outcome.FINISHED, "honest\n")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import os; os._exit(3)", Outcome.KILLED),
        ("import ctypes; ctypes.string_at(0)", Outcome.KILLED),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Outcome.KILLED),
        ("import os; os.closerange(3, 2000)", Outcome.KILLED),
    ],
    ids=["exit", "segfault", "kill", "hang up"],
)
async def test_a_kernel_that_dies_is_told_and_replaced_with_its_files(
    session: Session, code: str, outcome: Outcome
) -> None:
    await session.put({"in/data.csv": b"1,2"})
    await session.run("x = 1; n = open('made.txt', 'w').write('made')")
    execution = await session.run(code)
    assert (execution.outcome, execution.variables) == (outcome, Variables.LOST)
    assert await session.get("made.txt") == b"made"
    after = await session.run("print('x' in globals(), open('in/data.csv').read())")
    assert (after.stdout, after.variables) == ("False 1,2\n", Variables.KEPT)


async def test_a_kernel_that_dies_between_cells_is_told_with_the_next(session: Session) -> None:
    await session.run("open('a', 'w').close()")
    kernel = session._kernel  # type: ignore[attr-defined]
    signal.pidfd_send_signal(kernel._main, signal.SIGKILL)
    async with asyncio.timeout(BOUND):
        await asyncio.shield(kernel._burial)
    execution = await session.run("import os; print(os.listdir())")
    assert (execution.stdout, execution.variables) == ("['a']\n", Variables.NEW)


async def test_nothing_but_regular_files_is_given_out(session: Session) -> None:
    await session.run(
        """
import os
os.makedirs("real/deep")
open("real/deep/file", "w").write("1")
os.symlink("/etc/passwd", "link")
os.symlink("../../../../../etc", "up")
os.symlink("real", "folder")
os.link("real/deep/file", "hard")
os.mkfifo("fifo")
open(".hidden", "w").close()
open("bad\\nname", "w").close()
"""
    )
    assert [entry.path for entry in await session.files()] == ["hard", "real/deep/file"]
    for name in ("link", "up/passwd", "folder/deep/file", "fifo", "real", "real/deep/file/x"):
        with pytest.raises(FileNotFoundError):
            await session.get(name)


async def test_a_file_larger_than_the_folder_is_not_given_out(session: Session) -> None:
    """A sparse file has any size and costs nothing."""
    await session.run(
        "import os, resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open('sparse', 'wb') as file: n = file.truncate(64 * 1024 * 1024)"
    )
    with _peak_memory() as grown:
        entries = await session.files()
    assert [entry.size for entry in entries] == [64 * MEBIBYTE]
    assert grown[0] < 16 * MEBIBYTE


async def test_a_daemon_is_gone_when_its_cell_ends(session: Session) -> None:
    name = secrets.token_hex(6)
    execution = await session.run(_orphan(name, then=""))
    assert (execution.stdout, execution.outcome) == ("up\n", Outcome.FINISHED)
    assert _named(name) == []


async def test_many_processes_are_gone_when_their_cell_ends(session: Session) -> None:
    """Some are the kernel's own children, some nobody's, some with memory to be given back."""
    code = """
import os, time
held = bytearray(2_000_000)
for number in range(40):
    if os.fork() == 0:
        if number % 2 and os.fork():
            os._exit(0)
        held[::4096] = bytes(len(held[::4096]))
        time.sleep(60)
"""
    assert (await session.run(code)).outcome is Outcome.FINISHED
    first = session._kernel._tree.first  # type: ignore[attr-defined]
    assert len(list(descendants(first))) == 2


async def test_a_cancelled_cell_is_interrupted_and_its_variables_stay(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_kernel, "GRACE_SECONDS", BOUND)
    await session.run("x = 1")
    running = asyncio.create_task(session.run("while True: pass"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await session.run("x")).outputs[0].text == "1"


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0]


def _mounts() -> str:
    return Path("/proc/self/mounts").read_text("utf-8")


def _groups() -> list[Path]:
    groups = memory.find_control_groups(Limits())
    parents = () if groups is None else groups.parents
    name = f"counterpoint-sandbox-{os.getpid()}-*"
    return [path for parent in parents for path in parent.glob(name)]


async def test_threads_of_an_idle_session_stand_still(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_kernel, "QUIET_SECONDS", 0.0)
    await session.run(
        "import threading\ndef spin():\n    while True: pass\n"
        "threading.Thread(target=spin, daemon=True).start()\nx = 1"
    )
    first = session._kernel._tree.first  # type: ignore[attr-defined]
    (kernel,) = [process for process in descendants(first) if process != first]
    async with asyncio.timeout(BOUND):
        while _state(kernel) != "T":  # noqa: ASYNC110 - another process, no event to wait for
            await asyncio.sleep(0.01)
    assert (await session.run("x")).outputs[0].text == "1"


async def test_nothing_is_left_when_the_sandbox_is_closed() -> None:
    # With its first pipe uvloop opens a descriptor that it keeps.
    first = await asyncio.create_subprocess_exec("true", stdout=asyncio.subprocess.PIPE)
    await first.communicate()
    descriptors = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    mounts, others = _mounts(), set(descendants(os.getpid()))
    sandbox = required(await open_sandbox(sizes=Sizes(warm=1)))
    session = await sandbox.create(files={"a": b"1"})
    await session.run("import os; os._exit(1)")
    await session.run("import subprocess; child = subprocess.Popen(['sleep', '60'])")
    await sandbox.create()
    tree = set(descendants(os.getpid())) - others
    await sandbox.close()
    assert len(tree) >= 6
    async with asyncio.timeout(BOUND):
        # The machine's first process clears away what bubblewrap did not live to see end.
        while [one for one in tree if os.path.exists(f"/proc/{one}")]:  # noqa: PTH110, ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    assert _groups() == []
    assert _mounts() == mounts
    assert set(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208


WORKER = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
from tools.sandbox.find import open_sandbox
from tools.sandbox.memory import descendants

async def main():
    sandbox = await open_sandbox()
    session = await sandbox.create()
    runs = [
        asyncio.create_task(each.run("import time; time.sleep(60)")) for each in (session, sandbox)
    ]
    while len(tree := list(descendants(os.getpid()))) < 7:
        await asyncio.sleep(0.01)
    print(*tree[1:], flush=True)
    await asyncio.gather(*runs)

asyncio.run(main())
"""


async def test_runs_and_sessions_die_with_their_worker(sandbox: Sandbox) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER.format(root=str(ROOT)), stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    async with asyncio.timeout(BOUND):
        line = await worker.stdout.readline()
    tree = [os.pidfd_open(int(number)) for number in line.split()]
    try:
        assert len(tree) >= 6
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        for handle in tree:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            ended = await asyncio.to_thread(poll.poll, BOUND * 1000)
            assert ended, "a process of the sandbox outlived its worker"
    finally:
        for handle in tree:
            os.close(handle)


async def test_two_sessions_see_nothing_of_each_other(sandbox: Sandbox) -> None:
    one, other = await sandbox.create(), await sandbox.create()
    await one.run(
        "for folder in ('.', '/tmp', '/dev/shm'): open(folder + '/secret', 'w').write('x')\n"
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=[60], daemon=True).start()"
    )
    look = await other.run(
        "import os\nprint([n for f in ('.', '/tmp', '/dev/shm') for n in os.listdir(f)], "
        "[n for n in os.listdir('/proc') if n.isdigit() and int(n) > 2])"
    )
    assert look.stdout == "[] []\n"


async def test_more_sessions_than_there_may_be_are_refused() -> None:
    sandbox = required(await open_sandbox(sizes=Sizes(kernels=1)))
    session = await sandbox.create()
    with pytest.raises(SandboxError, match="1 sessions are open"):
        await sandbox.create()
    await session.close()
    await sandbox.create()
    await sandbox.close()
