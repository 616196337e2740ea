"""Users' own graphs ask in their dialect: they too are in the queue, and each answer fits."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.approvals.record import Kind
from server.auth import Caller
from server.sections import CallerRole
from tests.server.people import People, at_work, sent
from tests.server.surface import Parts


@pytest.fixture
async def people(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[People]:
    sent.clear()
    async with at_work(parts, redis, keys) as found:
        yield found


async def test_a_batched_request_is_several_approvals_and_goes_on_when_all_are_decided(
    people: People,
) -> None:
    await people.ask("batched")
    first, second = await people.waiting()
    assert [(one.tool, one.args["to"], one.of) for one in (first, second)] == [
        ("send_mail", "ada", 2),
        ("send_mail", "bob", 2),
    ]
    assert first.kind is Kind.INTERRUPT
    await people.decide(second, "reject", message="not to bob")
    assert (await people.over()).status == "interrupted"
    assert sent == []
    await people.decide(first, "edit", args={"to": "ada", "copies": 3})
    assert (await people.over()).status == "success"
    assert sent == [{"to": "ada", "copies": 3}]


async def test_each_call_of_its_own_interrupt_is_decided_in_any_order_and_in_part(
    people: People,
) -> None:
    await people.ask("per_call")
    one, other = await people.waiting()
    await people.decide(other)
    assert (await people.over()).status == "interrupted"
    assert sent == [{"to": other.args["to"], "copies": 1}]
    (left,) = await people.waiting()
    assert left.args == one.args
    await people.decide(left, "reject")
    assert (await people.over()).status == "success"
    assert len(sent) == 1


async def test_partial_answers_on_the_wire_leave_the_others_waiting(people: People) -> None:
    await people.ask("per_call")
    one, other = await people.waiting()
    reply = await people.ask(
        "per_call", command={"resume": {one.interrupt_id: {"type": "approve"}}}
    )
    assert [each["id"] for each in reply["__interrupt__"]] == [other.interrupt_id]
    (left,) = await people.waiting()
    assert left.args == other.args
    await people.ask("per_call", command={"resume": {"type": "approve"}})
    assert sorted(mail["to"] for mail in sent) == ["ada", "bob"]


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        (("approve", {}), {"type": "accept", "args": None}),
        (("reject", {}), {"type": "ignore", "args": None}),
        (("respond", {"message": "no"}), {"type": "response", "args": "no"}),
        (
            ("edit", {"args": {"to": "eve", "copies": "2"}}),
            {"type": "edit", "args": {"action": "send_mail", "args": {"to": "eve", "copies": 2}}},
        ),
    ],
)
async def test_agent_inbox_is_answered_in_its_own_way(
    people: People, decision: tuple[str, dict[str, Any]], answer: dict[str, Any]
) -> None:
    await people.ask("inbox")
    (one,) = await people.waiting()
    await people.decide(one, decision[0], **decision[1])
    await people.over()
    assert (await people.values())["done"] == [[answer]]


@pytest.mark.parametrize("value", ["blue", 7, None, False, {"a": [1]}, [1, 2]])
async def test_a_bare_question_is_told_what_the_client_said_and_the_queue_knows_of_it(
    people: People, value: Any
) -> None:
    await people.ask("bare")
    (one,) = await people.waiting()
    assert one.description == "Which colour?"
    await people.answer(value, graph="bare")
    if value is not None:
        assert (await people.values())["done"] == [value]
        (kept,) = await people.all()
        assert kept.status == "responded"


async def test_a_bare_question_is_answered_from_the_queue(people: People) -> None:
    await people.ask("bare")
    (one,) = await people.waiting()
    await people.decide(one, "respond", message="green")
    await people.over()
    assert (await people.values())["done"] == ["green"]


async def test_a_hitl_request_takes_agent_inboxs_answer(people: People) -> None:
    await people.ask("batched")
    edited = {"action": "send_mail", "args": {"to": "eve", "copies": "2"}}
    await people.answer(
        [{"type": "edit", "args": edited}, {"type": "response", "args": "later"}], graph="batched"
    )
    assert sent == [{"to": "eve", "copies": 2}]


async def test_several_interrupts_and_one_bare_answer_are_refused_with_their_ids(
    people: People,
) -> None:
    await people.ask("per_call")
    url = f"/threads/{people.thread}/runs"
    body = {"assistant_id": "per_call", "command": {"resume": {"type": "approve"}}}
    reply = await people.client.post(url, json=body)
    assert reply.status_code == 422
    assert "2 interrupts wait" in reply.json()["detail"]
    assert len(await people.waiting()) == 2


async def test_a_question_of_a_users_graph_is_answered_by_a_plain_user(people: People) -> None:
    """As LangGraph has it; the team's own requests are operators' to decide."""
    await people.ask("bare")
    (one,) = await people.waiting()
    user = Caller(name="ugo", roles=frozenset({CallerRole.USER}))
    await people.decide(one, "respond", message="red", caller=user)
    await people.over()
    assert (await people.values())["done"] == ["red"]


async def test_what_a_pruned_thread_or_one_of_a_deleted_assistant_asked_waits_no_more(
    people: People,
) -> None:
    made = await people.client.post("/assistants", json={"graph_id": "bare"})
    assistant = made.json()["assistant_id"]
    await people.ask("bare", assistant_id=assistant)
    assert len(await people.waiting()) == 1
    gone = await people.client.delete(f"/assistants/{assistant}", params={"delete_threads": "true"})
    assert gone.status_code == 204, gone.text
    assert await people.waiting() == []
    people.thread = str(uuid.uuid4())
    await people.ask("bare")
    ids = {"thread_ids": [people.thread]}
    kept = await people.client.post("/threads/prune", json={**ids, "strategy": "keep_latest"})
    assert (kept.json(), len(await people.waiting())) == ({"pruned_count": 1}, 1)
    pruned = await people.client.post("/threads/prune", json=ids)
    assert (pruned.json(), await people.waiting()) == ({"pruned_count": 1}, [])
