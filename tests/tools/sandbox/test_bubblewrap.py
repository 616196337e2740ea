"""How the real sandbox serves ordinary code."""

from __future__ import annotations

import asyncio

import pytest

from tests.tools.sandbox.conftest import required
from tools.sandbox.find import Sizes, open_sandbox
from tools.sandbox.sandbox import Limits, Outcome, Sandbox, SandboxError

BOUND = 30.0


async def test_files_are_there_and_can_be_changed(sandbox: Sandbox) -> None:
    code = "open('data/a.csv', 'ab').write(b'3\\n'); print(open('data/a.csv').read())"
    execution = await sandbox.run(code, files={"data/a.csv": b"1\n2\n"})
    assert execution.stdout == "1\n2\n3\n\n"


async def test_a_traceback_shows_the_code_and_nothing_of_ours(sandbox: Sandbox) -> None:
    execution = await sandbox.run("def f():\n    return {}['key']\n\nf()")
    assert "return {}['key']" in execution.stderr
    assert execution.stderr.count("File ") == 2
    assert "main()" not in execution.stderr


async def test_a_syntax_error_shows_its_line(sandbox: Sandbox) -> None:
    execution = await sandbox.run("x = 1\ndef f(:\n    pass")
    assert execution.stderr.startswith('  File "<code>", line 2\n    def f(:')
    assert execution.outcome is Outcome.FAILED


async def test_the_standard_library_works(sandbox: Sandbox) -> None:
    code = """
import asyncio, concurrent.futures, csv, dataclasses, decimal, hashlib, multiprocessing, pickle
import sqlite3, statistics, subprocess, tempfile, zoneinfo

@dataclasses.dataclass
class Point:
    x: int

def double(n): return 2 * n

assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"
with concurrent.futures.ThreadPoolExecutor(8) as pool: assert list(pool.map(double, [1])) == [2]
with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(double, [3]) == [6]
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
assert subprocess.run(["sh", "-c", "echo hi"], capture_output=True, text=True).stdout == "hi\\n"
with tempfile.NamedTemporaryFile() as file: file.write(b"x")
"all well"
"""
    execution = await sandbox.run(code)
    assert execution.stdout == "'all well'\n", execution.stderr


async def test_packages_of_this_machine_are_not_there(sandbox: Sandbox) -> None:
    code = """
import importlib.util, sys
for folder in ("/usr/lib/python3/dist-packages", *sys.path): sys.path.append(folder)
[name for name in ("pip", "numpy", "pydantic", "pytest") if importlib.util.find_spec(name)]
"""
    assert (await sandbox.run(code)).stdout == "[]\n"


async def test_reading_input_finds_its_end(sandbox: Sandbox) -> None:
    execution = await sandbox.run("input('name? ')")
    assert execution.stderr.endswith("EOFError: EOF when reading a line\n")


async def test_output_until_the_time_limit_is_kept(sandbox: Sandbox) -> None:
    execution = await sandbox.run("print('begun')\nwhile True: pass", timeout=3.0)
    assert (execution.stdout, execution.outcome) == ("begun\n", Outcome.TIMED_OUT)
    assert execution.exit_code is None


async def test_a_caller_cannot_lengthen_the_time_limit() -> None:
    sandbox = required(await open_sandbox(limits=Limits(seconds=0.5)))
    assert (await sandbox.run("while True: pass", timeout=60)).outcome is Outcome.TIMED_OUT
    await sandbox.close()


async def test_a_run_waits_for_its_turn_and_a_cancelled_one_gives_it_back() -> None:
    sandbox = required(await open_sandbox(sizes=Sizes(concurrency=1)))
    first = asyncio.create_task(sandbox.run("import time; time.sleep(60)"))
    second = asyncio.create_task(sandbox.run("'second'"))
    done, _ = await asyncio.wait({first, second}, timeout=0.3)
    assert done == set()
    first.cancel()
    async with asyncio.timeout(BOUND):
        assert (await second).stdout == "'second'\n"
    with pytest.raises(asyncio.CancelledError):
        await first
    await sandbox.close()


async def test_close_ends_what_runs() -> None:
    sandbox = required(await open_sandbox())
    running = asyncio.create_task(sandbox.run("print('up')\nwhile True: pass"))
    await asyncio.wait({running}, timeout=0.3)
    await sandbox.close()
    assert running.done()
    try:
        assert (await running).outcome is Outcome.KILLED
    except SandboxError as error:
        assert "closed" in str(error)  # noqa: PT017 - it had not begun yet
