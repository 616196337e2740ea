"""What a process tells late, after others went on with the run, undoes nothing of theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphs import events
from graphs.fence import FencedError
from server.runs.emitter import Emit
from server.runs.record import RunRecord
from server.runs.telling import Teller
from server.runs.transitions import RunStatus
from tests.server.runs.workshop import END, PAUSE, RUNNING, House, finished, stored


async def test_a_pause_that_is_told_late_leaves_the_end_to_be_told(house: House) -> None:
    records = house.records
    await stored(records)
    claim = await records.claim("r")
    await records.move(
        "r", expected=RUNNING, to=RunStatus.INTERRUPTED, told=PAUSE, token=claim.token
    )
    paused = await records.get("r")
    await house.runs.resume("r", value="yes")
    claim = await records.claim("r")
    await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, told=END, token=claim.token)
    # Whoever stored the pause wakes up; whoever stored the end died before telling it.
    await Teller(records=records, log=house.log).tell(paused)
    assert await records.untold() == ["r"]
    async with house.worker(_never):
        assert await house.told("r") == ["run.interrupted", "run.finished"]
    assert await records.untold() == []


async def test_a_pause_that_is_told_late_is_not_told_in_the_middle_of_what_came_after(
    house: House,
) -> None:
    async def asks(record: RunRecord, emit: Emit) -> events.RunInterrupted | events.RunFinished:
        if not record.resumes:
            return events.RunInterrupted()
        # The reply to the first telling was lost: it is sent again.
        await Teller(records=house.records, log=house.log).tell(paused)
        emit(events.AgentStarted(agent="researcher", task_id="1", instruction="look"))
        return finished()

    async with house.worker(asks):
        run = await house.ask()
        paused = await house.ended(run.run_id)
        await house.runs.resume(run.run_id, value="yes")
        assert (await house.ended(run.run_id)).status is RunStatus.SUCCESS
    assert await house.told(run.run_id) == [
        "run.started",
        "run.interrupted",
        "run.started",
        "agent.started",
        "run.finished",
    ]


async def test_an_end_that_redis_does_not_have_is_not_told(house: House) -> None:
    records = house.records
    await stored(records)
    await records.claim("r")
    # The old primary took it; the one that was promoted has the run still at work.
    ended = replace(await records.get("r"), status=RunStatus.SUCCESS, result=END)
    with pytest.raises(FencedError):
        await Teller(records=records, log=house.log).tell(ended)
    await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, told=END)
    await Teller(records=records, log=house.log).tell(ended)
    assert await house.told("r") == ["run.finished"]


async def test_an_end_that_cannot_be_read_keeps_no_other_from_being_told(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    records = house.records
    for run_id in ("a", "b"):
        await stored(records, run_id, run_id)
        await records.claim(run_id)
        await records.move(run_id, expected=RUNNING, to=RunStatus.SUCCESS, told=END)
    await records.redis.hset(records.keys.run("a"), "status", "of a newer version")
    async with house.worker(_never):
        assert await house.told("b") == ["run.finished"]
    assert await records.untold() == ["a"]
    assert "run a has ended or paused, and cannot be told" in caplog.text
    await records.redis.hset(records.keys.run("a"), "status", "success")
    async with house.worker(_never):
        assert await house.told("a") == ["run.finished"]


async def _never(record: RunRecord, emit: Emit) -> events.RunFinished:
    raise AssertionError
