"""A cancel that is accepted while a run works is not lost to what the run does at that moment."""

from __future__ import annotations

import asyncio

import pytest

from graphs import events
from server.runs.asked import CancelAction
from server.runs.emitter import Emit
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.runs.worker import Outcome
from tests.server.runs.workshop import House, Steps, answer_at_once, finished


class Stubborn:
    """Work that is at its end when the cancel comes, and cannot be interrupted any more."""

    def __init__(self, end: Outcome) -> None:
        self._end = end
        self.begun = asyncio.Event()

    async def __call__(self, record: RunRecord, emit: Emit) -> Outcome:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return self._end
        raise AssertionError


async def test_a_run_that_pauses_as_it_is_cancelled_is_cancelled(house: House) -> None:
    work = Stubborn(events.RunInterrupted())
    async with house.worker(work):
        run = await house.ask()
        await work.begun.wait()
        await house.runs.cancel(run.run_id)
        record = await house.ended(run.run_id)
    assert record.status is RunStatus.CANCELLED
    assert await house.told(run.run_id) == ["run.started", "run.failed"]


async def test_a_run_that_succeeds_as_it_is_cancelled_has_succeeded(house: House) -> None:
    work = Stubborn(finished())
    async with house.worker(work):
        run = await house.ask()
        await work.begun.wait()
        await house.runs.cancel(run.run_id)
        record = await house.ended(run.run_id)
    assert record.status is RunStatus.SUCCESS


@pytest.mark.parametrize("end", [finished(), events.RunInterrupted()], ids=["ends", "pauses"])
async def test_a_run_that_stops_as_it_is_rolled_back_is_taken_back_before_the_next_one_begins(
    house: House, end: Outcome
) -> None:
    work, steps = Stubborn(end), Steps()

    async def next_one(record: RunRecord, emit: Emit) -> Outcome:
        if not work.begun.is_set():
            return await work(record, emit)
        assert steps.runs == [first.run_id]
        return await answer_at_once(record, emit)

    async with house.worker(next_one, steps=steps):
        first = await house.ask()
        await work.begun.wait()
        second = await house.ask(thread_id=first.thread_id)
        await house.runs.cancel(first.run_id, action=CancelAction.ROLLBACK)
        assert (await house.ended(second.run_id)).status is RunStatus.SUCCESS
    with pytest.raises(RunNotFoundError):
        await house.records.get(first.run_id)
