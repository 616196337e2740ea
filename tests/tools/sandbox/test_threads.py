"""Sessions of threads: kept, put to sleep, woken with their files, bounded in number."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.sandbox.sandbox import Sandbox, SandboxError
from tools.sandbox.scripted import ScriptedSandbox, finished
from tools.sandbox.snapshots import FolderSnapshots, MemorySnapshots, Snapshots
from tools.sandbox.threads import ThreadSessions

BOUND = 30.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


async def _put(sessions: ThreadSessions, key: str, **files: bytes) -> bool:
    async with sessions.held(key) as held:
        await held.session.put(files)
        return held.woken


async def _files(sessions: ThreadSessions, key: str) -> dict[str, bytes]:
    async with sessions.held(key) as held:
        session = held.session
        return {one.path: await session.get(one.path) for one in await session.files()}


async def test_a_thread_finds_its_session_again() -> None:
    sessions = ThreadSessions(ScriptedSandbox([]))
    async with sessions.held("one") as first:
        pass
    async with sessions.held("one") as again:
        assert again.session is first.session
    async with sessions.held("other") as other:
        assert other.session is not first.session


async def test_an_idle_session_sleeps_and_wakes_with_its_files() -> None:
    clock = Clock()
    sessions = ThreadSessions(ScriptedSandbox([]), idle_seconds=60, clock=clock)
    assert not await _put(sessions, "idle", a=b"1", b=b"2")
    clock.now = 50.0
    await _put(sessions, "busy")
    clock.now = 61.0
    assert await sessions.put_to_sleep() == 1
    assert sessions.awake == ("busy",)
    assert await _put(sessions, "idle")
    assert await _files(sessions, "idle") == {"a": b"1", "b": b"2"}


async def test_that_a_session_slept_is_told_also_where_it_had_no_files() -> None:
    sessions = ThreadSessions(ScriptedSandbox([]), idle_seconds=0)
    assert not await _put(sessions, "t")
    assert await sessions.put_to_sleep() == 1
    assert await _put(sessions, "t")
    assert not await _put(sessions, "t")
    assert await _files(sessions, "t") == {}


class _Slow(MemorySnapshots):
    """Snapshots that wait until they may be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.free = asyncio.Event(), asyncio.Event()

    async def save(self, key: str, files: Mapping[str, bytes]) -> None:
        self.begun.set()
        await self.free.wait()
        await super().save(key, files)


async def test_who_comes_while_others_go_to_sleep_stays_awake_and_who_is_gone_stops_nobody() -> (
    None
):
    clock, slow = Clock(), _Slow()
    sessions = ThreadSessions(ScriptedSandbox([]), snapshots=slow, idle_seconds=60, clock=clock)
    for key in ("first", "used", "gone", "last"):
        await _put(sessions, key)
    clock.now = 100.0
    falling = asyncio.create_task(sessions.put_to_sleep())
    async with asyncio.timeout(BOUND):
        await slow.begun.wait()
        await _put(sessions, "used")
        await sessions.forget("gone")
        slow.free.set()
        assert await falling == 2
    assert sessions.awake == ("used",)


async def test_files_outlive_the_server(sandbox: Sandbox, tmp_path: Path) -> None:
    before = ThreadSessions(sandbox, snapshots=FolderSnapshots(tmp_path / "files"))
    async with before.held("t") as held:
        await held.session.run("import os; os.mkdir('d'); n = open('d/a', 'w').write('1')")
    await before.close()
    with pytest.raises(SandboxError, match="closed"):
        await _put(before, "t")
    after = ThreadSessions(sandbox, snapshots=FolderSnapshots(tmp_path / "files"))
    assert await _files(after, "t") == {"d/a": b"1"}


async def test_one_too_many_puts_the_longest_idle_to_sleep() -> None:
    sessions = ThreadSessions(ScriptedSandbox([]), most=2, clock=Clock())
    for key in ("a", "b", "a", "c"):
        await _put(sessions, key, name=key.encode())
    assert sessions.awake == ("a", "c")
    assert await _files(sessions, "b") == {"name": b"b"}


async def test_where_all_are_at_work_one_waits() -> None:
    sessions = ThreadSessions(ScriptedSandbox([]), most=1)
    begun = asyncio.Event()

    async def work() -> None:
        async with sessions.held("busy"):
            begun.set()
            await released.wait()

    released = asyncio.Event()
    busy = asyncio.create_task(work())
    await begun.wait()
    waiting = asyncio.create_task(_put(sessions, "next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    released.set()
    async with asyncio.timeout(BOUND):
        await waiting
    await busy
    assert sessions.awake == ("next",)


async def test_two_calls_of_a_thread_take_turns() -> None:
    sessions = ThreadSessions(ScriptedSandbox([finished("1"), finished("2")]))
    inside: list[str] = []

    async def call(name: str) -> None:
        async with sessions.held("t"):
            inside.append(name)
            await asyncio.sleep(0)
            assert inside == [name]
            inside.remove(name)

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(call(name))


async def test_a_forgotten_thread_has_no_files() -> None:
    sessions = ThreadSessions(ScriptedSandbox([]))
    await _put(sessions, "gone", a=b"1")
    await sessions.forget("gone")
    assert await _files(sessions, "gone") == {}


@pytest.fixture(params=["memory", "folder"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Snapshots:
    if request.param == "memory":
        return MemorySnapshots(limit=1000)
    return FolderSnapshots(tmp_path / "files", limit=1000)


async def test_a_snapshot_is_what_was_saved_last(snapshots: Snapshots) -> None:
    await snapshots.save("k", {"a": b"1", "deep/ü": b"\0\xff", "empty": b""})
    await snapshots.save("k", {"a": b"2", "deep/ü": b"\0\xff", "empty": b""})
    assert await snapshots.load("k") == {"a": b"2", "deep/ü": b"\0\xff", "empty": b""}
    await snapshots.save("k", {})
    assert await snapshots.load("k") == {}


async def test_a_dropped_snapshot_is_gone(snapshots: Snapshots) -> None:
    await snapshots.save("k", {"a": b"1"})
    await snapshots.drop("k")
    await snapshots.drop("k")
    assert await snapshots.load("k") == {}


async def test_the_oldest_snapshots_make_room(snapshots: Snapshots) -> None:
    for key in ("first", "second", "third"):
        await snapshots.save(key, {"a": bytes(400)})
    kept = [key for key in ("first", "second", "third") if await snapshots.load(key)]
    assert kept == ["second", "third"]


@given(st.dictionaries(st.text("ab/.", min_size=1), st.binary(max_size=50), min_size=1))
def test_a_folder_gives_back_any_files(files: dict[str, bytes]) -> None:
    async def round_trip() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            snapshots = FolderSnapshots(Path(folder))
            await snapshots.save("k", files)
            return await snapshots.load("k")

    assert asyncio.run(round_trip()) == files
