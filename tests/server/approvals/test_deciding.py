"""Decisions: one script, one winner, one line in the audit log."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from guardrails.policy import Choice, Decision, OnExpiry, PolicyVerdict, Terms
from server.approvals.record import (
    AlreadyDecidedError,
    Approval,
    ApprovalError,
    ApprovalNotFoundError,
    ApprovalStatus,
    ClaimedError,
    ExpiredError,
    InvalidDecisionError,
    NotAllowedError,
    StaleArgumentsError,
)
from server.auth import Caller
from server.runs.transitions import RunStatus
from server.sections import CallerRole
from server.telemetry.span import trace_id_of
from tests.server.approvals.desk import ARGS, Desk, desk_of, operator, resumed

TWO = Terms(quorum=2)


async def test_what_is_asked_is_read_back_and_told_to_the_audit(desk: Desk) -> None:
    one = await desk.one()
    found = await desk.approvals.get(one.approval_id, tenant="default")
    assert found == one
    assert (found.status, found.tool, found.args) == (ApprovalStatus.PENDING, "refund", ARGS)
    assert (found.expires_at - found.requested_at).total_seconds() == 86_400
    assert found.context == {"question": "Refund A-7"}
    assert await desk.told() == ["requested"]
    (entry,) = await desk.audit.latest("default", limit=1)
    assert entry.fields["trace_id"] == trace_id_of(one.run_id)


async def test_an_approved_call_resumes_its_run_with_the_answer_of_its_dialect(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(one, message="fine")
    assert done.status is ApprovalStatus.APPROVED
    assert [(said.decider, said.choice, said.message) for said in done.decisions] == [
        ("olga", Choice.APPROVE, "fine")
    ]
    answers = resumed(await desk.run_of(one))
    assert answers == {"i": {"decisions": [{"type": "approve", "message": "fine"}]}}
    assert done.resumed_at is not None
    assert await desk.told() == ["requested", "decided"]


async def test_a_double_click_is_one_decision_with_the_first_result(desk: Desk) -> None:
    one = await desk.one()
    first, second = await asyncio.gather(desk.decide(one), desk.decide(one))
    assert first.status is second.status is ApprovalStatus.APPROVED
    assert len(second.decisions) == 1
    again = await desk.decide(one)
    assert again.decisions == first.decisions
    assert await desk.told() == ["requested", "decided"]


async def test_approve_and_reject_at_once_from_two_surfaces_have_one_winner(desk: Desk) -> None:
    one = await desk.one()
    found = await asyncio.gather(
        desk.decide(one, "approve", who="olga", via="slack"),
        desk.decide(one, "reject", who="omar", via="console"),
        return_exceptions=True,
    )
    won = [each for each in found if isinstance(each, Approval)]
    lost = [each for each in found if isinstance(each, AlreadyDecidedError)]
    assert (len(won), len(lost)) == (1, 1)
    assert lost[0].winner.decisions[0].decider == won[0].decisions[0].decider
    assert won[0].decisions[0].decider in str(lost[0])
    assert await desk.told() == ["requested", "decided"]


async def test_of_a_hundred_racing_deciders_one_wins(desk: Desk) -> None:
    one = await desk.one()
    choices = ["approve", "reject", "respond", "edit"]

    async def decide(number: int) -> str:
        choice = choices[number % 4]
        given = {"args": {**ARGS, "amount": number}} if choice == "edit" else {}
        try:
            await desk.decide(one, choice, who=f"o{number}", message="m", **given)
        except AlreadyDecidedError:
            return "lost"
        return "won"

    outcomes = Counter(await asyncio.gather(*(decide(number) for number in range(100))))
    assert outcomes == {"won": 1, "lost": 99}
    assert len((await desk.approvals.get(one.approval_id, tenant="default")).decisions) == 1
    assert await desk.told() == ["requested", "decided"]


async def test_the_requester_may_not_approve_but_may_reject(desk: Desk) -> None:
    one = await desk.one()
    for choice, given in (("approve", {}), ("edit", {"args": ARGS}), ("respond", {})):
        with pytest.raises(NotAllowedError, match="'ruth' asked for this"):
            await desk.decide(one, choice, who="ruth", message="m", **given)
    assert (await desk.decide(one, "reject", who="ruth")).status is ApprovalStatus.REJECTED


async def test_the_requester_may_approve_where_the_rule_says_so(desk: Desk) -> None:
    one = await desk.one(Terms(self_approval=True))
    assert (await desk.decide(one, who="ruth")).status is ApprovalStatus.APPROVED


async def test_the_same_person_twice_is_one_of_a_quorum(desk: Desk) -> None:
    one = await desk.one(TWO)
    first = await desk.decide(one)
    assert (first.status, first.consents) == (ApprovalStatus.PENDING, 1)
    assert (await desk.decide(one)).consents == 1
    assert (await desk.run_of(one)).status is RunStatus.INTERRUPTED
    second = await desk.decide(one, who="omar")
    assert second.status is ApprovalStatus.APPROVED
    assert await desk.told() == ["requested", "decided", "decided"]


async def test_one_no_ends_what_a_quorum_was_to_decide(desk: Desk) -> None:
    one = await desk.one(TWO)
    await desk.decide(one)
    assert (await desk.decide(one, "reject", who="omar")).status is ApprovalStatus.REJECTED


async def test_who_said_yes_may_take_it_back_while_the_quorum_waits(desk: Desk) -> None:
    one = await desk.one(TWO)
    await desk.decide(one)
    assert (await desk.decide(one, "reject")).status is ApprovalStatus.REJECTED


async def test_an_edit_under_a_quorum_needs_the_others_to_agree_with_its_arguments(
    desk: Desk,
) -> None:
    one = await desk.one(TWO)
    await desk.decide(one, who="olga")
    edit = await desk.decide(one, "edit", who="omar", args={**ARGS, "amount": 90})
    assert (edit.status, edit.consents) == (ApprovalStatus.PENDING, 1)
    with pytest.raises(StaleArgumentsError) as stale:
        await desk.decide(one, who="oda")
    assert stale.value.current.final_args["amount"] == 90
    done = await desk.decide(one, who="oda", args_sha256=edit.args_sha256)
    assert (done.status, done.final_args["amount"]) == (ApprovalStatus.EDITED, 90)


async def test_racing_members_of_a_quorum_all_count(desk: Desk) -> None:
    one = await desk.one(Terms(quorum=10))
    await asyncio.gather(*(desk.decide(one, who=f"o{number}") for number in range(10)))
    done = await desk.approvals.get(one.approval_id, tenant="default")
    assert (done.status, len(done.decisions)) == (ApprovalStatus.APPROVED, 10)


async def test_a_role_that_was_lost_between_view_and_click_decides_nothing(desk: Desk) -> None:
    one = await desk.one()
    with pytest.raises(NotAllowedError, match="decided by operator, which the key 'olga' is not"):
        await desk.decide(one, caller=Caller(name="olga", roles=frozenset({CallerRole.USER})))
    assert (await desk.run_of(one)).status is RunStatus.INTERRUPTED


async def test_a_rule_may_ask_for_an_admin(desk: Desk) -> None:
    one = await desk.one(Terms(roles=frozenset({"admin"})))
    with pytest.raises(NotAllowedError, match="decided by admin"):
        await desk.decide(one)
    admin = Caller(name="ada", roles=frozenset({CallerRole.ADMIN}))
    assert (await desk.decide(one, caller=admin)).status is ApprovalStatus.APPROVED


async def test_a_forged_id_and_another_tenants_are_not_there(desk: Desk) -> None:
    one = await desk.one()
    for named, tenant in ((str(uuid.uuid4()), "default"), (one.approval_id, "acme"), ("../x", "d")):
        with pytest.raises(ApprovalNotFoundError):
            await desk.decide(named, tenant=tenant, caller=operator(tenant=tenant))
        with pytest.raises(ApprovalNotFoundError):
            await desk.approvals.get(named, tenant=tenant)


async def test_a_decision_on_arguments_that_are_not_those_that_wait_is_stale(desk: Desk) -> None:
    one = await desk.one()
    with pytest.raises(StaleArgumentsError, match=one.args_sha256):
        await desk.decide(one, args_sha256="0" * 64)
    assert (await desk.decide(one, args_sha256=one.args_sha256)).status is ApprovalStatus.APPROVED


async def test_an_edit_reads_text_as_the_schema_says_and_keeps_both(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(
        one, "edit", args={"amount": "80.5", "order": "007", "notify": "false"}
    )
    assert done.status is ApprovalStatus.EDITED
    assert done.final_args == {"amount": 80.5, "order": "007", "notify": False}
    assert done.args == ARGS
    assert done.args_sha256 != one.args_sha256
    assert resumed(await desk.run_of(one)) == {
        "i": {
            "decisions": [
                {"type": "edit", "edited_action": {"name": "refund", "args": done.final_args}}
            ]
        }
    }
    entry = (await desk.audit.latest("default", limit=1))[0]
    assert (entry.fields["args_before"], entry.fields["args_after"]) == (ARGS, done.final_args)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"args": {"amount": "much", "order": "A-7"}}, "args.amount"),
        ({"args": {"amount": -1, "order": "A-7"}}, "args.amount"),
        ({"args": {"amount": 1}}, "args"),
        ({"args": {**ARGS, "iban": "x"}}, "args.iban"),
        ({}, "args"),
        ({"args": ARGS, "tool": "wire_money"}, "tool"),
    ],
)
async def test_an_edit_to_invalid_arguments_or_another_tool_is_refused(
    desk: Desk, given: dict[str, Any], field: str
) -> None:
    one = await desk.one()
    with pytest.raises(InvalidDecisionError) as refused:
        await desk.decide(one, "edit", **given)
    assert refused.value.field == field
    assert str(refused.value).startswith(field)
    assert await desk.told() == ["requested"]


async def test_an_edit_to_a_larger_amount_is_judged_by_the_policy_again(desk: Desk) -> None:
    def judge(_: Approval, args: Mapping[str, float]) -> PolicyVerdict:
        amount = args["amount"]
        decision = Decision.DENY if amount > 1000 else Decision.ASK
        terms = Terms(quorum=2 if amount > 500 else 1)
        return PolicyVerdict(decision=decision, reason="too much", rule=0, terms=terms)

    careful = desk_of(desk.redis, desk.keys, desk.queue, judge=judge)
    one = await careful.one()
    with pytest.raises(InvalidDecisionError, match=r"policy denies refund with these \(too much"):
        await careful.decide(one, "edit", args={**ARGS, "amount": 5000})
    first = await careful.decide(one, "edit", args={**ARGS, "amount": 600})
    assert (first.status, first.terms.quorum) == (ApprovalStatus.PENDING, 2)
    done = await careful.decide(one, who="omar", args_sha256=first.args_sha256)
    assert (done.status, done.final_args["amount"]) == (ApprovalStatus.EDITED, 600)


async def test_an_edit_into_a_stricter_rule_is_decided_by_that_rule(desk: Desk) -> None:
    """The requester may approve what is small; what he edits to be large, others decide."""

    def judge(_: Approval, args: Mapping[str, float]) -> PolicyVerdict:
        large = Terms(quorum=2, roles=frozenset({"admin"}))
        terms = large if args["amount"] > 500 else Terms(self_approval=True)
        return PolicyVerdict(decision=Decision.ASK, reason="", rule=0, terms=terms)

    careful = desk_of(desk.redis, desk.keys, desk.queue, judge=judge)
    one = await careful.one(Terms(self_approval=True))
    large = {**ARGS, "amount": 600}
    admins = [Caller(name=name, roles=frozenset({CallerRole.ADMIN})) for name in ("ruth", "ada")]
    for caller in (operator("ruth"), operator("olga"), admins[0]):
        with pytest.raises(NotAllowedError):
            await careful.decide(one, "edit", args=large, caller=caller)
    edit = await careful.decide(one, "edit", args=large, caller=admins[1])
    assert (edit.terms.roles, edit.terms.self_approval) == (frozenset({"admin"}), False)
    for caller in (operator("olga"), admins[0]):
        with pytest.raises(NotAllowedError):
            await careful.decide(one, caller=caller, args_sha256=edit.args_sha256)
    last = Caller(name="abe", roles=frozenset({CallerRole.ADMIN}))
    done = await careful.decide(one, caller=last, args_sha256=edit.args_sha256)
    assert (done.status, done.final_args) == (ApprovalStatus.EDITED, large)


async def test_only_what_is_open_can_be_chosen(desk: Desk) -> None:
    one = await desk.one(Terms(choices=frozenset({Choice.APPROVE, Choice.REJECT})))
    with pytest.raises(InvalidDecisionError, match="choose approve, reject"):
        await desk.decide(one, "edit", args=ARGS)
    with pytest.raises(InvalidDecisionError, match="only an edit has arguments"):
        await desk.decide(one, "approve", args=ARGS)


async def test_a_response_is_told_in_place_of_the_tool(desk: Desk) -> None:
    one = await desk.one()
    with pytest.raises(InvalidDecisionError, match="message: "):
        await desk.decide(one, "respond")
    done = await desk.decide(one, "respond", message="It was refunded yesterday.")
    assert done.status is ApprovalStatus.RESPONDED
    assert resumed(await desk.run_of(one))["i"]["decisions"][0] == {
        "type": "respond",
        "message": "It was refunded yesterday.",
    }
    assert await desk.use(done) is None


async def test_a_key_that_was_sent_before_gives_the_first_result_and_no_other(desk: Desk) -> None:
    one = await desk.one(Terms(quorum=3))
    first = await desk.decide(one, idempotency_key="k")
    assert (await desk.decide(one, idempotency_key="k")).decisions == first.decisions
    with pytest.raises(InvalidDecisionError, match="Idempotency-Key"):
        await desk.decide(one, "reject", idempotency_key="k")


async def test_a_decision_after_the_end_of_its_time_is_told_that(desk: Desk) -> None:
    one = await desk.one()
    await desk.over_now(one)
    with pytest.raises(ExpiredError, match="expired at"):
        await desk.decide(one)
    assert (await desk.approvals.get(one.approval_id, tenant="default")).status is (
        ApprovalStatus.EXPIRED
    )
    assert await desk.told() == ["requested", "expired"]


async def test_decisions_during_the_expiry_lose_to_it(desk: Desk) -> None:
    one = await desk.one()
    await desk.over_now(one)
    found = await asyncio.gather(
        desk.sweeper.sweep(),
        desk.sweeper.sweep(),
        *(desk.decide(one, who=f"o{number}") for number in range(20)),
        return_exceptions=True,
    )
    assert {type(each) for each in found[2:]} == {ExpiredError}
    assert found[:2] == [None, None]
    assert await desk.told() == ["requested", "expired"]
    answers = resumed(await desk.run_of(one))
    assert answers["i"]["decisions"][0]["expired"] is True


async def test_an_expiry_may_end_the_run(desk: Desk) -> None:
    one = await desk.one(Terms(on_expiry=OnExpiry.FAIL))
    await desk.over_now(one)
    await desk.sweeper.sweep()
    run = await desk.run_of(one)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert "nobody decided in time whether refund may run" in run.error


async def test_a_claim_shows_who_is_at_it_and_locks_nobody_out(desk: Desk) -> None:
    one = await desk.one()
    mine = await desk.approvals.claim(one.approval_id, tenant="default", caller=operator())
    assert mine.claimed_by == "olga"
    with pytest.raises(ClaimedError, match="'olga' is at"):
        await desk.approvals.claim(one.approval_id, tenant="default", caller=operator("omar"))
    with pytest.raises(ClaimedError):
        await desk.approvals.release(one.approval_id, tenant="default", caller=operator("omar"))
    free = await desk.approvals.release(one.approval_id, tenant="default", caller=operator())
    assert free.claimed_by == ""
    await desk.approvals.claim(one.approval_id, tenant="default", caller=operator("omar"))
    assert (await desk.decide(one)).status is ApprovalStatus.APPROVED
    with pytest.raises(AlreadyDecidedError):
        await desk.approvals.claim(one.approval_id, tenant="default", caller=operator())


async def test_every_refusal_is_one_line_for_people(desk: Desk) -> None:
    one = await desk.one()
    await desk.decide(one)
    with pytest.raises(ApprovalError) as refused:
        await desk.decide(one, "edit", who="omar", args={"nonsense": 1})
    assert isinstance(refused.value, AlreadyDecidedError)
    assert "\n" not in str(refused.value)
