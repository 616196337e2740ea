"""Webhooks of runs that end, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from server.routes.run_ends import values
from server.runs.asked import Asked, CancelAction
from server.runs.record import RunRecord
from server.runs.telling import Teller
from server.webhooks import message, signing
from server.webhooks.deliveries import CLAIM_SECONDS, Deliveries, State
from server.webhooks.sender import Sender, sending
from tests.server.surface import ANSWER, Parts, Team
from tests.server.webhooks.receiver import Receiver, answers, receiving, silence
from tests.server.webhooks.sending import LOOPBACK, Clock, Making, asked, delivery, ended


async def test_a_run_that_ends_is_told_once_signed_with_what_it_came_to(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    record = await ended(parts, receiver.url, metadata={"order": 7})
    async with made() as sender:
        await sender.tick()
        await sender.tick()
    (got,) = receiver.got
    secret = signing.shown(await parts.webhook_secrets.of("default"))
    assert got.is_signed_with(secret)
    assert got.headers["Content-Type"] == "application/json"
    told = got.json
    assert told["run_id"] == record.run_id
    assert told["thread_id"] == record.thread_id
    assert told["status"] == "success"
    assert told["metadata"] == {"order": 7}
    assert told["values"]["messages"][-1]["content"] == ANSWER
    assert told["run_started_at"] <= told["run_ended_at"] <= told["webhook_sent_at"]
    assert "error" not in told
    found = await delivery(parts, record)
    assert (found.state, found.attempts, found.response) == (State.DELIVERED, 1, 204)
    assert found.delivery_id == got.headers["Webhook-Id"]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (events.RunFailed(error="internal", message="It broke."), "error"),
        (events.RunFailed(error="timeout", message="Too long."), "timeout"),
    ],
)
async def test_a_run_that_fails_is_told_with_its_error(
    parts: Parts,
    team: Team,
    made: Making,
    receiver: Receiver,
    end: events.RunFailed,
    status: str,
) -> None:
    team.end = end
    await ended(parts, receiver.url)
    async with made() as sender:
        await sender.tick()
    assert receiver.got[0].json["status"] == status
    assert receiver.got[0].json["error"] == end.message


async def test_a_pause_is_told_with_its_questions_and_the_end_after_it_too(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    question = events.Interrupt(id="q", value="Shall I?")
    team.end = events.RunInterrupted(interrupts=[question])
    record = await ended(parts, receiver.url)
    async with made() as sender:
        await sender.tick()
        team.end = None
        await parts.runs.resume(record.run_id, value="yes")
        await parts.runs.wait(record.run_id)
        await sender.tick()
    paused, over = receiver.got
    assert paused.json["status"] == "interrupted"
    assert paused.json["values"]["__interrupt__"] == [{"id": "q", "value": "Shall I?"}]
    assert over.json["status"] == "success"
    assert paused.headers["Webhook-Id"] != over.headers["Webhook-Id"]


async def test_a_cancelled_run_is_told_also_where_it_is_taken_back(
    parts: Parts, made: Making, receiver: Receiver
) -> None:
    for action in CancelAction:
        record = await parts.runs.create(asked(receiver.url))
        await parts.runs.cancel(record.run_id, action=action)
    async with made() as sender:
        await sender.tick()
    told = [got.json for got in receiver.got]
    assert [one["cancel_reason"] for one in told] == ["cancelled", "cancelled"]
    assert {one["error"] for one in told} == {"The run was cancelled."}


async def test_a_run_without_a_webhook_owes_nothing(
    parts: Parts, team: Team, redis: Redis, keys: Keys
) -> None:
    record = await parts.runs.create(Asked(input={"messages": []}))
    await parts.runs.wait(record.run_id)
    assert await parts.webhooks.of_run(record.run_id) == []
    assert await redis.exists(keys.webhooks_due) == 0


async def test_an_end_that_is_told_again_is_one_message(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    record = await ended(parts, receiver.url)
    teller = Teller(records=parts.records, log=parts.log)
    async with made() as sender:
        await teller.tell_late(record.run_id)
        await sender.tick()
        await teller.tell_late(record.run_id)
        await sender.tick()
    assert len(receiver.got) == 1


async def test_a_receiver_that_fails_hears_the_same_message_again(
    parts: Parts, team: Team, made: Making, clock: Clock
) -> None:
    async with receiving(answers(500), answers(404)) as receiver, made() as sender:
        record = await ended(parts, receiver.url)
        assert await sender.tick() == pytest.approx(5, abs=1)
        await sender.tick()
        assert len(receiver.got) == 1
        clock.ahead += 5
        assert await sender.tick() == pytest.approx(20, abs=1)
        found = await delivery(parts, record)
        assert (found.state, found.error) == (State.PENDING, "answered 404")
        clock.ahead += 20
        assert await sender.tick() is None
        first, second, third = receiver.got
        assert first.headers["Webhook-Id"] == third.headers["Webhook-Id"]
        secret = signing.shown(await parts.webhook_secrets.of("default"))
        assert all(got.is_signed_with(secret) for got in (first, second, third))
        assert (await delivery(parts, record)).state is State.DELIVERED


async def test_one_that_never_succeeds_is_given_up(
    parts: Parts, team: Team, made: Making, clock: Clock, redis: Redis, keys: Keys
) -> None:
    async with (
        receiving(*[answers(503)] * message.MOST_ATTEMPTS) as receiver,
        made() as sender,
    ):
        record = await ended(parts, receiver.url)
        while (wait := await sender.tick()) is not None:
            clock.ahead += wait + 0.1
        assert len(receiver.got) == message.MOST_ATTEMPTS
    found = await delivery(parts, record)
    assert (found.state, found.attempts) == (State.DEAD, message.MOST_ATTEMPTS)
    assert await redis.exists(keys.webhook_run(found.delivery_id)) == 0


async def test_one_whose_state_cannot_be_told_is_given_up_too(
    parts: Parts, team: Team, clock: Clock, receiver: Receiver, redis: Redis, keys: Keys
) -> None:
    async def broken(_: RunRecord) -> Any:
        raise LookupError("the graph is not what it was")

    record = await ended(parts, receiver.url)
    async with Sender(
        Deliveries(redis, keys, clock=clock),
        secrets=parts.webhook_secrets,
        values=broken,
        opened=LOOPBACK,
        roll=lambda: 0.5,
    ) as sender:
        await sender.tick()
        found = await delivery(parts, record)
        assert (found.state, found.attempts) == (State.PENDING, 1)
        assert found.error == "failed inside the server, whose log says more"
        while (wait := await sender.tick()) is not None:
            clock.ahead += wait + 0.1
    found = await delivery(parts, record)
    assert (found.state, found.attempts) == (State.DEAD, message.MOST_ATTEMPTS)
    assert receiver.got == []


async def test_a_receiver_that_is_gone_is_not_asked_again(
    parts: Parts, team: Team, made: Making
) -> None:
    async with receiving(answers(410)) as receiver, made() as sender:
        record = await ended(parts, receiver.url)
        assert await sender.tick() is None
    assert (await delivery(parts, record)).state is State.DEAD


async def test_a_slow_receiver_is_hung_up_on(parts: Parts, team: Team, made: Making) -> None:
    async with receiving(silence) as receiver, made(seconds=0.2) as sender:
        record = await ended(parts, receiver.url)
        await sender.tick()
        found = await delivery(parts, record)
        assert (found.state, found.error) == (State.PENDING, "no answer in 0.2 seconds")


async def test_a_receiver_that_is_not_there_is_tried_again(
    parts: Parts, team: Team, made: Making
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    record = await ended(parts, f"http://127.0.0.1:{port}/")
    async with made() as sender:
        await sender.tick()
    found = await delivery(parts, record)
    assert found.state is State.PENDING
    assert "cannot be reached" in str(found.error)


async def test_many_senders_send_each_message_once(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    records = [await ended(parts, receiver.url) for _ in range(12)]
    async with made(at_once=2) as one, made(at_once=3) as two, made() as three:
        await asyncio.gather(one.tick(), two.tick(), three.tick())
    assert sorted(got.json["run_id"] for got in receiver.got) == sorted(
        record.run_id for record in records
    )


async def test_no_more_are_sent_at_once_than_allowed(
    parts: Parts, team: Team, made: Making
) -> None:
    under_way, most, pair = 0, 0, asyncio.Barrier(2)

    async def counted() -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await pair.wait()
        under_way -= 1
        return await answers(204)()

    async with receiving(*[counted] * 6) as receiver, made(at_once=2) as sender:
        for _ in range(6):
            await ended(parts, receiver.url)
        await sender.tick()
        assert len(receiver.got) == 6
    assert most == 2


async def test_what_a_dead_sender_had_claimed_is_sent_by_another(
    parts: Parts, team: Team, made: Making, receiver: Receiver, clock: Clock
) -> None:
    record = await ended(parts, receiver.url)
    await parts.webhooks.claim(most=8)
    async with made() as sender:
        await sender.tick()
        assert receiver.got == []
        clock.ahead += CLAIM_SECONDS
        await sender.tick()
    assert len(receiver.got) == 1
    assert (await delivery(parts, record)).attempts == 2


async def test_what_cannot_be_read_any_more_keeps_no_other_from_being_sent(
    parts: Parts, team: Team, made: Making, receiver: Receiver, redis: Redis, keys: Keys
) -> None:
    lost, unknown, good = [await ended(parts, receiver.url) for _ in range(3)]
    await redis.delete(keys.webhook_run((await delivery(parts, lost)).delivery_id))
    await redis.hset(
        keys.webhook_run((await delivery(parts, unknown)).delivery_id), "status", "elsewhere"
    )
    async with made() as sender:
        await sender.tick()
    assert [got.json["run_id"] for got in receiver.got] == [good.run_id]
    assert (await delivery(parts, lost)).state is State.DEAD
    assert (await delivery(parts, unknown)).state is State.PENDING


async def test_a_sender_that_was_overtaken_settles_nothing(
    parts: Parts, team: Team, receiver: Receiver, redis: Redis, keys: Keys, clock: Clock
) -> None:
    record = await ended(parts, receiver.url)
    deliveries = Deliveries(redis, keys, clock=clock)
    (old,) = (await deliveries.claim(most=1)).attempts
    clock.ahead += CLAIM_SECONDS
    (new,) = (await deliveries.claim(most=1)).attempts
    await deliveries.settle(old.delivery, State.DEAD, error="late")
    assert (await delivery(parts, record)).state is State.PENDING
    await deliveries.settle(new.delivery, State.DELIVERED)
    assert (await delivery(parts, record)).state is State.DELIVERED


async def test_what_a_temporary_thread_came_to_is_told_after_it_went(
    parts: Parts, worker: Team, made: Making, receiver: Receiver
) -> None:
    said = {"messages": [{"role": "user", "content": "x"}]}
    wanted = Asked(graph="echo", input=said, webhook=receiver.url, temporary=True)
    record = await parts.runs.create(wanted)
    await parts.runs.wait(record.run_id)
    async with made() as sender:
        await sender.tick()
    assert "thirty days" in receiver.got[0].json["values"]["messages"][-1]["content"]


async def test_what_a_thread_came_to_is_told_though_it_was_deleted_at_once(
    parts: Parts, worker: Team, made: Making, receiver: Receiver
) -> None:
    said = {"messages": [{"role": "user", "content": "x"}]}
    record = await parts.runs.create(Asked(graph="echo", input=said, webhook=receiver.url))
    ended = await parts.runs.wait(record.run_id)
    await Teller(records=parts.records, log=parts.log).tell_late(record.run_id)
    kept = await parts.runs.get(record.run_id)
    # The webhook's copy of the state is the only one beside the thread's.
    assert (kept.result or {})["values"] is None
    async for entry in parts.log.read(ended.thread_id, run_id=record.run_id):
        assert entry.event.get("values") is None
    await parts.threads.delete(record.thread_id)
    async with made() as sender:
        await sender.tick()
    assert "thirty days" in receiver.got[0].json["values"]["messages"][-1]["content"]


async def test_in_the_background_it_is_sent_by_itself_and_a_stop_leaves_the_rest(
    parts: Parts, team: Team, redis: Redis, keys: Keys
) -> None:
    async with receiving(silence) as receiver:
        record = await ended(parts, receiver.url)
        sender = Sender(
            Deliveries(redis, keys),
            secrets=parts.webhook_secrets,
            values=partial(values, parts),
            opened=LOOPBACK,
        )
        async with sending(sender):
            await asyncio.wait_for(receiver.heard.wait(), timeout=30)
    assert (await delivery(parts, record)).state is State.PENDING
