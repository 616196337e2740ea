"""What a worker may do while it is, and while it may no longer be, the one that has a run."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from graphs import events
from graphs.fence import FencedError
from server.runs.asked import Asked, CancelAction
from server.runs.emitter import Emit
from server.runs.held import Failure, failure_of
from server.runs.leases import Leases
from server.runs.queue import RunQueue
from server.runs.record import RunConflictError, RunFencedError, RunNotFoundError, RunRecord
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus
from tests.server.runs.stores import indexes
from tests.server.runs.workshop import Held, House, Steps, answer_at_once, finished

TOOK = events.AgentStarted(agent="researcher", task_id="1", instruction="too late")


async def overtake(house: House, run_id: str) -> None:
    """Its lease is over, and somebody else has claimed the run."""
    await house.records.redis.hset(house.records.keys.run(run_id), "lease", 1)
    await house.records.claim(run_id, worker="somebody else")


async def test_who_was_overtaken_hears_it_at_his_next_event_and_stops(house: House) -> None:
    begun, go_on, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def talks(record: RunRecord, emit: Emit) -> events.RunFinished:
        begun.set()
        await go_on.wait()
        emit(TOOK)
        try:
            await asyncio.Event().wait()
        finally:
            emit(TOOK)
            stopped.set()
        return finished()

    async with house.worker(talks) as worker:
        run = await house.ask()
        await begun.wait()
        await overtake(house, run.run_id)
        go_on.set()
        async with asyncio.timeout(30):
            await stopped.wait()
            await worker.idle()
        log = house.log.read(run.thread_id, until_terminal=False)
        assert (await anext(log)).event["type"] == "run.started"
        record = await house.records.get(run.run_id)
        assert (record.status, record.worker) == (RunStatus.RUNNING, "somebody else")
        await house.records.move(
            run.run_id,
            expected=frozenset({RunStatus.RUNNING}),
            to=RunStatus.SUCCESS,
            told=finished().model_dump(mode="json"),
        )
        assert await house.told(run.run_id) == ["run.started", "run.finished"]


async def test_who_was_overtaken_hears_it_though_his_work_is_silent(house: House) -> None:
    held = Held()
    async with house.worker(held) as worker:
        run = await house.ask()
        await held.begun.wait()
        await overtake(house, run.run_id)
        async with asyncio.timeout(30):
            await worker.idle()
        assert held.cleaned
        assert (await house.records.get(run.run_id)).worker == "somebody else"


async def test_a_lease_that_cannot_be_renewed_ends_the_work(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, away, held = Leases.beat, asyncio.Event(), Held()

    async def sometimes(self: Leases, *args: Any, **options: Any) -> Any:
        if away.is_set():
            raise RedisConnectionError("gone")
        return await beat(self, *args, **options)

    monkeypatch.setattr(Leases, "beat", sometimes)
    house.records.lease_seconds = 1
    async with house.worker(held) as worker:
        run = await house.ask()
        await held.begun.wait()
        away.set()
        async with asyncio.timeout(30):
            await worker.idle()
        assert held.cleaned
        away.clear()
        held.let_go.set()
        assert (await house.ended(run.run_id)).attempts == 2


async def test_a_run_that_loses_redis_waits_for_it_and_goes_on(house: House) -> None:
    tried: list[int] = []

    async def unlucky(record: RunRecord, emit: Emit) -> events.RunFinished:
        tried.append(record.attempts)
        if len(tried) < 3:
            raise ExceptionGroup("nodes", [RedisConnectionError("gone")])
        return finished()

    async with house.worker(unlucky):
        record = await house.ended((await house.ask()).run_id)
    # What Redis interrupts is nobody's attempt.
    assert (record.status, record.attempts, tried) == (RunStatus.SUCCESS, 1, [1, 1, 1])


async def test_an_end_that_redis_did_not_take_is_stored_when_it_is_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, failures = RunRecords.move, iter([RedisConnectionError("gone")] * 2)

    async def flaky(self: RunRecords, *args: Any, **options: Any) -> Any:
        for error in failures:
            raise error
        return await move(self, *args, **options)

    monkeypatch.setattr(RunRecords, "move", flaky)
    async with house.worker(answer_at_once):
        record = await house.ended((await house.ask()).run_id)
    assert (record.status, record.attempts) == (RunStatus.SUCCESS, 1)


async def test_a_worker_believes_in_no_lease_that_is_longer_than_the_one_it_has(
    house: House,
) -> None:
    house.records.lease_seconds = lease = 3600
    work = Held()
    async with house.worker(work) as worker:
        run = await house.ask()
        await work.begun.wait()
        # A fifth of it is over: Redis leaves it as it is.
        name, held = house.records.keys.run(run.run_id), worker._held[run.run_id]
        held.renewed = before = time.monotonic() - lease / 5
        until = int(cast("bytes", await house.records.redis.hget(name, "lease")))
        await house.records.redis.hset(name, "lease", until - round(lease / 5 * 1_000_000))
        await worker._beat()
        assert held.renewed == before
        await house.records.redis.hset(name, "lease", until - round(lease / 3 * 1_000_000))
        await worker._beat()
        assert held.renewed > before
        work.let_go.set()
        await house.ended(run.run_id)


@pytest.mark.parametrize("action", list(CancelAction))
async def test_a_run_whose_worker_is_dead_is_cancelled_long_before_its_lease_is_over(
    house: House, action: CancelAction
) -> None:
    house.records.lease_seconds = 3600
    stuck = await house.ask()
    await house.records.claim(stuck.run_id, worker="dead")
    async with house.worker(answer_at_once, sole_owner=False, steps=Steps()):
        await house.runs.cancel(stuck.run_id, action=action)
        assert (await house.told(stuck.run_id))[-1] == "run.failed"
        following = await house.ask(thread_id=stuck.thread_id)
        assert (await house.ended(following.run_id)).status is RunStatus.SUCCESS


async def test_a_cancel_with_rollback_leaves_nothing_of_the_run(house: House) -> None:
    held, steps = Held(), Steps()
    async with house.worker(held, steps=steps):
        run = await house.ask()
        await held.begun.wait()
        following = await house.ask(thread_id=run.thread_id)
        await house.runs.cancel(run.run_id, action=CancelAction.ROLLBACK)
        held.let_go.set()
        assert (await house.ended(following.run_id)).status is RunStatus.SUCCESS
    assert steps.runs == [run.run_id]
    with pytest.raises(RunNotFoundError):
        await house.runs.get(run.run_id)
    assert [r.run_id for r in await house.runs.of_thread(run.thread_id)] == [following.run_id]


async def test_a_temporary_thread_goes_with_its_run(house: House) -> None:
    steps = Steps()
    async with house.worker(answer_at_once, steps=steps):
        run = await house.ask(temporary=True)
        record = await house.ended(run.run_id)
    assert steps.threads == [record.checkpoint_thread]
    assert (await house.told(run.run_id))[-1] == "run.finished"
    name = house.records.keys.thread_record(record.tenant, record.thread_id)
    assert not await house.records.redis.exists(name)


async def test_a_paused_run_holds_no_worker_and_goes_on_with_the_decision(house: House) -> None:
    resumed: list[Any] = []

    async def asks(record: RunRecord, emit: Emit) -> events.RunFinished | events.RunInterrupted:
        if not record.resumes:
            return events.RunInterrupted()
        resumed.append(record.resume)
        return finished()

    async with house.worker(asks, concurrency=1) as worker:
        run = await house.ask()
        paused = await house.ended(run.run_id)
        assert paused.status is RunStatus.INTERRUPTED
        await worker.idle()
        with pytest.raises(RunNotFoundError):
            await house.runs.resume(run.run_id, value="no", tenant="another")
        await house.runs.resume(run.run_id, value={"approved": True})
        with pytest.raises(RunConflictError):
            await house.runs.resume(run.run_id, value={"approved": False})
        ended = await house.ended(run.run_id)
    assert (ended.status, resumed) == (RunStatus.SUCCESS, [{"approved": True}])
    assert await indexes(house.records.redis, house.records.keys) == {"all": {run.run_id}}


async def test_one_worker_takes_over_what_another_gives_back(house: House, redis_url: str) -> None:
    held = Held()
    async with RunQueue(redis_url, house.records.keys) as queue:
        other = replace(house, queue=queue)
        async with house.worker(answer_at_once, concurrency=1, sole_owner=False):
            async with other.worker(held, grace_seconds=0, sole_owner=False):
                runs = [await house.ask(thread_id="one thread") for _ in range(2)]
                runs += [await house.ask() for _ in range(6)]
                async with asyncio.timeout(30):
                    await held.begun.wait()
            ended = [await house.ended(run.run_id) for run in runs]
    assert {(record.status, record.attempts) for record in ended} == {(RunStatus.SUCCESS, 1)}


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (FencedError("no"), Failure.FENCED),
        (RunFencedError("no"), Failure.FENCED),
        (ExceptionGroup("two", [KeyError(), RedisConnectionError()]), Failure.REDIS),
        (ExceptionGroup("two", [FencedError(), RedisConnectionError()]), Failure.FENCED),
        (OSError("a file"), Failure.INSIDE),
        (asyncio.CancelledError(), Failure.INSIDE),
    ],
)
def test_an_exception_says_whose_fault_it_was(error: BaseException, failure: Failure) -> None:
    wrapped = RuntimeError("in a node")
    wrapped.__cause__ = error
    assert failure_of(error) is failure_of(wrapped) is failure


async def test_an_operator_ends_a_run_whoever_holds_it(house: House) -> None:
    held = Held()
    async with house.worker(held) as worker:
        run = await house.ask()
        await held.begun.wait()
        record = await house.runs.fail(run.run_id, reason="it eats our budget")
        async with asyncio.timeout(30):
            await worker.idle()
    assert (record.status, record.error) == (RunStatus.ERROR, "it eats our budget")
    assert await house.told(run.run_id) == ["run.started", "run.failed"] or held.cleaned
    with pytest.raises(RunConflictError):
        await house.runs.fail(run.run_id, reason="again")


async def test_what_was_given_up_is_asked_again_as_a_new_run(house: House) -> None:
    run = await house.ask(idempotency_key="k")
    for _ in range(3):
        await house.records.claim(run.run_id, lease_seconds=0)
    async with house.worker(answer_at_once):
        assert (await house.ended(run.run_id)).status is RunStatus.ERROR
        (dead,) = await house.runs.dead()
        assert dead.run_id == run.run_id
        assert "requeue makes a new run" in (await house.runs.explain(run.run_id)).sentence
        again = await house.runs.requeue(run.run_id)
        assert again.asked.metadata == {"retry_of": run.run_id}
        assert (await house.ended(again.run_id)).status is RunStatus.SUCCESS
        with pytest.raises(RunConflictError, match="does not wait"):
            await house.runs.requeue(again.run_id)


async def test_a_run_that_hangs_begins_anew(house: House) -> None:
    await house.records.create(RunRecord(run_id="r", thread_id="t", asked=Asked()))
    await house.records.claim("r", lease_seconds=0)
    await house.runs.requeue("r")
    record = await house.records.get("r")
    assert (record.status, record.attempts) == (RunStatus.PENDING, 0)
