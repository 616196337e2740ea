"""A question that was acknowledged waits for Slack as long as its answer does."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.slack import asking
from server.slack.asking import Asking
from server.slack.downloads import Downloads
from server.slack.owed import Item, Owed
from server.slack.web import SlackError
from tests.server.slack import events
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import BOT_TOKEN, TEAM, SlackDouble
from tests.server.surface import Parts, Team


def asked_by(desk: Desk) -> Asking:
    context = desk.context
    downloads = Downloads(token=BOT_TOKEN, api_url=desk.double.api_url, max_bytes=1_000)
    return Asking(
        context, replies=Owed(context.redis, context.keys, name="reply"), downloads=downloads
    )


def item_of(body: str, *, attempts: int, age_seconds: float = 0.0, **said: Any) -> Item:
    added_at = round((time.time() - age_seconds) * 1_000_000)
    return Item(
        item_id="Ev1",
        token="1",
        says={**orjson.loads(body), **said},
        attempts=attempts,
        added_at=added_at,
    )


async def test_an_outage_of_slack_of_many_attempts_loses_no_question(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    double.users["U0ANN"] = {"team_id": TEAM, "profile": {"email": "ann@corp.example"}}
    double.refuse("users.info", "token_expired")
    people = ({"email": "*@corp.example"},)
    async with at_desk(parts, redis, keys, double, slack_people=people) as desk:
        handle, item = asked_by(desk), item_of(events.mention(), attempts=0)
        for _ in range(3 * asking.MOST_ATTEMPTS):
            item.attempts += 1
            with pytest.raises(SlackError):
                await handle(item)
        double.allow("users.info")
        item.attempts += 1
        assert await handle(item) is None
        await desk.settled()
    assert len(team.asked) == 1


async def test_what_fails_elsewhere_or_for_too_long_is_given_up_and_told(desk: Desk) -> None:
    handle = asked_by(desk)
    many = item_of(events.mention(), attempts=asking.MOST_ATTEMPTS + 1)
    patience = desk.context.settings.slack_patience_seconds
    late = item_of(events.mention(), attempts=2, age_seconds=patience + 1, waited=1)
    for item in (many, late):
        assert await handle(item) is None
    assert [one.text for one in desk.double.ephemerals] == [
        "I could not take this question; please ask again."
    ] * 2
    assert await desk.runs() == []


async def test_a_question_waits_for_a_file_some_times_and_is_asked_without_it(
    desk: Desk, team: Team
) -> None:
    file = {"id": "F1", "name": "a.csv", "size": 1, "url_private": f"{desk.double.url}/files-pri/x"}
    handle, item = asked_by(desk), item_of(events.mention(files=[file]), attempts=1)
    for _ in range(asking.MOST_FILE_ATTEMPTS - 1):
        with pytest.raises(SlackError):
            await handle(item)
    assert await handle(item) is None
    await desk.settled()
    assert "a.csv: Slack does not give it now" in team.asked[0].asked.messages[0]["content"]
