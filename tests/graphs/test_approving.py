"""A person is asked: one pause per call, one decision per pause, and the check that counts."""

from __future__ import annotations

from typing import Any

import pytest

from graphs import events
from graphs.permits import MemoryPermits
from guardrails import policy
from models.scripted import Scripted, ScriptedModel
from tests.graphs.asking_house import RULES, Desk, refunds

APPROVE = {"decisions": [{"type": "approve"}]}


def paused(outcome: Any) -> events.RunInterrupted:
    assert isinstance(outcome, events.RunInterrupted), outcome
    return outcome


def finished(outcome: Any) -> events.RunFinished:
    assert isinstance(outcome, events.RunFinished), outcome
    return outcome


async def test_a_call_that_the_policy_asks_about_pauses_the_run_before_anything_happens() -> None:
    with refunds(200) as model:
        desk = Desk(model)
        outcome = paused(await desk.run())
        (one,) = outcome.interrupts
        assert one.value["action_requests"][0]["args"] == {"order": "7", "amount": 200}
        assert one.value["action_requests"][0]["arguments"] == {"order": "7", "amount": 200}
        assert one.value["review_configs"][0]["allowed_decisions"] == [
            "approve",
            "edit",
            "reject",
            "respond",
        ]
        ours = one.value["approval"]
        assert (ours["requested_by"], ours["reason"]) == ("ada", "money leaves")
        assert ours["context"]["question"] == "Refund order 7"
        assert desk.world.did == []
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", {"order": "7", "amount": 200})
        assert finished(await desk.decide({one.id: APPROVE})).answer == "Done."
    assert desk.world.refunds() == [200]


async def test_a_resume_that_says_approve_runs_nothing_where_no_approval_is_recorded() -> None:
    """The bypass: whoever resumes the graph by himself decides nothing."""
    with refunds(200, seen=lambda text: "no approval of these arguments" in text) as model:
        desk = Desk(model)
        (one,) = paused(await desk.run()).interrupts
        finished(await desk.decide({one.id: APPROVE}))
    assert desk.world.did == []
    assert [event.tool for event in desk.told(events.ToolRefused)] == ["refund"]


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({"type": "reject", "message": "too much"}, "a person refused it, and said: too much"),
        ({"type": "respond", "message": "paid by hand"}, "in its place.\npaid by hand"),
        ({"type": "reject", "expired": True}, "nobody decided in time"),
        ({"type": "nonsense"}, "the decision is not one"),
    ],
)
async def test_what_was_decided_instead_is_told_to_the_model_in_words(
    decision: dict[str, Any], words: str
) -> None:
    with refunds(200, seen=lambda text: words in text) as model:
        desk = Desk(model)
        (one,) = paused(await desk.run()).interrupts
        finished(await desk.decide({one.id: {"decisions": [decision]}}))
    assert desk.world.did == []
    assert len(desk.told(events.ApprovalDecided)) == 1


async def test_an_edited_call_runs_with_the_edited_arguments_and_the_model_is_told() -> None:
    edited = {"order": "7", "amount": 50}
    with refunds(200, seen=lambda text: '"amount":50' in text) as model:
        desk = Desk(model)
        (one,) = paused(await desk.run()).interrupts
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", edited)
        decision = {"type": "edit", "edited_action": {"name": "refund", "args": edited}}
        finished(await desk.decide({one.id: {"decisions": [decision]}}))
    assert desk.world.refunds() == [50]


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("refund", {"order": "7", "amount": -1}, "amount"),
        ("refund", {"order": "7", "amount": 2000}, "was refused"),
        ("refund", {"order": "7", "amount": 51}, "no approval of these arguments"),
        ("update_ticket", {"text": "hi"}, "the tool is refund"),
    ],
)
async def test_an_edit_to_what_may_not_run_runs_nothing(
    name: str, args: dict[str, Any], words: str
) -> None:
    """Invalid arguments, what the policy denies, what nobody approved, another tool."""
    with refunds(200, seen=lambda text: words in text) as model:
        desk = Desk(model)
        (one,) = paused(await desk.run()).interrupts
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", {"order": "7", "amount": 200})
        decision = {"type": "edit", "edited_action": {"name": name, "args": args}}
        finished(await desk.decide({one.id: {"decisions": [decision]}}))
    assert desk.world.did == []


async def test_calls_of_one_thought_are_decided_one_by_one_and_told_in_their_order() -> None:
    """One allowed, two asked: the allowed one runs at once, each asked one when it is decided."""
    steps = [
        Scripted(
            agent="researcher",
            calls=(
                ("refund", {"order": "7", "amount": 1}),
                ("update_ticket", {"text": "hello"}),
                ("refund", {"order": "7", "amount": 2}),
            ),
        ),
        Scripted(agent="researcher", answer="Done."),
    ]
    with ScriptedModel(steps=steps) as model:
        desk = Desk(model)
        assert isinstance(desk.permits, MemoryPermits)
        first, second = sorted(
            paused(await desk.run()).interrupts,
            key=lambda one: one.value["action_requests"][0]["args"]["amount"],
        )
        assert [name for name, _ in desk.world.did] == ["update_ticket"]
        desk.permits.grant("refund", {"order": "7", "amount": 2})
        left = paused(await desk.decide({second.id: APPROVE}))
        assert [one.id for one in left.interrupts] == [first.id]
        assert desk.world.refunds() == [2]
        reject = {"decisions": [{"type": "reject", "message": "no"}]}
        finished(await desk.decide({first.id: reject}))
        told = [m.text for m in model.asked[-1].messages if m.type == "tool"]
    expected = ["refund was not run", "update_ticket done for", "refund done for"]
    for text, words in zip(told, expected, strict=True):
        assert words in text
    assert desk.world.refunds() == [2]


async def test_an_approval_runs_one_call_and_no_second_one_like_it() -> None:
    """Two branches want the same refund, one approval is there: one runs, the other does not."""
    with refunds(5, 5, seen=lambda text: "no approval" in text or "done before" in text) as model:
        desk = Desk(model)
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", {"order": "7", "amount": 5})
        waiting = paused(await desk.run()).interrupts
        finished(await desk.decide({one.id: APPROVE for one in waiting}))
    assert desk.world.refunds() == [5]


async def test_a_remembered_approval_of_an_equal_call_asks_nobody() -> None:
    rules = (
        policy.Rule(tool="refund", decision=policy.Decision.ASK, terms=policy.Terms(remember=True)),
        *RULES[3:],
    )
    with refunds(5) as model:
        desk = Desk(model, rules=rules)
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", {"order": "7", "amount": 5}, remember=True)
        finished(await desk.run())
    assert desk.world.refunds() == [5]


async def test_a_person_is_not_asked_about_arguments_that_cannot_run() -> None:
    with refunds(-5, seen=lambda text: "amount" in text) as model:
        desk = Desk(model)
        finished(await desk.run())
    assert desk.world.did == []


async def test_what_the_policy_denies_is_refused_and_nobody_is_asked() -> None:
    with refunds(5000, seen=lambda text: "was refused" in text) as model:
        desk = Desk(model)
        finished(await desk.run())
    assert desk.told(events.ApprovalRequested) == []
    assert desk.world.did == []


async def test_who_is_asked_is_told_neither_that_nor_what_was_refused_as_done() -> None:
    wanted = [[("update_ticket", {"text": "hello"})]] + [
        [("refund", {"order": "7", "amount": amount})] for amount in (1, 2)
    ]
    steps = [Scripted(agent="researcher", calls=tuple(calls)) for calls in wanted]
    with ScriptedModel(steps=steps) as model:
        desk = Desk(model)
        (first,) = paused(await desk.run()).interrupts
        reject = {"decisions": [{"type": "reject", "message": "no"}]}
        (second,) = paused(await desk.decide({first.id: reject})).interrupts
    told = [one.value["approval"]["context"]["done"] for one in (first, second)]
    searched = 'search_documents {"query":"Refund order 7"}'
    assert told == [[searched, 'update_ticket {"text":"hello"}']] * 2
