"""What the moves of runs do to their threads: turns, strategies, pauses, and what is said."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.asked import Asked, CancelAction, MultitaskStrategy
from server.runs.moves import ClaimOutcome
from server.runs.record import (
    RunConflictError,
    RunNotFoundError,
    RunRecord,
    ThreadBusyError,
    ThreadNotFoundError,
)
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus
from tests.server.runs.stores import indexes
from tests.server.runs.workshop import END, PAUSE, RUNNING, in_thread, stored, success


async def test_a_thread_is_made_or_asked_for(records: RunRecords, redis: Redis, keys: Keys) -> None:
    with pytest.raises(ThreadNotFoundError, match="no thread t"):
        await stored(records, create_thread=False)
    await stored(records, asked=Asked(graph="mine", assistant_id="an id"))
    found = await redis.hgetall(keys.thread_record("default", "t"))
    assert (found[b"status"], found[b"paused"]) == (b"busy", b"")
    assert (found[b"m:graph_id"], found[b"m:assistant_id"]) == (b'"mine"', b'"an id"')
    assert await redis.zscore(keys.threads("default"), "t") is not None
    assert await redis.smembers(keys.tenants) == {b"default"}
    assert (await stored(records, "s", create_thread=False)).run_id == "s"


async def test_a_temporary_thread_has_no_record(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records, asked=Asked(temporary=True), create_thread=False)
    assert not await redis.exists(keys.thread_record("default", "t"))


async def test_runs_of_a_thread_are_worked_on_in_order(records: RunRecords) -> None:
    for name in ("c", "a", "b"):
        await stored(records, run_id=name)
    assert await in_thread(records) == ["b", "a", "c"]
    for name in ("a", "b"):
        assert (await records.claim(name)).outcome is ClaimOutcome.ELSEWHERE
    await records.claim("c")
    queued = await records.move("c", expected=RUNNING, to=RunStatus.SUCCESS, told=END)
    assert queued.first == ["a"]
    assert (await records.claim("a")).outcome is ClaimOutcome.HELD


async def test_a_busy_thread_refuses_when_asked_to(records: RunRecords) -> None:
    asked = Asked(multitask=MultitaskStrategy.REJECT)
    await stored(records, asked=asked)
    with pytest.raises(ThreadBusyError, match="thread t is busy with run r"):
        await stored(records, "s", asked=asked)
    assert (await stored(records, "s", "another", asked=asked)).run_id == "s"
    await records.claim("r")
    await success(records)
    assert (await stored(records, "u", asked=asked)).run_id == "u"


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_may_end_those_before_it(records: RunRecords, strategy: str) -> None:
    await stored(records)
    await records.claim("r")
    await stored(records, "waiting")
    run = RunRecord(run_id="s", thread_id="t", asked=Asked(multitask=MultitaskStrategy(strategy)))
    created = await records.create(run)
    assert (created.ended, created.flagged) == (["waiting"], ["r"])
    assert (await records.get("waiting")).status is RunStatus.CANCELLED
    flagged = await records.get("r")
    assert (flagged.cancel_requested, flagged.cancel_action) == (True, CancelAction(strategy))


async def test_what_is_taken_back_keeps_its_thread_until_its_steps_are_gone(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    await records.claim("r")
    await records.cancel("r", action=CancelAction.ROLLBACK)
    await stored(records, "s")
    told = {"type": "run.failed", "error": "cancelled"}
    queued = await records.move("r", expected=RUNNING, to=RunStatus.CANCELLED, told=told)
    assert (queued.first, (await records.get("r")).undo) == ([], True)
    assert (await records.closed("r")).first == ["s"]
    with pytest.raises(RunNotFoundError):
        await records.get("r")
    assert await in_thread(records) == ["s"]
    assert (await indexes(redis, keys))["all"] == {"s"}


async def test_a_paused_run_holds_nothing_and_goes_on_once(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    await records.claim("r")
    await records.move("r", expected=RUNNING, to=RunStatus.INTERRUPTED, told=PAUSE)
    await records.closed("r")
    assert await indexes(redis, keys) == {"all": {"r"}}
    thread = await redis.hgetall(keys.thread_record("default", "t"))
    assert (thread[b"status"], thread[b"paused"]) == (b"interrupted", b"r")
    assert await redis.ttl(keys.run("r")) == -1
    queued = await records.resume("r", value={"ok": True})
    assert queued.again == ["r"]
    with pytest.raises(RunConflictError, match="run r is pending"):
        await records.resume("r", value={"ok": False})
    claim = await records.claim("r")
    assert (claim.outcome, claim.record.resume) == (ClaimOutcome.HELD, {"ok": True})


async def test_a_paused_run_that_is_decided_comes_before_later_ones(records: RunRecords) -> None:
    await stored(records)
    await records.claim("r")
    await stored(records, "later")
    await records.move("r", expected=RUNNING, to=RunStatus.INTERRUPTED, told=PAUSE)
    await records.resume("r", value=1)
    assert (await records.claim("later")).outcome is ClaimOutcome.ELSEWHERE
    assert (await records.claim("r")).outcome is ClaimOutcome.HELD


@pytest.mark.parametrize(
    ("answers", "error"), [("", "overtaken"), ("another", "overtaken"), ("r", "answered")]
)
async def test_a_paused_run_ends_when_another_takes_its_thread_or_answers_it(
    records: RunRecords, redis: Redis, keys: Keys, answers: str, error: str
) -> None:
    await stored(records)
    await records.claim("r")
    await records.move("r", expected=RUNNING, to=RunStatus.INTERRUPTED, told=PAUSE)
    await stored(records, "s", asked=Asked(answers=answers))
    await records.claim("s")
    record = await records.get("r")
    assert (record.status, (record.result or {})["error"]) == (RunStatus.CANCELLED, error)
    assert (record.error == "Run s has answered it.") == (error == "answered")
    thread = await redis.hgetall(keys.thread_record("default", "t"))
    assert (thread[b"status"], thread[b"paused"]) == (b"busy", b"")
    with pytest.raises(RunConflictError, match="run r is cancelled"):
        await records.resume("r", value=1)


async def test_a_thread_says_what_became_of_its_last_run(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    await stored(records)
    await records.claim("r")
    told = {"type": "run.failed"}
    await records.move("r", expected=RUNNING, to=RunStatus.ERROR, told=told, error="no model")
    name = keys.thread_record("default", "t")
    assert await redis.hmget(name, "status", "error") == [b"error", b"no model"]
    await stored(records, "s")
    await records.claim("s")
    await success(records, "s")
    assert await redis.hmget(name, "status", "error") == [b"idle", None]


async def test_a_delayed_run_lets_others_pass(records: RunRecords) -> None:
    later = await stored(records, after_seconds=60)
    assert later.due_at is not None
    assert later.created_at is not None
    assert (later.due_at - later.created_at).total_seconds() == 60
    assert (await records.claim("r")).outcome is ClaimOutcome.ELSEWHERE
    await stored(records, "s")
    assert (await records.claim("s")).outcome is ClaimOutcome.HELD


async def test_the_list_of_a_threads_runs_outlasts_every_one_of_them(
    records: RunRecords, redis: Redis, keys: Keys
) -> None:
    day, name = 24 * 3600, keys.thread_runs("default", "t")
    await stored(records, "later", after_seconds=300 * day)
    await stored(records, "now")
    assert 390 * day - 5 < await redis.ttl(name) <= 390 * day
    name = keys.thread_runs("default", "u")
    await stored(records, "asks", "u")
    await records.claim("asks")
    await records.move("asks", expected=RUNNING, to=RunStatus.INTERRUPTED, told=PAUSE)
    assert await redis.ttl(name) == -1
    await records.resume("asks", value="yes")
    assert 90 * day - 5 < await redis.ttl(name) <= 90 * day
