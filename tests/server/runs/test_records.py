"""Run records: every move is one atomic statement with the expected state in it."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.asked import of_messages
from server.runs.records import (
    ClaimOutcome,
    RunConflictError,
    RunExistsError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    RunRecords,
)
from server.runs.transitions import RunStatus

PENDING = frozenset({RunStatus.PENDING})
RUNNING = frozenset({RunStatus.RUNNING})
END = {"type": "run.finished", "answer": "done"}


@pytest.fixture
def records(redis: Redis, keys: Keys) -> RunRecords:
    return RunRecords(redis, keys, retention_seconds=100)


async def stored(records: RunRecords, run_id: str = "r", thread_id: str = "t") -> RunRecord:
    return await records.create(RunRecord(run_id=run_id, thread_id=thread_id))


async def test_what_is_created_is_read_back(records: RunRecords) -> None:
    given = RunRecord(
        run_id="r",
        thread_id="t",
        tenant="acme",
        asked=of_messages(
            [{"role": "user", "content": "Größe?"}],
            agent="researcher",
            collection="handbook",
            limits={"steps": 9},
        ),
    )
    record = await records.create(given)
    assert record.status is RunStatus.PENDING
    assert record.created_at == record.updated_at is not None
    assert (record.tenant, record.asked) == ("acme", given.asked)
    assert (record.asked.agent, record.asked.collection) == ("researcher", "handbook")
    assert await records.active() == ["r"]
    assert await records.of_thread("t", tenant="acme") == ["r"]
    assert await records.of_thread("t") == []


async def test_an_id_is_used_once(records: RunRecords) -> None:
    await stored(records)
    with pytest.raises(RunExistsError, match="run r exists already"):
        await stored(records)


async def test_an_unknown_run_is_named(records: RunRecords) -> None:
    for asked in (records.get("x"), records.claim("x"), records.flag_cancel("x")):
        with pytest.raises(RunNotFoundError, match="no run x"):
            await asked


async def test_an_attempt_is_counted_before_the_work_and_the_fourth_is_refused(
    records: RunRecords,
) -> None:
    await stored(records)
    for attempt in (1, 2, 3):
        claim = await records.claim("r")
        assert (claim.outcome, claim.attempt) == (ClaimOutcome.HELD, attempt)
        assert (await records.get("r")).attempts == attempt
    claim = await records.claim("r")
    assert (claim.outcome, claim.attempt) == (ClaimOutcome.EXHAUSTED, 3)


async def test_who_was_overtaken_can_write_no_end(records: RunRecords) -> None:
    await stored(records)
    old, new = await records.claim("r"), await records.claim("r")
    with pytest.raises(RunFencedError, match="run r was taken over"):
        await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, token=old.token, end=END)
    assert not await records.release("r", token=old.token)
    await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, token=new.token, end=END)


async def test_an_end_is_final_and_waits_to_be_told(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    await records.claim("r")
    await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, end=END)
    record = await records.get("r")
    assert (record.status, record.result) == (RunStatus.SUCCESS, END)
    assert (await records.active(), await records.closing()) == ([], ["r"])
    assert await redis.ttl(keys.run("r")) == 100
    with pytest.raises(RunConflictError, match="run r is success"):
        await records.move("r", expected=RUNNING, to=RunStatus.ERROR, end=END)
    assert (await records.claim("r")).outcome is ClaimOutcome.ELSEWHERE
    assert await records.flag_cancel("r") is RunStatus.SUCCESS
    assert not (await records.get("r")).cancel_requested
    await records.closed("r")
    assert await records.closing() == []


async def test_an_illegal_move_is_refused_before_it_is_tried(records: RunRecords) -> None:
    with pytest.raises(RunConflictError, match="may not go from pending to success"):
        await records.move("r", expected=PENDING, to=RunStatus.SUCCESS, end=END)
    with pytest.raises(ValueError):
        await records.move("r", expected=PENDING, to=RunStatus.CANCELLED)


async def test_one_of_many_ends_wins(records: RunRecords) -> None:
    await stored(records)
    await records.claim("r")

    async def end(number: int) -> bool:
        told = {"type": "run.finished", "answer": str(number)}
        try:
            await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, end=told)
        except RunConflictError:
            return False
        return True

    won = await asyncio.gather(*(end(number) for number in range(50)))
    assert won.count(True) == 1
    result = (await records.get("r")).result
    assert result is not None
    assert result["answer"] == str(won.index(True))


async def test_what_is_given_back_costs_no_attempt(records: RunRecords) -> None:
    await stored(records)
    claim = await records.claim("r")
    assert await records.release("r", token=claim.token)
    record = await records.get("r")
    assert (record.status, record.attempts) == (RunStatus.PENDING, 0)
    assert await records.active() == ["r"]


async def test_an_unwanted_run_is_not_begun(records: RunRecords) -> None:
    await stored(records)
    assert await records.flag_cancel("r") is RunStatus.PENDING
    assert await records.cancel_requested(["r", "x"]) == {"r"}
    assert (await records.claim("r")).outcome is ClaimOutcome.UNWANTED
    assert (await records.get("r")).attempts == 0


async def test_runs_of_a_thread_come_in_order(records: RunRecords) -> None:
    for name in ("c", "a", "b"):
        await stored(records, run_id=name)
    assert await records.of_thread("t") == ["c", "a", "b"]
