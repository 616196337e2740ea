"""The team asks people, and they answer through the queue or LangGraph's wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.approvals.record import ApprovalStatus
from tests.graphs.asking_house import refunds
from tests.server.people import People, at_work
from tests.server.surface import Parts

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
async def people(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[People]:
    """A researcher who wants 200 back."""
    async with at_work(parts, redis, keys, refunds(200)) as found:
        yield found


async def test_a_call_waits_in_the_queue_and_runs_once_when_it_is_approved(
    people: People,
) -> None:
    told = await people.ask()
    (one,) = await people.waiting()
    assert told["__interrupt__"][0]["id"] == one.interrupt_id
    assert (one.tool, one.args, one.agent) == (
        "refund",
        {"order": "7", "amount": 200},
        "researcher",
    )
    assert one.context["question"] == "Refund order 7"
    assert one.schema is not None
    assert people.world.did == []
    await people.decide(one)
    record = await people.over()
    assert record.result["answer"] == "Done."
    assert people.world.refunds() == [200]
    (used,) = await people.all()
    assert used.used_at is not None


@pytest.mark.parametrize(
    "answer",
    [
        APPROVE,
        {"decisions": [{"type": "edit", "editedAction": {"name": "refund", "args": {}}}]},
        [{"type": "accept", "args": None}],
        [{"type": "edit", "args": {"action": "refund", "args": {"order": "7", "amount": "200"}}}],
        {"type": "approve"},
    ],
)
async def test_each_dialect_of_an_answer_on_the_wire_decides_and_resumes(
    people: People, answer: object
) -> None:
    if "editedAction" in str(answer):
        answer = {
            "decisions": [
                {
                    "type": "edit",
                    "editedAction": {"name": "refund", "args": {"order": "7", "amount": 200}},
                }
            ]
        }
    await people.ask()
    (one,) = await people.waiting()
    values = await people.answer(answer)
    assert "messages" in values, values
    assert values["messages"][-1]["content"] == "Done."
    assert people.world.refunds() == [200]
    (decided,) = await people.all()
    assert decided.approval_id == one.approval_id
    assert decided.decisions[0].decider == "local"
    assert decided.status.permits


async def test_a_wrong_shape_is_refused_with_its_field_and_decides_nothing(
    people: People,
) -> None:
    await people.ask()
    for answer, field in [
        ({"decisions": []}, "command.resume.decisions"),
        ({"decisions": [{"type": "maybe"}]}, "command.resume.decisions[0].type"),
        ("yes please", "command.resume"),
        ([{"type": "edit", "args": {"action": "other", "args": {}}}], "command.resume[0].args"),
        ([{"type": "edit", "args": {"order": "7", "amount": "much"}}], "args.amount"),
    ]:
        url = f"/threads/{people.thread}/runs"
        body = {"assistant_id": "team", "command": {"resume": answer}}
        reply = await people.client.post(url, json=body)
        assert (reply.status_code, field in reply.json()["detail"]) == (422, True), reply.text
    (one,) = await people.waiting()
    assert one.decisions == ()
    assert people.world.did == []


async def test_what_was_decided_before_is_a_conflict_and_runs_once(people: People) -> None:
    await people.ask()
    (one,) = await people.waiting()
    await people.answer(APPROVE)
    url = f"/threads/{people.thread}/runs"
    body = {"assistant_id": "team", "command": {"resume": {one.interrupt_id: APPROVE}}}
    reply = await people.client.post(url, json=body)
    await people.over()
    assert people.world.refunds() == [200]
    # Nothing waits on the thread any more, so there is nothing that it could answer.
    assert reply.status_code in {200, 409}


async def test_a_new_message_while_paused_settles_what_waits(people: People) -> None:
    await people.ask()
    (one,) = await people.waiting()
    await people.ask(command={"goto": "__end__"})
    (settled,) = await people.all()
    await people.sweeper.sweep()
    (settled,) = await people.all()
    assert settled.approval_id == one.approval_id
    assert settled.status is ApprovalStatus.CANCELLED
    assert people.world.did == []
