"""Every attack at once while ten others work, then a look at what is left: a program of its own.

It is run as root and as an ordinary user, by any Python, and prints what went wrong, then ``done``.
Its arguments: the folder that holds `tools`, and the bwrap binary.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import re
import sys

ROOT, BWRAP = sys.argv[1:]
sys.path.insert(0, ROOT)

from tools.sandbox import memory  # noqa: E402
from tools.sandbox.abuse import ATTACKS, Attack, assault, assault_session  # noqa: E402
from tools.sandbox.find import Sizes, Unavailable, open_sandbox  # noqa: E402
from tools.sandbox.sandbox import Execution, Limits, Outcome, Sandbox  # noqa: E402

MEBIBYTE = 1024 * 1024
GROWTH = 32 * MEBIBYTE
LIMITS = Limits(memory_bytes=96 * MEBIBYTE, seconds=40.0)
WORKERS = 10


def _cut(execution: Execution, limits: Limits) -> bool:
    kept = len(execution.stdout.encode()) + len(execution.stderr.encode())
    return execution.outcome is Outcome.FINISHED and execution.output_truncated and kept < 200_000


def _fine(execution: Execution, limits: Limits) -> bool:
    return execution.outcome is Outcome.FINISHED


MORE = (
    Attack(
        name="200 MB of lines",
        code="import sys\nfor _ in range(200): n = sys.stdout.write('line\\n' * 200_000)",
        holds=_cut,
    ),
    Attack(
        name="100 MB of one line and of invalid UTF-8",
        code="import os\nfor _ in range(100): n = os.write(2, bytes([255]) * 1_000_000)",
        holds=_cut,
    ),
    Attack(
        name="leave a daemon",
        code="""
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(600)
    os._exit(0)
""",
        holds=_fine,
    ),
)


def _status(field: str) -> int:
    text = pathlib.Path("/proc/self/status").read_text("ascii")
    found = re.search(rf"^{field}:\s+(\d+)", text, re.M)
    assert found is not None
    return int(found[1]) * 1024


def _left() -> dict[str, list[str]]:
    """What there is of processes, mounts, control groups, descriptors and files of ours."""
    groups = memory.find_control_groups(LIMITS)
    parents = () if groups is None else groups.parents
    found = [each for parent in parents for each in parent.glob(f"*-sandbox-{os.getpid()}-*")]
    return {
        "processes": [str(one) for one in memory.descendants(os.getpid())][1:],
        "mounts": pathlib.Path("/proc/self/mounts").read_text("utf-8").splitlines(),
        "groups": sorted(map(str, found)),
        "descriptors": sorted(map(str, pathlib.Path("/proc/self/fd").iterdir())),
        "files": sorted(map(str, pathlib.Path("/tmp").glob("counterpoint-sandbox-*"))),
    }


async def _work(sandbox: Sandbox, number: int, over: asyncio.Event) -> str:
    """Ordinary cells until the siege is over; what went wrong."""
    session = await sandbox.create(files={"n": str(number).encode()})
    count = 0
    while not over.is_set() or count < 3:
        count += 1
        await asyncio.sleep(0.1)  # ordinary work, no second siege
        told = await session.run(f"count = {count}\nprint(int(open('n').read()) + count)")
        if told.stdout != f"{number + count}\n":
            return f"worker {number} was told {told}"
    await session.close()
    return ""


async def _besieged() -> None:
    attacks = (*ATTACKS, *MORE)
    sizes = Sizes(concurrency=4, kernels=WORKERS + 5)
    sandbox = await open_sandbox(bwrap=pathlib.Path(BWRAP), limits=LIMITS, sizes=sizes)
    if isinstance(sandbox, Unavailable):
        print("unavailable:", sandbox.reason, sandbox.remedy)
        return
    user, *_ = sandbox.describe().guarantees
    print(user.detail)
    over = asyncio.Event()
    workers = [asyncio.create_task(_work(sandbox, one, over)) for one in range(WORKERS)]
    few = asyncio.Semaphore(4)

    async def session(attack: Attack) -> str:
        async with few:
            finding = await assault_session(sandbox, attack, limits=LIMITS)
            return "" if finding.holds else f"in a session: {finding}"

    async def single(attack: Attack) -> str:
        finding = await assault(sandbox, attack, limits=LIMITS)
        return "" if finding.holds else str(finding)

    found = await asyncio.gather(*map(single, attacks), *map(session, attacks))
    over.set()
    for complaint in (*found, *await asyncio.gather(*workers)):
        if complaint:
            print(complaint)
    await sandbox.close()


async def main() -> None:
    logging.disable()
    # What is loaded late is loaded, so that it does not count as grown.
    await asyncio.to_thread(_left)
    before = _left()
    pathlib.Path("/proc/self/clear_refs").write_text("5", "ascii")  # noqa: ASYNC240
    held = _status("VmRSS")
    await _besieged()
    grown = _status("VmHWM") - held
    if grown > GROWTH:
        print(f"grown by {grown:,} bytes")
    after = _left()
    for kind, things in after.items():
        if more := [one for one in things if one not in before[kind]]:
            print(f"left behind: {kind} {more}")
    print("done")


asyncio.run(main())
