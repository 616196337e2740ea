"""The home tab: for whom Slack has signed, what waits for them, and no more."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.transitions import RunStatus
from server.slack import cards, home
from server.slack.cards import Reference
from tests.server.slack import events
from tests.server.slack.office import (
    ANN,
    EVE,
    OLGA,
    STRANGER,
    Office,
    published,
    settings_of,
)


async def test_the_home_tab_shows_what_waits_and_is_decided_there(open_office: Office) -> None:
    one = await open_office.ask()
    own = await open_office.ask(user="olga")
    foreign = await open_office.ask(tenant="other", requested_by="mallory")
    await open_office.send(events.home_opened(user=OLGA))
    view = await published(open_office, OLGA, one.approval_id)
    told = json.dumps(view)
    assert foreign.approval_id not in told
    assert "You are *olga* here" in told
    # Of her own she may reject only.
    mine = next(block for block in view["blocks"] if own.approval_id in json.dumps(block))
    assert [each["action_id"] for each in mine["elements"]] == [cards.REJECT]
    body = events.interaction(
        {
            "type": "block_actions",
            "container": {"type": "view", "view_id": "V1"},
            "view": {"id": "V1", "type": "home"},
            "actions": [{"action_id": cards.APPROVE, "value": str(Reference.of(one))}],
        },
        user=OLGA,
    )
    await open_office.send(body)
    await open_office.card(one, with_="Approved by *olga*")
    await open_office.slack.until(
        lambda: one.approval_id not in json.dumps(open_office.slack.views[-1]["view"])
    )
    # A second click, at home, is told why in a dialog.
    await open_office.send(body)
    notice = await open_office.opened()
    assert "Approved by olga" in json.dumps(notice)


async def test_the_home_tab_shows_my_runs_and_stops_them(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.ask(user="olga")
    await open_office.send(events.home_opened(user=ANN))
    view = await published(open_office, ANN, "waits for a person")
    stops = [block["accessory"] for block in view["blocks"] if "accessory" in block]
    assert [(stop["action_id"], stop["value"]) for stop in stops] == [(home.RUN_STOP, one.run_id)]
    await open_office.send(events.click(home.RUN_STOP, one.run_id, user=EVE))
    await open_office.told(EVE, "no such run")
    await open_office.send(events.click(home.RUN_STOP, one.run_id, user=STRANGER))
    await open_office.told(STRANGER, "do not know you")
    assert (await open_office.desk.run_of(one)).status is RunStatus.INTERRUPTED
    await open_office.send(events.click(home.RUN_STOP, one.run_id, user=ANN))

    await published(open_office, ANN, "Nothing runs for you.")
    assert (await open_office.desk.run_of(one)).status is RunStatus.CANCELLED


async def test_another_users_run_is_stopped_by_an_operator_only(open_office: Office) -> None:
    one = await open_office.ask(user="olga")
    await open_office.send(events.click(home.RUN_STOP, one.run_id, user=ANN))
    await open_office.told(ANN, "Only who asked")
    assert (await open_office.desk.run_of(one)).status is RunStatus.INTERRUPTED


async def test_the_home_tab_shows_what_is_spent_against_the_budget(
    office: Office, redis: Redis, keys: Keys
) -> None:
    office.settings = settings_of(
        office.slack, budgets={"default": {"day": {"cost": 5.0}, "month": {"tokens": 1000}}}
    )
    now = datetime.now(UTC)
    await redis.hset(keys.tenant_budget("default", f"{now:%Y-%m-%d}"), "cost", "4.2")
    async with office.server():
        await office.send(events.home_opened(user=ANN))
        told = json.dumps(await published(office, ANN, "Today: cost"))
        assert "$4.20 of $5.00" in told
        assert "0 of 1,000" in told


async def test_the_home_tab_tells_somebody_unknown_how_to_get_in(open_office: Office) -> None:
    await open_office.send(events.home_opened(user=STRANGER))
    view = await published(open_office, STRANGER, "do not know you yet")
    assert STRANGER in json.dumps(view)


async def test_an_open_home_tab_follows_what_is_decided_elsewhere(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.send(events.home_opened(user=OLGA))
    await published(open_office, OLGA, one.approval_id)
    await open_office.desk.decide(one, who="otto", via="console")
    await published(open_office, OLGA, "Nothing waits for you.")


async def test_the_messages_tab_of_the_app_is_no_home_tab(open_office: Office) -> None:
    event = {"type": "app_home_opened", "user": ANN, "channel": "D0ANN", "tab": "messages"}
    await open_office.send(events.event_of(event))
    await open_office.send(events.home_opened(user=OLGA))
    await published(open_office, OLGA, "Nothing waits for you.")
    assert {body["user_id"] for body in open_office.slack.of("views.publish")} == {OLGA}
