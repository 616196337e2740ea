"""Approvals decided in Slack: by whom Slack has signed for, once, and by no other."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from guardrails.policy import Choice, Terms
from server.approvals.record import ApprovalStatus, Kind
from server.runs.transitions import RunStatus
from server.slack import cards, modals
from server.slack.cards import Reference
from tests.faults.polling import eventually
from tests.server.approvals.desk import ARGS, resumed
from tests.server.slack import events
from tests.server.slack.office import (
    ANN,
    CHANNEL,
    EVE,
    OLGA,
    OTTO,
    STRANGER,
    THREAD,
    Office,
    more_told,
    settings_of,
    status_of,
    typed_of,
)


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

    async def is_told() -> bool:
        return (await open_office.desk.run_of(one)).status is RunStatus.PENDING

    # The decision is stored first, and shown; then its run hears of it.
    await eventually(is_told, within=60, what="the run resumed")
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
