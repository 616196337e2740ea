"""Work that is to end ends, also where its first cancel was swallowed."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from server import patience
from server.patience import Clock, OverdueError, until_over
from server.telemetry.tracing import Tracing


class Stubborn:
    """Work that loses the first cancel, as an old ``wait_for`` does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = False

    async def work(self) -> None:
        try:
            self.begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(patience, "BACKGROUND_SECONDS", 0.0)


async def test_a_result_and_an_error_come_through() -> None:
    async def work(*, fails: bool) -> int:
        if fails:
            raise KeyError("x")
        return 7

    assert await until_over(work(fails=False), clock=Clock(10)) == 7
    with pytest.raises(KeyError):
        await until_over(work(fails=True))


async def test_work_that_swallows_a_cancel_is_cancelled_again() -> None:
    stubborn = Stubborn()
    task = asyncio.create_task(until_over(stubborn.work()))
    await stubborn.begun.wait()
    task.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait({task})
    assert task.cancelled()
    assert stubborn.ended


async def test_time_ends_it_however_stubborn_and_may_be_shortened_meanwhile() -> None:
    stubborn, clock = Stubborn(), Clock(3600)
    task = asyncio.create_task(until_over(stubborn.work(), clock=clock))
    await stubborn.begun.wait()
    clock.shorten(0)
    with pytest.raises(OverdueError):
        async with asyncio.timeout(30):
            await task
    assert stubborn.ended


async def test_what_was_done_just_in_time_counts() -> None:
    async def work() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 7

    assert await until_over(work(), clock=Clock(0.001)) == 7


async def test_tasks_are_over_whatever_they_swallow_and_however_they_fail() -> None:
    async def fails() -> None:
        raise KeyError("x")

    stubborn, reported = Stubborn(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))
    tasks = [asyncio.create_task(stubborn.work()), asyncio.create_task(fails())]
    await stubborn.begun.wait()
    async with asyncio.timeout(30):
        await patience.over(*tasks)
    assert (stubborn.ended, tasks[0].cancelled()) == (True, True)
    del tasks
    gc.collect()
    assert reported == []


async def test_traces_close_also_where_a_write_swallows_the_cancel() -> None:
    stubborn = Stubborn()

    class Cut(Tracing):
        async def flush(self, *, running: bool = True) -> None:
            if not stubborn.begun.is_set():
                await stubborn.work()

    async with asyncio.timeout(30), Cut() as tracing:
        tracing._urgent.set()
        await stubborn.begun.wait()
    assert stubborn.ended
