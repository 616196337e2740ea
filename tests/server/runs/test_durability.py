"""A caller hears of what outlives a crash, and the work does not wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from graphs import events
from graphs.keys import Keys
from server.redis_client import open_redis
from server.redis_server import find_server
from server.runs.asked import Asked
from server.runs.durability import Durability, UnconfirmedError
from server.runs.emitter import Emit
from server.runs.leases import Leases, Pulse
from server.runs.moves import ClaimOutcome
from server.runs.record import NotDurableError, RunRecord
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.runs.worker import Outcome
from tests.server.runs.workshop import House, answer_at_once, finished


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Redis without an append-only file and without replicas."""
    found = await find_server()
    socket = tmp_path / "s"
    process = await asyncio.create_subprocess_exec(
        found.path,
        *("--port", "0", "--save", "", "--dir", tmp_path, "--unixsocket", socket),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Ready to accept" not in await process.stdout.readline():
            pass
    redis = open_redis(f"unix://{socket}")
    yield redis
    await redis.aclose()
    process.terminate()
    await process.wait()


async def ping(one: Redis) -> bool:
    return bool(await one.set("counterpoint-test", "1"))


async def nothing(reply: object) -> None: ...


async def test_our_own_redis_syncs_while_somebody_waits_and_not_after(
    redis: Redis, keys: Keys
) -> None:
    durability = Durability(redis, disk=True, hurry=True)

    async def write(one: Redis) -> bool:
        return bool(await one.set(keys.prefix + "x", "1"))

    for _ in range(5):
        waiting = [durability.confirmed(write, then=nothing) for _ in range(20)]
        assert all(await asyncio.gather(*waiting))
    await durability.close()
    assert (await redis.config_get("appendfsync"))["appendfsync"] == "everysec"


async def test_what_follows_does_not_wait_for_the_disk(redis: Redis, keys: Keys) -> None:
    durability = Durability(redis, disk=True)
    done: list[str] = []

    async def write(one: Redis) -> bool:
        return bool(await one.set(keys.prefix + "x", "1"))

    async def then(reply: bool) -> None:
        done.append("work")

    async def confirmed() -> None:
        await durability.confirmed(write, then=then)
        done.append("answer")

    await confirmed()
    assert done == ["work", "answer"]


async def test_a_redis_that_cannot_confirm_says_so(forgetful: Redis) -> None:
    for durability in (
        Durability(forgetful, disk=True, seconds=0.1),
        Durability(forgetful, replicas=1, seconds=0.1),
    ):
        with pytest.raises(UnconfirmedError):
            await durability.confirmed(ping, then=nothing)
    assert await Durability(forgetful).confirmed(ping, then=nothing)


async def test_a_run_that_is_not_confirmed_is_named_and_goes_on(house: House) -> None:
    runs = Runs(
        records=house.records,
        log=house.log,
        queue=house.queue,
        durability=Durability(house.records.redis, replicas=1, seconds=0.1),
    )
    async with house.worker(answer_at_once):
        with pytest.raises(NotDurableError, match="may or may not have been accepted") as refused:
            await runs.create(
                Asked(input={"messages": [{"role": "user", "content": "x"}]}),
                idempotency_key="k",
            )
        run_id = refused.value.run_id
        assert (await house.ended(run_id)).status is RunStatus.SUCCESS
        again = await house.ask(idempotency_key="k")
        assert again.run_id == run_id


async def test_a_redis_out_of_memory_begins_nothing_and_ends_what_is_under_way(
    forgetful: Redis,
) -> None:
    records = RunRecords(forgetful, Keys())
    await records.create(RunRecord(run_id="r", thread_id="t"))
    await records.create(RunRecord(run_id="waits", thread_id="u"))
    claim = await records.claim("r")
    await forgetful.config_set("maxmemory", "1")
    for refused in (
        records.create(RunRecord(run_id="new", thread_id="v")),
        records.claim("waits"),
    ):
        with pytest.raises(OutOfMemoryError):
            await refused
    pulses, _ = await Leases(records).beat("w", slots=1, held={"r": claim.token})
    assert pulses == {"r": Pulse.GOOD}
    await records.move(
        "r",
        expected=frozenset({RunStatus.RUNNING}),
        to=RunStatus.SUCCESS,
        told={"type": "run.finished"},
        token=claim.token,
    )
    await forgetful.config_set("maxmemory", "0")
    claim = await records.claim("waits")
    assert (claim.outcome, claim.attempt) == (ClaimOutcome.HELD, 1)


async def test_the_answer_waits_neither_for_the_queue_nor_for_the_run_to_begin(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued, let = house.queue._docket.add_many, asyncio.Event()

    async def held(calls: Any) -> Any:
        await let.wait()
        return await queued(calls)

    monkeypatch.setattr(house.queue._docket, "add_many", held)
    async with house.worker(answer_at_once):
        accepted = await house.ask()
        assert accepted.status is RunStatus.PENDING
        let.set()
        assert (await house.ended(accepted.run_id)).status is RunStatus.SUCCESS


@pytest.fixture
def slow_queue(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """The queue takes nothing until this is set."""
    let = asyncio.Event()
    for name in ("add_many", "replace_many"):
        queued = getattr(house.queue._docket, name)

        async def held(calls: Any, queued: Any = queued) -> Any:
            await let.wait()
            return await queued(calls)

        monkeypatch.setattr(house.queue._docket, name, held)
    yield let
    let.set()


async def test_a_decision_is_answered_when_it_is_on_disk_whatever_the_queue_does(
    house: House, slow_queue: asyncio.Event
) -> None:
    asked: list[Any] = []

    async def asks_once(record: RunRecord, emit: Emit) -> Outcome:
        asked.append(record.resume)
        return finished() if record.resumes else events.RunInterrupted(interrupts=[])

    slow_queue.set()
    async with house.worker(asks_once):
        accepted = await house.ask()
        assert (await house.ended(accepted.run_id)).status is RunStatus.INTERRUPTED
        slow_queue.clear()
        async with asyncio.timeout(10):
            resumed = await house.runs.resume(accepted.run_id, value="yes")
        assert resumed.status is RunStatus.PENDING
        slow_queue.set()
        assert (await house.ended(accepted.run_id)).status is RunStatus.SUCCESS
    assert asked == [None, "yes"]


async def test_a_cancel_is_answered_when_it_is_on_disk_and_who_is_next_begins(
    house: House, slow_queue: asyncio.Event
) -> None:
    async with asyncio.timeout(10):
        first = await house.ask(thread_id="t")
        behind = await house.ask(thread_id="t")
        cancelled = await house.runs.cancel(first.run_id)
    assert cancelled.status is RunStatus.CANCELLED
    slow_queue.set()
    async with house.worker(answer_at_once):
        assert (await house.ended(behind.run_id)).status is RunStatus.SUCCESS


async def test_a_run_that_cannot_be_queued_is_accepted_and_that_is_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(calls: Any) -> Any:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(house.queue._docket, "add_many", refused)
    accepted = await house.ask()
    with pytest.raises(RedisConnectionError):
        # Goes the same way, behind the other one.
        await house.queue.put(["another"])
    assert "1 runs are stored but not yet queued: gone" in caplog.text
    monkeypatch.undo()
    async with house.worker(answer_at_once):
        assert (await house.ended(accepted.run_id)).status is RunStatus.SUCCESS
