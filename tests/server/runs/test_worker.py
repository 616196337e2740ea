"""Runs from acceptance to their end, on the real queue and a real Redis."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import textwrap
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphs import events
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.saver_codec import config_of
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.runs.asked import of_messages
from server.runs.emitter import Emit
from server.runs.queue import QuietIdleReads, RunQueue
from server.runs.records import RunNotFoundError, RunRecord, RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.runs.worker import RunWorker
from tests.server.runs.stores import indexes
from tests.server.runs.workshop import Held, House, answer_at_once, finished


async def test_a_run_is_accepted_worked_on_and_told(house: House) -> None:
    async with house.worker(answer_at_once):
        accepted = await house.ask()
        assert accepted.status is RunStatus.PENDING
        record = await house.ended(accepted.run_id)
    assert (record.status, record.attempts, record.error) == (RunStatus.SUCCESS, 1, None)
    assert record.result is not None
    assert record.result["answer"] == "to you"
    assert await house.told(record.run_id) == ["run.started", "agent.started", "run.finished"]
    assert await indexes(house.records.redis, house.records.keys) == {"all": {record.run_id}}


async def test_the_end_is_stored_before_it_is_told(house: House) -> None:
    async with house.worker(answer_at_once):
        run = await house.ask()
        async with aclosing(cast("Any", house.runs.events(run.run_id))) as entries:
            async for entry in entries:
                if entry.is_terminal:
                    assert (await house.records.get(run.run_id)).status is RunStatus.SUCCESS


async def test_many_runs_go_side_by_side(house: House) -> None:
    async with house.worker(answer_at_once, concurrency=4):
        accepted = await asyncio.gather(*(house.ask(str(number)) for number in range(20)))
        records = await asyncio.gather(*(house.ended(run.run_id) for run in accepted))
    assert [r.result["answer"] for r in records if r.result] == [f"to {n}" for n in range(20)]


async def test_a_failed_run_says_so_without_internals(house: House) -> None:
    async def fail(record: RunRecord, emit: Emit) -> events.RunFinished:
        raise KeyError("secret detail")

    async with house.worker(fail):
        record = await house.ended((await house.ask()).run_id)
    assert record.status is RunStatus.ERROR
    assert record.error is not None
    assert record.run_id in record.error
    assert "secret" not in record.error
    assert (await house.told(record.run_id))[-1] == "run.failed"


async def test_a_failure_that_the_work_tells_itself_is_kept(house: House) -> None:
    async def refuse(record: RunRecord, emit: Emit) -> events.RunFailed:
        return events.RunFailed(error="model", message="The model refuses connections.")

    async with house.worker(refuse):
        record = await house.ended((await house.ask()).run_id)
    assert (record.status, record.error) == (RunStatus.ERROR, "The model refuses connections.")


async def test_a_waiting_run_is_cancelled_at_once(house: House) -> None:
    run = await house.ask()
    record = await house.runs.cancel(run.run_id)
    assert record.status is RunStatus.CANCELLED
    assert await house.told(run.run_id) == ["run.failed"]
    begun: list[str] = []

    async def note(record: RunRecord, emit: Emit) -> events.RunFinished:
        begun.append(record.run_id)
        return finished()

    async with house.worker(note):
        other = await house.ask()
        await house.ended(other.run_id)
    assert begun == [other.run_id]


@pytest.mark.parametrize("message_is_lost", [False, True])
async def test_a_running_run_is_cancelled_with_its_usage(
    house: House, monkeypatch: pytest.MonkeyPatch, message_is_lost: bool
) -> None:
    async def nothing(worker: RunWorker) -> None: ...

    if message_is_lost:
        monkeypatch.setattr(RunWorker, "_hear_cancels", nothing)
    held = Held()
    async with house.worker(held):
        run = await house.ask()
        await held.begun.wait()
        await house.runs.cancel(run.run_id)
        record = await house.ended(run.run_id)
    assert record.status is RunStatus.CANCELLED
    assert held.cleaned
    assert record.result is not None
    assert record.result["error"] == "cancelled"
    assert record.result["usage"]["input_tokens"] == 7
    assert (await house.runs.cancel(run.run_id)).status is RunStatus.CANCELLED


async def test_an_unknown_run_cannot_be_followed_or_cancelled(house: House) -> None:
    for asked in (house.runs.get("x"), house.runs.cancel("x"), house.runs.wait("x")):
        with pytest.raises(RunNotFoundError):
            await asked


async def test_a_stopping_worker_lets_its_run_finish_within_the_grace(house: House) -> None:
    held = Held()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(house.worker(held, grace_seconds=5))
        run = await house.ask()
        await held.begun.wait()
        asyncio.get_running_loop().call_later(0.05, held.let_go.set)
    assert (await house.records.get(run.run_id)).status is RunStatus.SUCCESS


async def test_a_stopping_worker_gives_back_what_does_not_finish(house: House) -> None:
    held = Held()
    async with house.worker(held, grace_seconds=0):
        run = await house.ask()
        await held.begun.wait()
    record = await house.records.get(run.run_id)
    assert (record.status, record.attempts) == (RunStatus.PENDING, 0)
    async with house.worker(answer_at_once):
        record = await house.ended(run.run_id)
    assert (record.status, record.attempts) == (RunStatus.SUCCESS, 1)
    assert (await house.told(run.run_id)).count("run.started") == 2


async def test_a_stored_run_that_was_never_queued_is_found(house: House) -> None:
    created = await house.records.create(
        RunRecord(
            run_id="r", thread_id="t", asked=of_messages([{"role": "user", "content": "you"}])
        )
    )
    async with house.worker(answer_at_once):
        assert (await house.ended(created.run_id)).status is RunStatus.SUCCESS


async def test_an_end_that_was_stored_but_not_told_is_told(house: House) -> None:
    await house.records.create(RunRecord(run_id="r", thread_id="t"))
    await house.records.claim("r")
    await house.records.move(
        "r",
        expected=frozenset({RunStatus.RUNNING}),
        to=RunStatus.SUCCESS,
        told=finished().model_dump(mode="json"),
    )
    async with house.worker(answer_at_once):
        assert await house.told("r") == ["run.finished"]
        assert await house.records.untold() == []


async def test_a_run_that_lost_its_worker_three_times_is_not_begun_again(house: House) -> None:
    await house.records.create(RunRecord(run_id="r", thread_id="t"))
    for _ in range(3):
        await house.records.claim("r", lease_seconds=0)
    async with house.worker(answer_at_once):
        record = await house.ended("r")
        healthy = await house.ended((await house.ask()).run_id)
    assert record.status is RunStatus.ERROR
    assert record.error is not None
    assert "begun 3 times" in record.error
    assert healthy.status is RunStatus.SUCCESS


@pytest.mark.parametrize("died_while", ["working", "taking the run"])
async def test_a_killed_process_loses_no_run(
    house: House, redis_url: str, keys: Keys, died_while: str
) -> None:
    program = """
        import asyncio, sys
        from graphs.event_log import EventLog
        from graphs.keys import Keys
        from server.redis_client import open_redis
        from server.runs.queue import QuietIdleReads, RunQueue, Slots
        from server.runs.records import RunRecords
        from server.runs.worker import RunWorker
        async def work(record, emit):
            print(record.run_id, flush=True)
            await asyncio.Event().wait()
        async def take(run_id):
            print(run_id, flush=True)
            await asyncio.Event().wait()
        async def main(url, prefix, died_while):
            redis, keys = open_redis(url), Keys(prefix=prefix)
            records, log = RunRecords(redis, keys), EventLog(redis, keys)
            async with RunQueue(url, keys) as queue:
                if died_while == "taking the run":
                    event = asyncio.Event
                    await queue.serve(
                        take, name="w", slots=Slots(1), ready=event(), stop=event()
                    )
                async with RunWorker(records=records, log=log, queue=queue, executor=work):
                    await asyncio.Event().wait()
        asyncio.run(main(*sys.argv[1:]))
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(program),
        redis_url,
        keys.prefix,
        died_while,
        stdout=asyncio.subprocess.PIPE,
    )
    run = await house.ask()
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).decode().strip() == run.run_id
    process.kill()
    await process.wait()
    lost = await house.records.get(run.run_id)
    assert lost.status is (RunStatus.RUNNING if died_while == "working" else RunStatus.PENDING)
    async with house.worker(answer_at_once):
        record = await house.ended(run.run_id)
    assert (record.status, record.attempts) == (RunStatus.SUCCESS, lost.attempts + 1)


async def test_a_worker_that_was_overtaken_writes_no_end(house: House) -> None:
    held = Held()
    async with house.worker(held) as worker:
        run = await house.ask()
        await held.begun.wait()
        # Its lease was over, and somebody else has it now.
        await house.records.redis.hset(house.records.keys.run(run.run_id), "lease", 1)
        await house.records.claim(run.run_id)
        held.let_go.set()
        async with asyncio.timeout(30):
            await worker.idle()
        record = await house.records.get(run.run_id)
        assert (record.status, record.token, record.result) == (RunStatus.RUNNING, 2, None)


async def test_a_run_whose_last_step_is_gone_does_not_end_on_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica that became the primary has less than the worker was told to be stored."""
    saver = RedisSaver(house.records.redis, house.records.keys)
    told: list[str] = []

    async def finish(record: RunRecord, emit: Emit) -> events.RunFinished:
        checkpoint = empty_checkpoint()
        told.append(checkpoint["id"])
        if len(told) > 1:
            await saver.aput(config_of(record.checkpoint_thread, "", ""), checkpoint, {}, {})
        end = await answer_at_once(record, emit)
        return end.model_copy(update={"checkpoint_id": checkpoint["id"]})

    async with house.worker(finish):
        record = await house.ended((await house.ask()).run_id)
    assert (record.status, len(told)) == (RunStatus.SUCCESS, 2)
    assert record.result is not None
    assert record.result["checkpoint_id"] == told[1]
    assert "a step that Redis does not have" in caplog.text


async def test_a_run_that_is_delivered_twice_is_worked_on_once(house: House) -> None:
    held, count = Held(), 0

    async def counted(record: RunRecord, emit: Emit) -> events.RunFinished:
        nonlocal count
        count += 1
        return await held(record, emit)

    async with house.worker(counted) as worker:
        run = await house.ask()
        await held.begun.wait()
        await worker.advance(run.run_id)
        held.let_go.set()
        await house.ended(run.run_id)
        await worker.advance(run.run_id)
    assert count == 1


async def test_a_run_outlives_the_death_of_redis(tmp_path: Path) -> None:
    server, held = RedisServer(tmp_path), Held()
    await server.start()
    redis, keys = open_redis(server.url), Keys()
    records, log = RunRecords(redis, keys), EventLog(redis, keys)
    async with RunQueue(server.url, keys) as queue:
        runs = Runs(records=records, log=log, queue=queue)
        house = House(records=records, log=log, queue=queue, runs=runs)

        async def work(record: RunRecord, emit: Emit) -> events.RunFinished:
            return await (held if record.run_id == run.run_id else answer_at_once)(record, emit)

        async with house.worker(work):
            run = await house.ask()
            waiting = await house.ask(thread_id=run.thread_id)
            await held.begun.wait()
            assert (await redis.waitaof(1, 0, 30_000))[0] == 1
            reader = asyncio.create_task(house.told(run.run_id))
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            successor = RedisServer(tmp_path)
            await successor.start()
            # The worker takes new runs, though the one that it had goes on.
            async with asyncio.timeout(30):
                assert (await house.runs.wait((await house.ask()).run_id)).attempts == 1
            held.let_go.set()
            async with asyncio.timeout(30):
                ended = [await house.runs.wait(r.run_id) for r in (run, waiting)]
            assert (await reader)[-1] == "run.finished"
    assert [record.status for record in ended] == [RunStatus.SUCCESS] * 2
    await redis.aclose()
    await successor.close()


def test_an_idle_queue_is_quiet_and_a_lost_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("quiet")
    logger.addFilter(QuietIdleReads())
    for error in (RedisTimeoutError("Timeout reading"), RedisConnectionError("refused")):
        try:
            raise error
        except RedisError as caught:
            logger.warning("unavailable: %s", caught)
    assert caplog.messages == ["unavailable: refused"]
