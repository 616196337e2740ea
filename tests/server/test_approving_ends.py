"""What becomes of a request to people: by a bypass, a restart, a crash, a cancel, time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails import policy
from models.scripted import Scripted, ScriptedModel
from server.approvals.record import ApprovalStatus, NotAllowedError
from server.auth import Caller
from server.sections import CallerRole
from tests.graphs.asking_house import RULES, World, refunds
from tests.server.people import People, at_work
from tests.server.surface import SECONDS, Parts

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
async def people(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[People]:
    async with at_work(parts, redis, keys, refunds(200)) as found:
        yield found


async def test_a_run_that_is_resumed_around_the_queue_executes_nothing(people: People) -> None:
    """reliability 3.5: whatever led to the tool, no approved record, no execution."""
    await people.ask()
    (one,) = await people.waiting()
    await people.parts.runs.resume(one.run_id, value={one.interrupt_id: APPROVE})
    record = await people.over()
    assert record.status == "success"
    assert people.world.did == []


async def test_a_rejected_call_is_not_run_by_a_later_resume_that_says_approve(
    people: People,
) -> None:
    await people.ask()
    (one,) = await people.waiting()
    await people.decide(one, "reject", message="no", resume=False)
    await people.parts.runs.resume(one.run_id, value={one.interrupt_id: APPROVE})
    await people.over()
    assert people.world.did == []


async def test_two_who_resume_at_once_have_one_winner_and_one_execution(people: People) -> None:
    await people.ask()
    url = f"/threads/{people.thread}/runs"
    answers = [APPROVE, {"decisions": [{"type": "reject"}]}] * 5
    replies = await asyncio.gather(
        *(
            people.client.post(url, json={"assistant_id": "team", "command": {"resume": answer}})
            for answer in answers
        )
    )
    for reply in replies:
        assert reply.status_code in {200, 409}, reply.text
    made = {reply.json()["run_id"] for reply in replies if reply.status_code == 200}
    assert len(made) == 1
    (one,) = [one for one in await people.all() if one.decisions]
    await people.over()
    expected = [200] if one.status is ApprovalStatus.APPROVED else []
    assert people.world.refunds() == expected


async def test_pending_requests_outlive_every_process(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    async with at_work(parts, redis, keys, refunds(200)) as people:
        await people.ask()
        thread = people.thread
    model = ScriptedModel(steps=[Scripted(agent="researcher", answer="Done.")])
    async with at_work(parts, redis, keys, model) as later:
        later.thread = thread
        (one,) = await later.waiting()
        await later.decide(one)
        record = await later.over()
        assert (record.status, record.result["answer"]) == ("success", "Done.")
        assert later.world.refunds() == [200]


async def test_a_worker_that_ends_in_the_middle_of_a_refund_leaves_it_to_a_person(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    """The effect is there, its result is not: asked about, and never done twice by itself."""
    world = World(holds=asyncio.Event())
    async with at_work(parts, redis, keys, refunds(200), world=world) as people:
        await people.ask()
        (one,) = await people.waiting()
        await people.decide(one)
        async with asyncio.timeout(SECONDS):
            await world.began.wait()
    assert world.refunds() == [200]
    model = ScriptedModel(steps=[Scripted(agent="researcher", answer="It went through.")])
    async with at_work(parts, redis, keys, model) as later:
        later.thread = people.thread
        record = await later.over()
        assert record.status == "interrupted"
        (parked,) = await later.waiting()
        assert "may not be done twice" in parked.reason
        assert parked.terms.critical
        await later.decide(parked, "respond", message="the bank says it is paid")
        assert (await later.over()).status == "success"
    assert later.world.did == []


@pytest.mark.parametrize("how", ["cancel", "message", "delete"])
async def test_a_thread_that_moves_on_settles_what_waits_and_nothing_runs(
    parts: Parts, redis: Redis, keys: Keys, how: str
) -> None:
    steps = [
        Scripted(agent="researcher", calls=(("refund", {"order": "7", "amount": 200}),)),
        Scripted(agent="researcher", answer="Something else."),
    ]
    async with at_work(parts, redis, keys, ScriptedModel(steps=steps)) as people:
        await people.ask()
        (one,) = await people.waiting()
        if how == "cancel":
            url = f"/threads/{people.thread}/runs/{one.run_id}/cancel"
            assert (await people.client.post(url)).status_code == 202
        elif how == "message":
            await people.ask()
        else:
            reply = await people.client.delete(f"/threads/{people.thread}")
            assert reply.status_code == 204, reply.text
        await people.sweeper.sweep()
        settled = await people.parts.approvals.get(one.approval_id, tenant="default")
        assert settled.status is ApprovalStatus.CANCELLED
        assert settled.ended_because
        with pytest.raises(Exception, match="cancelled"):
            await people.decide(one)
    assert people.world.did == []


async def test_who_asked_does_not_approve_where_the_rule_does_not_let_him(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    strict = replace(RULES[1], terms=policy.Terms(self_approval=False))
    rules = (RULES[0], strict, *RULES[2:])
    async with at_work(parts, redis, keys, refunds(200), rules=rules) as people:
        await people.ask()
        (one,) = await people.waiting()
        url = f"/threads/{people.thread}/runs"
        body = {"assistant_id": "team", "command": {"resume": APPROVE}}
        assert (await people.client.post(url, json=body)).status_code == 403
        user = Caller(name="ugo", roles=frozenset({CallerRole.USER}))
        with pytest.raises(NotAllowedError):
            await people.decide(one, caller=user)
        assert people.world.did == []
        other = Caller(name="olga", roles=frozenset({CallerRole.OPERATOR}))
        await people.decide(one, caller=other)
        await people.over()
    assert people.world.refunds() == [200]


async def test_an_expired_request_says_so_to_the_model_and_runs_nothing(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    brief = replace(RULES[1], terms=policy.Terms(self_approval=True, expires_seconds=0.001))
    rules = (RULES[0], brief, *RULES[2:])
    model = refunds(200, seen=lambda text: "nobody decided in time" in text)
    async with at_work(parts, redis, keys, model, rules=rules) as people:
        await people.ask()
        await people.sweeper.sweep()
        assert (await people.over()).status == "success"
        (one,) = await people.all()
        assert one.status is ApprovalStatus.EXPIRED
    assert people.world.did == []


async def test_a_chat_whose_run_waits_says_what_waits_and_where(people: People) -> None:
    body = {
        "model": "counterpoint-researcher",
        "messages": [{"role": "user", "content": "Refund order 7"}],
    }
    reply = (await people.client.post("/v1/chat/completions", json=body)).json()
    choice = reply["choices"][0]
    said = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    found, _ = await people.parts.approvals.list("default")
    assert found[0].approval_id in said
    assert 'refund {"amount":200,"order":"7"}' in said
    assert "/console/approvals" in said
    people.thread = found[0].thread_id
    await people.decide(found[0])
    assert (await people.over()).result["answer"] == "Done."
