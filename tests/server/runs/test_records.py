"""Run records: every move is one atomic statement with the expected state in it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.asked import of_messages
from server.runs.moves import ClaimOutcome
from server.runs.record import (
    RunConflictError,
    RunExistsError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
)
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus
from tests.server.runs.stores import indexes
from tests.server.runs.workshop import END, PENDING, RUNNING, in_thread, stored, success


async def test_what_is_created_is_read_back(records: RunRecords) -> None:
    asked = of_messages(
        [{"role": "user", "content": "Größe?"}],
        agent="researcher",
        collection="handbook",
        limits={"steps": 9},
    )
    given = RunRecord(run_id="r", thread_id="t", tenant="acme", asked=asked)
    created = await records.create(given)
    assert created.is_new
    assert created.queued.first == ["r"]
    record = await records.get("r")
    assert record == created.record
    assert record.status is RunStatus.PENDING
    assert record.created_at == record.updated_at is not None
    assert (record.tenant, record.asked) == ("acme", asked)
    assert (record.asked.agent, record.asked.collection) == ("researcher", "handbook")
    assert [run.run_id async for run in records.of_thread("t", tenant="acme")] == ["r"]
    assert await in_thread(records) == []


async def test_an_id_is_used_once(records: RunRecords) -> None:
    await stored(records)
    with pytest.raises(RunExistsError, match="run r exists already"):
        await stored(records)


async def test_a_call_that_is_sent_twice_makes_one_run(records: RunRecords) -> None:
    first = await stored(records, made="a call")
    again = await stored(records, made="a call")
    assert again == first
    assert await in_thread(records) == ["r"]


async def test_a_key_that_is_known_gives_the_run_that_it_made(records: RunRecords) -> None:
    async def ask(number: int) -> str:
        run = RunRecord(run_id=f"r{number}", thread_id=f"t{number}")
        return (await records.create(run, idempotency_key="k")).run_id

    made = await asyncio.gather(*(ask(number) for number in range(50)))
    assert len(set(made)) == 1
    assert [run.run_id async for run in records.all()] == [made[0]]
    other = RunRecord(run_id="other", thread_id="t", tenant="acme")
    assert (await records.create(other, idempotency_key="k")).is_new


async def test_a_run_is_found_under_either_of_its_keys(records: RunRecords) -> None:
    async def ask(name: str, key: str | None, also: str | None) -> str:
        run = RunRecord(run_id=name, thread_id=name)
        return (await records.create(run, idempotency_key=key, also_key=also)).run_id

    assert await ask("r", "mine", "answer") == "r"
    assert await ask("s", "theirs", "answer") == "r"
    assert [await ask("t", key, None) for key in ("mine", "theirs", "answer")] == ["r"] * 3
    assert await ask("u", "other", None) == "u"
    assert await ask("v", "other", "answer") == "u"
    found = [await records.known(key, tenant="default") for key in ("answer", "other", "none")]
    assert [run and run.run_id for run in found] == ["r", "u", None]


async def test_an_unknown_run_is_named(records: RunRecords) -> None:
    for asked in (
        records.get("x"),
        records.claim("x"),
        records.cancel("x"),
        records.resume("x", value=1),
        records.delete("x"),
        records.requeue("x"),
    ):
        with pytest.raises(RunNotFoundError, match="no run x"):
            await asked


async def test_a_run_is_held_by_one_worker_until_its_lease_ends(records: RunRecords) -> None:
    await stored(records)
    first = await records.claim("r", worker="a")
    assert (first.outcome, first.attempt, first.record.worker) == (ClaimOutcome.HELD, 1, "a")
    assert (await records.claim("r", worker="b")).outcome is ClaimOutcome.ELSEWHERE
    assert (await records.get("r")).token == first.token


async def test_a_claim_that_is_sent_twice_counts_one_attempt(records: RunRecords) -> None:
    await stored(records)
    first = await records.claim("r", worker="a", nonce="n")
    again = await records.claim("r", worker="a", nonce="n")
    assert again.record == first.record
    assert (again.outcome, again.attempt) == (ClaimOutcome.HELD, 1)


async def test_an_attempt_is_counted_before_the_work_and_the_fourth_is_refused(
    records: RunRecords,
) -> None:
    await stored(records)
    for attempt in (1, 2, 3):
        claim = await records.claim("r", lease_seconds=0)
        assert (claim.outcome, claim.attempt) == (ClaimOutcome.HELD, attempt)
        assert (await records.get("r")).attempts == attempt
    claim = await records.claim("r")
    assert (claim.outcome, claim.attempt) == (ClaimOutcome.EXHAUSTED, 3)


async def test_who_was_overtaken_can_write_no_end(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    old = await records.claim("r", lease_seconds=0)
    new = await records.claim("r")
    assert await redis.get(keys.fence("default:t")) == new.record.fence.encode()
    with pytest.raises(RunFencedError, match="run r was taken over"):
        await success(records, token=old.token)
    assert await records.release("r", token=old.token) is None
    await success(records, token=new.token)
    assert not await redis.exists(keys.fence("default:t"))


async def test_an_end_is_final_and_waits_to_be_told(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    await records.claim("r")
    await success(records)
    record = await records.get("r")
    assert (record.status, record.result) == (RunStatus.SUCCESS, END)
    assert await records.untold() == ["r"]
    assert await redis.ttl(keys.run("r")) == 100
    with pytest.raises(RunConflictError, match="run r is success"):
        await records.move("r", expected=RUNNING, to=RunStatus.ERROR, told=END)
    assert (await records.claim("r")).outcome is ClaimOutcome.ELSEWHERE
    status, _ = await records.cancel("r")
    assert status is RunStatus.SUCCESS
    assert not (await records.get("r")).cancel_requested
    await records.closed("r")
    assert await indexes(redis, keys) == {"all": {"r"}}


async def test_an_illegal_move_is_refused_before_it_is_tried(records: RunRecords) -> None:
    with pytest.raises(RunConflictError, match="may not go from pending to success"):
        await records.move("r", expected=PENDING, to=RunStatus.SUCCESS, told=END)
    with pytest.raises(ValueError):
        await records.move("r", expected=RUNNING, to=RunStatus.PENDING, told=END)


async def test_one_of_many_ends_wins(records: RunRecords) -> None:
    await stored(records)
    await records.claim("r")

    async def end(number: int) -> bool:
        told = {"type": "run.finished", "answer": str(number)}
        try:
            await records.move("r", expected=RUNNING, to=RunStatus.SUCCESS, told=told)
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
    queued = await records.release("r", token=claim.token)
    assert queued is not None
    assert queued.again == ["r"]
    record = await records.get("r")
    assert (record.status, record.attempts) == (RunStatus.PENDING, 0)


async def test_an_unwanted_run_is_not_begun_and_its_end_is_final(records: RunRecords) -> None:
    await stored(records)
    status, _ = await records.cancel("r")
    assert status is RunStatus.PENDING
    record = await records.get("r")
    assert (record.status, record.attempts) == (RunStatus.CANCELLED, 0)
    assert (await records.claim("r")).outcome is ClaimOutcome.ELSEWHERE


async def test_a_run_that_is_unwanted_while_its_worker_is_dead_is_claimed_to_be_ended(
    records: RunRecords,
) -> None:
    await stored(records)
    await records.claim("r", lease_seconds=0)
    status, _ = await records.cancel("r")
    assert status is RunStatus.RUNNING
    claim = await records.claim("r")
    assert (claim.outcome, claim.attempt) == (ClaimOutcome.UNWANTED, 1)


async def test_a_record_goes_only_when_it_is_over(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    with pytest.raises(RunConflictError, match="run r is pending; cancel it first"):
        await records.delete("r")
    await records.claim("r")
    await success(records)
    await records.delete("r")
    assert await in_thread(records) == []
    assert await indexes(redis, keys) == {}


async def test_a_newer_format_is_left_to_newer_workers(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    old = RunRecords(redis, keys, known_format=0)
    assert (await old.claim("r")).outcome is ClaimOutcome.PARKED
    record = await records.get("r")
    assert (record.status, record.attempts) == (RunStatus.PENDING, 0)
    assert (await indexes(redis, keys))["parked"] == {"r"}


async def test_the_names_that_scripts_make_are_those_of_keys(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    run = RunRecord(run_id="r", thread_id="thread {1}:*", tenant="tenant %:ü")
    await records.create(run)
    await records.claim("r")
    known = {
        keys.run("r"),
        keys.runs_all,
        keys.runs_capacity,
        keys.runs_dispatched,
        keys.runs_leases,
        keys.thread_runs(run.tenant, run.thread_id),
        keys.thread_queue(run.tenant, run.thread_id),
        keys.thread_record(run.tenant, run.thread_id),
        keys.fence(run.checkpoint_thread),
        keys.tenant_running(run.tenant),
        keys.threads(run.tenant),
        keys.threads_updated(run.tenant),
        keys.tenants,
        keys.runs_turn,
        keys.runs_order,
    }
    found = {name.decode() for name in cast("list[bytes]", await redis.keys(keys.prefix + "*"))}
    by_metadata = keys.threads_by(run.tenant)
    assert {name for name in found if not name.startswith(by_metadata)} == known - {
        keys.runs_capacity
    }
