"""Processes that are kept: started in order, again when they end, stopped in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.stack import topology
from scripts.stack.supervisor import Look, Process, StackError, Supervisor
from scripts.stack.topology import Plan, Ports
from tests.faults.polling import eventually

# Writes its name at the start and at the end; what it notes on the way is its pid.
_PROGRAM = """
import os, pathlib, signal, sys, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def note(word):
    with (folder / "order").open("a") as file:
        file.write(f"{word} {name}\\n")
def end(*_):
    note("stops")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("starts")
(folder / f"{name}.{os.getpid()}").touch()
while True:
    time.sleep(0.05)
"""


def entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def noted(folder: Path, name: str) -> Look:
    """Whether the process of this name has noted its latest start."""
    seen: set[str] = set()

    async def look() -> bool:
        found = {entry for entry in entries(folder) if entry.startswith(f"{name}.")}
        fresh = bool(found - seen)
        seen.update(found)
        return fresh

    return look


def process(folder: Path, name: str, *, program: str = _PROGRAM) -> Process:
    words = [sys.executable, "-c", program, str(folder), name]
    return Process(name=name, words=words, look=noted(folder, name), ready_seconds=30.0)


def supervisor(folder: Path, rows: Sequence[Sequence[Process]], told: list[str]) -> Supervisor:
    return Supervisor(rows, logs=folder / "logs", tell=told.append)


async def test_rows_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    told: list[str] = []
    rows = [[process(tmp_path, "first")], [process(tmp_path, "second")]]
    async with supervisor(tmp_path, rows, told) as kept:
        assert [one.pid is not None for one in kept.kept] == [True, True]
    order = (tmp_path / "order").read_text().splitlines()
    assert order == ["starts first", "starts second", "stops second", "stops first"]
    assert [line.split()[0] for line in told] == ["first", "second", "stopped", "stopped"]


async def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    async with supervisor(tmp_path, [[process(tmp_path, "one")]], told) as kept:
        one = kept.named("one")
        before = one.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)

        async def again() -> bool:
            return one.pid not in {None, before} and one.ready.is_set()

        await eventually(again, within=30, what="another process")
        assert one.starts == 2
    assert "one ended (SIGKILL); starting it again in 0.2 s" in told


async def test_one_that_ends_at_once_is_tried_ever_more_slowly(tmp_path: Path) -> None:
    told: list[str] = []
    program = _PROGRAM.replace("while True", "while False")
    flapping = Process(
        name="one",
        words=[sys.executable, "-c", program, str(tmp_path), "one"],
        look=noted(tmp_path, "one"),
    )
    steady = process(tmp_path, "one")
    kept = supervisor(tmp_path, [[steady]], told)
    async with kept:
        one = kept.named("one")
        one.process = flapping
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)

        async def often() -> bool:
            return one.starts > 3

        await eventually(often, within=60, what="three more starts")
    pauses = [line.split(" in ")[1] for line in told if "starting it again" in line]
    assert pauses[:3] == ["0.2 s", "0.4 s", "0.8 s"]


async def test_what_does_not_start_is_told_with_its_last_words_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    broken = process(tmp_path, "broken", program="import sys; sys.exit('the disk is full')")
    rows = [[process(tmp_path, "first")], [broken, process(tmp_path, "beside")]]
    with pytest.raises(StackError, match="broken ended at once: the disk is full"):
        async with supervisor(tmp_path, rows, told):
            raise AssertionError("it did not start")
    assert "stops first" in (tmp_path / "order").read_text()
    for entry in entries(tmp_path):
        _, _, pid = entry.partition(".")
        if pid.isdecimal():
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


async def test_one_that_does_not_exist_is_told(tmp_path: Path) -> None:
    nothing = Process(name="none", words=["/no/such/program"], look=noted(tmp_path, "none"))
    with pytest.raises(StackError, match="none"):
        async with supervisor(tmp_path, [[nothing]], []):
            raise AssertionError("it did not start")


async def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    deaf = _PROGRAM.replace(
        "signal.signal(signal.SIGTERM, end)", "signal.signal(15, signal.SIG_IGN)"
    )
    stubborn = Process(
        name="deaf",
        words=[sys.executable, "-c", deaf, str(tmp_path), "deaf"],
        look=noted(tmp_path, "deaf"),
        grace_seconds=0.1,
    )
    async with asyncio.timeout(30), supervisor(tmp_path, [[stubborn]], []) as kept:
        pid = kept.named("deaf").pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _plan(folder: Path, **options: object) -> Plan:
    return Plan(folder=folder, ports=Ports.free(proxy=8123), **options)  # type: ignore[arg-type]


def test_the_plan_is_the_compose_file_on_loopback(tmp_path: Path) -> None:
    plan = _plan(tmp_path, weights=tmp_path / "w.gguf", key_file=tmp_path / "key", prometheus="p")
    names = [[one.name for one in row] for row in plan.rows()]
    assert names == [
        ["redis", "model"],
        ["documents"],
        ["api-1", "api-2", "worker-1", "worker-2"],
        ["proxy", "prometheus"],
    ]
    assert plan.url == "http://127.0.0.1:8123"
    for row in plan.rows():
        for one in row:
            for name in ("COUNTERPOINT_HOST", "COUNTERPOINT_METRICS_HOST"):
                assert one.environment.get(name, "127.0.0.1") == "127.0.0.1"
            assert "KEY" not in "".join(one.environment).replace("KEY_FILE", "")


def test_documents_elsewhere_need_no_process_here(tmp_path: Path) -> None:
    plan = _plan(tmp_path, owner=False)
    kept = {one.name: one for row in plan.rows() for one in row}
    assert "documents" not in kept
    assert "COUNTERPOINT_KNOWLEDGE_URL" not in kept["api-1"].environment


def test_what_is_missing_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(StackError, match="apt-get install redis-server haproxy"):
        topology.needed()
