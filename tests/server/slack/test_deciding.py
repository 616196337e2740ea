"""Approvals decided in Slack: by whom Slack has signed for, once, and shown as they stand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails.policy import Choice, Terms
from server.approvals.record import Approval, ApprovalStatus, Kind
from server.runs.queue import RunQueue
from server.runs.transitions import RunStatus
from server.slack import cards, home, modals
from server.slack.cards import Reference
from tests.server.approvals.desk import ARGS, desk_of, operator, resumed
from tests.server.slack import events
from tests.server.slack.double import slack_double
from tests.server.slack.office import (
    ANN,
    APPROVALS,
    CHANNEL,
    EVE,
    OLGA,
    OTTO,
    STRANGER,
    THREAD,
    Office,
    settings_of,
    typed_of,
)


@pytest.fixture
async def office(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[Office]:
    """Nobody serves yet."""
    async with RunQueue(redis_url, keys) as queue, slack_double() as slack:
        made = Office(desk=desk_of(redis, keys, queue), slack=slack, settings=settings_of(slack))
        yield made
        made.check_limits()


@pytest.fixture
async def open_office(office: Office) -> AsyncIterator[Office]:
    """One server."""
    async with office.server():
        yield office


async def status_of(office: Office, one: Approval) -> ApprovalStatus:
    return (await office.desk.approvals.get(one.approval_id, tenant=one.tenant)).status


async def more_told(office: Office, before: int) -> None:
    """Somebody was told one more thing in private."""
    await office.slack.until(lambda: len(office.slack.ephemerals) > before)


async def test_a_call_asked_in_slack_is_approved_there_and_the_card_says_by_whom(
    open_office: Office,
) -> None:
    one = await open_office.ask()
    shown = await open_office.card(one)
    assert (shown.channel, shown.thread_ts) == (CHANNEL, THREAD)
    assert "refund" in shown.text
    await open_office.click(cards.APPROVE, one, user=OLGA, ts=shown.ts)
    shown = await open_office.card(one, with_="Approved by *olga*")
    assert "in Slack" in json.dumps(shown.blocks)
    assert cards.APPROVE not in json.dumps(shown.blocks)
    now = await open_office.desk.approvals.get(one.approval_id, tenant="default")
    assert [(said.decider, said.via) for said in now.decisions] == [("olga", "slack")]
    assert resumed(await open_office.desk.run_of(one)) == {
        "i": {"decisions": [{"type": "approve"}]}
    }
    assert len(open_office.slack.of("chat.postMessage")) == 1


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (ANN, "decided by operator; you are user"),
        (EVE, "no such approval"),
        (STRANGER, "do not know you"),
    ],
)
@pytest.mark.parametrize("action", list(cards.ACTIONS))
async def test_who_may_not_decide_is_told_privately_whichever_button_it_is(
    open_office: Office, user: str, words: str, action: str
) -> None:
    one = await open_office.ask(requested_by="ruth")
    await open_office.card(one)
    await open_office.click(action, one, user=user)
    await open_office.told(user, words)
    assert await status_of(open_office, one) is ApprovalStatus.PENDING
    assert not open_office.slack.of("views.open")


async def test_a_button_with_a_forged_value_decides_nothing(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    sha = "0" * 64
    for value, words in (
        (f"{one.approval_id}:{sha}", "arguments have changed"),
        (f"no-such-one:{one.args_sha256}", "no such approval"),
        (json.dumps({"id": one.approval_id, "user": OLGA}), "says nothing that is known"),
        ("", "says nothing that is known"),
    ):
        await open_office.click(cards.APPROVE, value, user=OLGA)
        await open_office.told(OLGA, words)
    # Whose name stands in the value is nobody's business: the signed one may not.
    await open_office.click(cards.APPROVE, f"{Reference.of(one)}", user=ANN)
    await open_office.told(ANN, "decided by operator")
    assert await status_of(open_office, one) is ApprovalStatus.PENDING


async def test_a_click_that_slack_has_not_signed_decides_nothing(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    body = events.click(cards.APPROVE, str(Reference.of(one)), user=OLGA)
    for signed in ({"secret": "0" * 32}, {"at": int(time.time()) - 600}):
        reply = await open_office.send(body, **signed)
        assert reply.status_code == 401
    assert await status_of(open_office, one) is ApprovalStatus.PENDING


async def test_a_double_click_is_one_decision_and_a_later_one_is_told_who_was_first(
    open_office: Office,
) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await asyncio.gather(*(open_office.click(cards.APPROVE, one, user=OLGA) for _ in range(3)))
    await open_office.card(one, with_="Approved by *olga*")
    await open_office.click(cards.APPROVE, one, user=OTTO)
    await open_office.told(OTTO, "Approved by olga")
    for action in (cards.EDIT, cards.REJECT, cards.RESPOND):
        before = len(open_office.slack.ephemerals)
        await open_office.click(action, one, user=OTTO)
        await more_told(open_office, before)
    now = await open_office.desk.approvals.get(one.approval_id, tenant="default")
    assert len(now.decisions) == 1
    assert await open_office.desk.told() == ["requested", "decided"]
    assert not open_office.slack.of("views.open")


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


async def test_an_edit_in_slack_runs_with_what_was_typed(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.EDIT, one, user=OLGA)
    view = await open_office.opened()
    typed = typed_of(view, amount="90.5", notify="true")
    assert await open_office.submit(view, user=OLGA, typed=typed) == {}
    await open_office.card(one, with_="Approved with changes by *olga*")
    now = await open_office.desk.approvals.get(one.approval_id, tenant="default")
    assert now.status is ApprovalStatus.EDITED
    assert now.final_args == {**ARGS, "amount": 90.5, "notify": True}


async def test_what_is_typed_wrong_stands_at_its_field_and_decides_nothing(
    open_office: Office,
) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.EDIT, one, user=OLGA)
    view = await open_office.opened()
    for typed, words in (
        ({"amount": "lots"}, "Write a number"),
        ({"amount": "-5"}, "less than the minimum"),
        ({"amount": ""}, "Fill this in"),
    ):
        reply = await open_office.submit(view, user=OLGA, typed=typed_of(view, **typed))
        assert reply["response_action"] == "errors"
        assert [words in text for text in reply["errors"].values()] == [True]
        named = {block["block_id"]: block for block in view["blocks"] if "label" in block}
        assert named[next(iter(reply["errors"]))]["label"]["text"] == "amount *"
    assert await status_of(open_office, one) is ApprovalStatus.PENDING


async def test_a_dialog_sent_by_somebody_else_or_with_forged_metadata_decides_nothing(
    open_office: Office,
) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.EDIT, one, user=OLGA)
    view = await open_office.opened()
    typed = typed_of(view, amount="1")
    forged = {**view, "private_metadata": json.dumps({"a": f"{one.approval_id}:{'0' * 64}"})}
    for user, sent, words in (
        (ANN, view, "decided by operator"),
        (EVE, view, "no such approval"),
        (STRANGER, view, "do not know you"),
        (OLGA, forged, "arguments have changed"),
        (OLGA, {**view, "private_metadata": "{}"}, "says nothing that is known"),
    ):
        reply = await open_office.submit(sent, user=user, typed=typed)
        assert reply["response_action"] == "update"
        assert words in json.dumps(reply["view"])
    assert await status_of(open_office, one) is ApprovalStatus.PENDING


async def test_an_edit_of_what_somebody_else_has_changed_meanwhile_is_told_so(
    open_office: Office,
) -> None:
    one = await open_office.ask(terms=Terms(quorum=2))
    await open_office.card(one)
    await open_office.click(cards.EDIT, one, user=OLGA)
    view = await open_office.opened()
    await open_office.desk.decide(one, "edit", args={**ARGS, "amount": 90}, who="otto")
    reply = await open_office.submit(view, user=OLGA, typed=typed_of(view, amount="1"))
    assert "arguments have changed" in json.dumps(reply["view"])
    await open_office.card(one, with_="1 of 2")
    # The old card's button is of the old arguments.
    await open_office.click(cards.APPROVE, one, user=OLGA)
    await open_office.told(OLGA, "arguments have changed")
    assert await status_of(open_office, one) is ApprovalStatus.PENDING


async def test_a_reason_is_needed_to_reject_and_is_told_to_the_model(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.REJECT, one, user=OLGA)
    view = await open_office.opened()
    assert view["callback_id"] == modals.REJECTED
    empty = await open_office.submit(
        view, user=OLGA, typed={modals.MESSAGE: {"value": {"value": "  "}}}
    )
    assert set(empty["errors"]) == {modals.MESSAGE}
    typed = {modals.MESSAGE: {"value": {"value": "She <!channel> sent nothing back."}}}
    assert await open_office.submit(view, user=OLGA, typed=typed) == {}
    await open_office.card(one, with_="Rejected by *olga*")
    told = resumed(await open_office.desk.run_of(one))
    assert "sent nothing back" in json.dumps(told)


async def test_an_answer_is_given_in_place_of_the_tool(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.RESPOND, one, user=OLGA)
    view = await open_office.opened()
    typed = {modals.MESSAGE: {"value": {"value": "Done by hand."}}}
    assert await open_office.submit(view, user=OLGA, typed=typed) == {}
    await open_office.card(one, with_="Answered by *olga*")
    assert await status_of(open_office, one) is ApprovalStatus.RESPONDED


async def test_half_a_character_in_an_answer_does_not_lose_it(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.click(cards.RESPOND, one, user=OLGA)
    view = await open_office.opened()
    typed = {modals.MESSAGE: {"value": {"value": "half \ud800 of it"}}}
    assert await open_office.submit(view, user=OLGA, typed=typed) == {}
    await open_office.card(one, with_="half ? of it")


async def test_what_somebody_is_told_is_text_whatever_is_in_it(open_office: Office) -> None:
    one = await open_office.ask(tool="<!channel> <https://evil.example|refund>")
    await open_office.card(one)
    await open_office.desk.decide(one, "reject", message="no")
    await open_office.click(cards.APPROVE, one, user=OLGA)
    told = await open_office.told(OLGA, "over already")
    assert "<" not in told.text


async def test_an_approval_that_expired_before_the_click_is_told_so(open_office: Office) -> None:
    one = await open_office.ask()
    await open_office.card(one)
    await open_office.desk.over_now(one)
    await open_office.click(cards.APPROVE, one, user=OLGA)
    await open_office.told(OLGA, "time to decide this is over")
    await open_office.card(one, with_="Expired: nobody decided in time")
    assert await status_of(open_office, one) is ApprovalStatus.EXPIRED


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


async def test_a_quorum_takes_two_people_and_the_card_counts_them(open_office: Office) -> None:
    one = await open_office.ask(terms=Terms(quorum=2))
    await open_office.card(one)
    await open_office.click(cards.APPROVE, one, user=OLGA)
    await open_office.card(one, with_="*1 of 2* agree")
    await open_office.click(cards.APPROVE, one, user=OLGA)
    assert await status_of(open_office, one) is ApprovalStatus.PENDING
    await open_office.click(cards.APPROVE, one, user=OTTO)
    shown = await open_office.card(one, with_="Approved by *otto*")
    assert "Approved by *olga*" in json.dumps(shown.blocks)


async def test_who_asked_does_not_approve_what_he_asked_for_and_may_reject_it(
    open_office: Office,
) -> None:
    one = await open_office.ask(user="olga")
    await open_office.card(one)
    for action in (cards.APPROVE, cards.EDIT, cards.RESPOND):
        before = len(open_office.slack.ephemerals)
        await open_office.click(action, one, user=OLGA)
        await more_told(open_office, before)
        assert "asked for this yourself" in open_office.slack.ephemerals[-1].text
    await open_office.click(cards.REJECT, one, user=OLGA)
    assert (await open_office.opened())["callback_id"] == modals.REJECTED


async def test_a_critical_one_is_asked_about_once_more_before_it_is_approved(
    open_office: Office,
) -> None:
    one = await open_office.ask(terms=Terms(critical=True))
    shown = await open_office.card(one)
    buttons = [
        each for block in shown.blocks if block["type"] == "actions" for each in block["elements"]
    ]
    approve = next(each for each in buttons if each["action_id"] == cards.APPROVE)
    assert approve["confirm"]["confirm"]["text"] == "Yes, approve"


async def test_a_limit_is_raised_by_a_card_of_its_own(open_office: Office) -> None:
    one = await open_office.ask(
        kind=Kind.LIMIT,
        tool="raise_limit",
        args={"max_tokens": 40_000},
        schema={
            "type": "object",
            "properties": {"max_tokens": {"type": "integer"}},
            "required": ["max_tokens"],
        },
        terms=Terms(choices=frozenset({Choice.APPROVE, Choice.EDIT, Choice.REJECT})),
    )
    shown = await open_office.card(one, with_="A limit is reached: raise it?")
    assert cards.RESPOND not in json.dumps(shown.blocks)
    await open_office.click(cards.EDIT, one, user=OLGA)
    view = await open_office.opened()
    typed = typed_of(view, max_tokens="50000")
    assert await open_office.submit(view, user=OLGA, typed=typed) == {}
    await open_office.card(one, with_="Approved with changes by *olga*")


async def test_all_of_long_arguments_can_be_looked_at_before_deciding(open_office: Office) -> None:
    one = await open_office.ask(args={"order": "A-7", "letter": "x" * 9_000}, schema=None)
    shown = await open_office.card(one, with_="Show all arguments")
    await open_office.click(cards.SHOW, one, user=OLGA, ts=shown.ts)
    view = await open_office.opened()
    assert json.dumps(view).count("x") >= 9_000


async def test_a_role_that_is_lost_between_card_and_click_decides_no_more(office: Office) -> None:
    async with office.server():
        one = await office.ask()
        await office.card(one)
    office.settings = settings_of(office.slack, slack_people=[{"user": OLGA, "name": "olga"}])
    async with office.server():
        await office.click(cards.APPROVE, one, user=OLGA)
        await office.told(OLGA, "decided by operator")
    assert await status_of(office, one) is ApprovalStatus.PENDING


async def test_slack_being_down_loses_no_decision_and_no_card(office: Office) -> None:
    async with office.server():
        one = await office.ask()
        await office.card(one)
        office.slack.down = True
        await office.desk.decide(one, caller=operator("otto"), via="api")
        office.slack.down = False
        await office.card(one, with_="Approved by *otto*")


# The home tab


async def published(office: Office, user: str, words: str) -> dict[str, Any]:
    """The last tab of somebody, once it says this."""

    def found() -> dict[str, Any] | None:
        shown = [one for one in office.slack.views if one.get("user_id") == user]
        return shown[-1]["view"] if shown and words in json.dumps(shown[-1]["view"]) else None

    view = await office.slack.until(found)
    assert isinstance(view, dict)
    return view


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
