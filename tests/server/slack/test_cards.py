"""The cards of approvals: posted once, where they belong, and true whatever happens."""

from __future__ import annotations

import asyncio
import json

import pytest

from server.slack import cards, modals
from server.slack.cards import Reference
from tests.server.approvals.desk import ARGS, operator
from tests.server.slack import events
from tests.server.slack.office import (
    APPROVALS,
    OLGA,
    OTTO,
    Office,
    settings_of,
)


async def test_two_replicas_post_one_card_and_take_one_decision(office: Office) -> None:
    async with office.server() as first, office.server() as second:
        one = await office.ask()
        await office.card(one)
        body = events.click(cards.APPROVE, str(Reference.of(one)), user=OLGA)
        other = events.click(cards.APPROVE, str(Reference.of(one)), user=OTTO)
        await asyncio.gather(office.send_to(first, body), office.send_to(second, other))
        await office.card(one, with_="Approved by")
        now = await office.desk.approvals.get(one.approval_id, tenant="default")
        assert len(now.decisions) == 1
        assert len(office.slack.of("chat.postMessage")) == 1


async def test_a_server_that_starts_anew_goes_on_with_the_cards_that_stand(office: Office) -> None:
    async with office.server():
        one, other = await office.ask(), await office.ask()
        await office.card(one)
        await office.card(other)
    # Nobody serves Slack: decided meanwhile in the console, asked for anew by a run.
    await office.desk.decide(one, "reject", via="console", message="not now")
    new = await office.ask()
    async with office.server():
        await office.card(one, with_="Rejected by *olga*")
        await office.card(new)
        await office.click(cards.APPROVE, other, user=OTTO)
        await office.card(other, with_="Approved by *otto*")
    assert len(office.slack.of("chat.postMessage")) == 3


@pytest.mark.parametrize("from_slack", [True, False])
async def test_a_card_whose_posting_was_not_heard_of_any_more_is_not_posted_twice(
    office: Office, from_slack: bool
) -> None:
    office.slack.lose_replies("chat.postMessage")
    office.settings = settings_of(office.slack, slack_approvals_channel=APPROVALS)
    async with office.server():
        one = await office.ask(from_slack=from_slack)
        # What is decided before that has no card.
        await office.card(one)
        await office.click(cards.APPROVE, one, user=OLGA)
        await office.card(one, with_="Approved by *olga*")
    assert len(office.slack.of("chat.postMessage")) == 1


async def test_a_channel_that_the_app_is_not_in_holds_up_nothing_else(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.settings = settings_of(office.slack, slack_approvals_channel=APPROVALS)
    office.slack.refuse("chat.postMessage", "not_in_channel")
    async with office.server():
        one = await office.ask(from_slack=False)
        await office.slack.until(lambda: "not_in_channel" in caplog.text)
        office.slack.allow("chat.postMessage")
        await office.card(await office.ask())
    # Invited by now; a start looks at once, a server that runs within a minute.
    async with office.server():
        await office.card(one)


async def test_what_waits_is_shown_once_there_is_a_channel_for_it(office: Office) -> None:
    async with office.server():
        one = await office.ask(from_slack=False)
        await office.card(await office.ask())
    office.settings = settings_of(office.slack, slack_approvals_channel=APPROVALS)
    async with office.server():
        await office.card(one)


async def test_a_card_that_somebody_deleted_is_left_so(open_office: Office) -> None:
    one = await open_office.ask()
    shown = await open_office.card(one)
    del open_office.slack.messages[shown.channel, shown.ts]
    await open_office.desk.decide(one)
    other = await open_office.ask()
    await open_office.card(other)
    await open_office.slack.until(lambda: open_office.slack.of("chat.update"))
    assert one.approval_id not in json.dumps(
        [each.blocks for each in open_office.slack.messages.values()]
    )


async def test_a_rate_limit_delays_a_card_and_loses_none(open_office: Office) -> None:
    open_office.slack.rate_limit("chat.postMessage", times=2)
    open_office.slack.rate_limit("chat.update")
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.APPROVE, one, user=OLGA)
    await open_office.card(one, with_="Approved by *olga*")


@pytest.mark.parametrize("via", ["console", "cli", "api"])
async def test_what_is_decided_elsewhere_shows_on_the_card(open_office: Office, via: str) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.desk.decide(one, "edit", args={**ARGS, "amount": 90}, via=via)
    shown = json.dumps((await open_office.card(one, with_="Approved with changes")).blocks)
    assert '{"type": "text", "text": "120", "style": {"strike": true}}' in shown
    assert '{"type": "text", "text": "90", "style": {"bold": true}}' in shown


async def test_a_call_that_was_not_asked_in_slack_is_shown_in_the_channel_for_approvals(
    office: Office,
) -> None:
    channel = settings_of(office.slack, slack_approvals_channel=APPROVALS)
    office.settings = channel
    async with office.server():
        foreign = await office.ask(from_slack=False, tenant="other")
        one = await office.ask(from_slack=False)
        shown = await office.card(one)
        assert (shown.channel, shown.thread_ts) == (APPROVALS, None)
        await office.click(cards.REJECT, one, user=OLGA, channel=APPROVALS, thread_ts=None)
        view = await office.opened()
        typed = {modals.MESSAGE: {"value": {"value": "no"}}}
        assert await office.submit(view, user=OLGA, typed=typed) == {}
        await office.card(one, with_="Rejected by *olga*")
    # Another tenant's is nobody's here.
    assert foreign.approval_id not in json.dumps(office.slack.of("chat.postMessage"))


async def test_without_such_a_channel_it_is_shown_nowhere(open_office: Office) -> None:
    elsewhere = await open_office.ask(from_slack=False)
    one = await open_office.ask()
    await open_office.card(one)
    assert elsewhere.approval_id not in json.dumps(open_office.slack.of("chat.postMessage"))


async def test_an_approval_that_expires_by_itself_shows_it(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.desk.over_now(one)
    await open_office.desk.sweeper.sweep()
    await open_office.card(one, with_="Expired: nobody decided in time")


async def test_the_card_of_a_cancelled_run_says_so(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.desk.runs.cancel(one.run_id)
    await open_office.desk.sweeper.sweep()
    await open_office.card(one, with_="Not needed any more")
    await open_office.click(cards.APPROVE, one, user=OLGA)
    await open_office.told(OLGA, "Not needed any more")


async def test_slack_being_down_loses_no_decision_and_no_card(office: Office) -> None:
    async with office.server():
        one = await office.ask()
        await office.card(one)
        office.slack.down = True
        await office.desk.decide(one, caller=operator("otto"), via="api")
        office.slack.down = False
        await office.card(one, with_="Approved by *otto*")
