"""What comes in: only what Slack has signed, once each, acknowledged before any work."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.app import build
from server.runs.durability import Durability, UnconfirmedError
from tests.server.slack import events
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import SlackDouble
from tests.server.surface import ANSWER, Parts, Team, in_process


async def test_without_a_slack_app_nothing_is_served_there(parts: Parts) -> None:
    async with in_process(build(parts)) as client:
        reply = await client.post("/slack/events", json={"type": "url_verification"})
    assert reply.status_code == 404
    assert "docs/slack.md" in reply.json()["detail"]


async def test_slack_checks_the_address(desk: Desk) -> None:
    reply = await desk.send(json.dumps({"type": "url_verification", "challenge": "c-1"}))
    assert (reply.status_code, reply.json()) == (200, {"challenge": "c-1"})


async def test_unsigned_forged_old_and_tampered_requests_do_nothing(desk: Desk) -> None:
    body = events.mention()
    good = desk.double.signed(body)
    refused = [
        await desk.send(body, headers={}),
        await desk.send(body, secret="another secret"),
        await desk.send(body, at=int(time.time()) - 301),
        await desk.send(body, at=int(time.time()) + 301),
        await desk.send(body.replace("return window", "salary list"), headers=good),
        await desk.send(body, headers={**good, "X-Slack-Request-Timestamp": "yesterday"}),
        await desk.send(body, headers={**good, "X-Slack-Request-Timestamp": "1" * 5000}),
        await desk.send(body, headers={**good, "X-Slack-Signature": "v0="}),
    ]
    assert [reply.status_code for reply in refused] == [401] * len(refused)
    broken = await desk.client.post(
        "/slack/events", content=b"\xff\xfe", headers={**good, "Content-Type": "application/json"}
    )
    assert broken.status_code == 401
    await desk.settled()
    assert await desk.runs() == []


@pytest.mark.parametrize(
    "body",
    ["{", '{"authorizations": [[1]]}', '{"event": ' + "[" * 60_000 + "]" * 60_000 + "}"],
    ids=["half", "list", "deep"],
)
async def test_what_is_not_signed_is_refused_before_it_is_read_and_what_no_shape_has_behind_that(
    desk: Desk, body: str
) -> None:
    assert (await desk.send(body, secret="another secret")).status_code == 401
    reply = await desk.send(body)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("body: ")


async def test_an_event_is_acknowledged_before_anything_is_asked_of_slack(desk: Desk) -> None:
    with desk.double.held("auth.test"):
        reply = await desk.send(events.mention())
        assert (reply.status_code, reply.content) == (200, b"")
    assert desk.double.of("chat.postMessage") == []


async def test_an_event_that_comes_three_times_is_one_run(desk: Desk, team: Team) -> None:
    body = events.mention(event_id="Ev1")
    replies = [
        await desk.send(body),
        await desk.send(body, more={"X-Slack-Retry-Num": "1"}),
        await desk.send(body, more={"X-Slack-Retry-Num": "2"}),
    ]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    await desk.settled()
    assert len(team.asked) == 1
    assert len(await desk.runs()) == 1
    assert len(desk.double.said("C0GENERAL")) == 1


async def test_a_replay_with_a_good_signature_is_no_second_run(desk: Desk, team: Team) -> None:
    body = events.mention(event_id="Ev1")
    headers = desk.double.signed(body)
    assert (await desk.send(body, headers=headers)).status_code == 200
    await desk.settled()
    assert (await desk.send(body, headers=headers)).status_code == 200
    await desk.settled()
    assert len(team.asked) == 1


async def test_one_message_in_two_events_is_one_run(desk: Desk, team: Team) -> None:
    await desk.send(events.mention(event_id="Ev1", ts="17.1"))
    await desk.send(events.mention(event_id="Ev2", ts="17.1"))
    await desk.send(events.mention(event_id="Ev3", ts="17.1", edited={"user": "U0ANN"}))
    await desk.settled()
    assert len(team.asked) == 1


async def test_two_replicas_that_get_the_same_event_make_one_run(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    async with (
        at_desk(parts, redis, keys, double) as one,
        at_desk(parts, redis, keys, double) as other,
    ):
        bodies = [events.mention(event_id=f"Ev{n}", ts=f"17.{n}") for n in range(5)]
        await asyncio.gather(*(desk.send(body) for body in bodies for desk in (one, other)))
        await one.settled()
        assert len(team.asked) == 5
        assert len(await one.runs()) == 5
        assert len(double.said("C0GENERAL")) == 5


async def test_events_out_of_order_are_each_answered_where_they_were_asked(
    desk: Desk, team: Team
) -> None:
    await desk.send(events.mention("Second", ts="17.2", thread_ts="17.1", event_id="Ev2"))
    await desk.send(events.mention("First", ts="17.1", event_id="Ev1"))
    await desk.settled()
    assert sorted(one.asked.messages[0]["content"] for one in team.asked) == ["First", "Second"]
    assert len({one.thread_id for one in team.asked}) == 1
    assert [one.thread_ts for one in desk.double.said("C0GENERAL")] == ["17.1", "17.1"]


@pytest.mark.parametrize(
    "more",
    [
        {"bot_id": "B0BOT", "user": "U0BOT"},
        {"bot_id": "B0OTHER"},
        {"user": "U0BOT"},
        {"subtype": "bot_message"},
        {"subtype": "message_changed", "message": {"text": "edited", "user": "U0ANN"}},
        {"subtype": "message_deleted"},
        {"subtype": "channel_join"},
        {"hidden": True},
    ],
)
async def test_what_bots_write_and_what_changes_a_message_asks_nothing(
    desk: Desk, more: dict[str, object]
) -> None:
    event = {"type": "message", "channel_type": "im", "channel": "D0ANN", "ts": "17.1"}
    body = events.event_of({"user": "U0ANN", "text": "Hello", **event, **more})
    assert (await desk.send(body)).status_code == 200
    await desk.settled()
    assert await desk.runs() == []
    assert desk.double.said("D0ANN") == []


async def test_in_a_channel_only_a_mention_asks(desk: Desk) -> None:
    body = events.direct(channel="C0GENERAL", channel_type="channel")
    assert (await desk.send(body)).status_code == 200
    await desk.settled()
    assert await desk.runs() == []


async def test_events_that_nobody_waits_for_are_acknowledged(desk: Desk) -> None:
    body = events.event_of({"type": "reaction_added", "user": "U0ANN"})
    assert (await desk.send(body)).status_code == 200


async def test_a_server_that_dies_behind_its_acknowledgement_has_lost_nothing(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    double.down = True
    async with at_desk(parts, redis, keys, double) as dying:
        assert (await dying.send(events.mention())).status_code == 200
    double.down = False
    async with at_desk(parts, redis, keys, double) as desk:
        # What it had tried waits for its next attempt.
        await double.until(lambda: double.said("C0GENERAL"))
        await desk.settled()
    assert len(team.asked) == 1
    assert ANSWER in double.said("C0GENERAL")[0].shown


async def test_a_death_between_the_run_and_the_reply_makes_neither_twice(
    desk: Desk, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.slack.asking import Asking

    deaths: list[bool] = []
    owe = Asking.owe

    async def dies(self: Asking, *args: object) -> None:
        if not deaths:
            deaths.append(True)
            raise OSError("killed here")
        await owe(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Asking, "owe", dies)
    await desk.send(events.mention())
    await desk.double.until(lambda: desk.double.said("C0GENERAL"))
    await desk.settled()
    assert deaths
    assert len(team.asked) == len(desk.double.said("C0GENERAL")) == 1


async def test_what_cannot_be_stored_for_good_is_not_acknowledged(
    desk: Desk, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack sends it again; by then it is known, and was not lost either."""
    confirmed, times = Durability.confirmed, []

    async def unsure(self: Durability, *args: Any, **given: Any) -> Any:
        done = await confirmed(self, *args, **given)
        times.append(done)
        if len(times) == 1:
            raise UnconfirmedError("the disk of Redis did not confirm it in time")
        return done

    monkeypatch.setattr(Durability, "confirmed", unsure)
    body = events.mention(event_id="Ev1")
    replies = [(await desk.send(body)).status_code for _ in range(2)]
    await desk.settled()
    assert replies == [503, 200]
    assert len(await desk.runs()) == len(team.asked) == 1
