"""Socket Mode: the same without an address that Slack can reach."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.slack import answers, connecting
from tests.server.slack import events
from tests.server.slack.desk import at_desk
from tests.server.slack.double import APP_TOKEN, SlackDouble
from tests.server.surface import ANSWER, Parts, Team


async def test_events_and_clicks_come_in_by_socket_mode_and_are_acknowledged(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    async with at_desk(
        parts, redis, keys, double, slack_signing_secret=None, slack_app_token=APP_TOKEN
    ) as desk:
        for number in range(2):
            await double.push(
                events.envelope(
                    "events_api", events.mention(event_id="Ev1"), envelope_id=f"e{number}"
                )
            )
        await double.until(lambda: len(double.acked) == 2)
        await desk.settled()
        (run,) = team.asked
        assert ANSWER in double.said("C0GENERAL")[0].shown
        click = parse_qs(events.click(answers.FEEDBACK, f"up:{run.run_id}"))["payload"][0]
        await double.push(events.envelope("interactive", click, envelope_id="e3"))
        await double.until(lambda: {"envelope_id": "e3"} in double.acked)
        await double.until(lambda: double.ephemerals)
        assert len(await desk.parts.feedback.of_run(run.run_id)) == 1
        # Nothing is signed there, so that nobody may send anything over HTTP.
        assert (await desk.send(events.mention(ts="18.1"))).status_code == 404
        assert json.dumps(double.of("apps.connections.open")) != "[]"


async def test_a_socket_that_cannot_be_opened_keeps_nothing_else_from_working(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    double.refuse("apps.connections.open", "invalid_auth")
    async with at_desk(parts, redis, keys, double, slack_app_token=APP_TOKEN) as desk:
        await desk.send(events.mention())
        await desk.settled()
    assert len(team.asked) == 1


async def test_a_connection_that_fails_is_made_anew_with_a_new_ticket_that_no_log_shows(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    team: Team,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connecting, "AGAIN_SECONDS", 0.01)
    double.sockets_refused = 2
    async with at_desk(parts, redis, keys, double, slack_app_token=APP_TOKEN) as desk:
        await double.push(events.envelope("events_api", events.mention()))
        await double.until(lambda: double.acked)
        await desk.settled()
    assert len(team.asked) == 1
    assert len(double.of("apps.connections.open")) == 3
    assert "403" in caplog.text
    assert "ticket=" not in caplog.text
