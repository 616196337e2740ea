"""What happens to a run of the team, and to what it asked, while it waits for a person."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from guardrails import policy
from models.scripted import Scripted, ScriptedModel
from server.approvals.record import ApprovalStatus
from server.runs.record import RunRecord
from server.threads.sweeper import ThreadSweeper
from tests.graphs.asking_house import refunds
from tests.graphs.team_house import SUPPORTED
from tests.server.people import People, at_work
from tests.server.surface import Parts
from tests.server.threads.test_sweeper import aged

RULES = (
    policy.Rule(tool="search_documents", decision=policy.Decision.ALLOW),
    policy.Rule(tool="*", decision=policy.Decision.ASK, terms=policy.Terms(self_approval=True)),
)
TEAM: Any = {"configurable": {}}


@pytest.fixture
async def people(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[People]:
    async with at_work(parts, redis, keys, refunds(200), rules=RULES) as found:
        yield found


def branches(*amounts: int) -> ScriptedModel:
    """A coordinator who hands out a task for each amount; each researcher wants it refunded."""
    tasks = [f"Refund of {amount}" for amount in amounts]
    steps = [Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": tasks})]
    for amount in amounts:
        mine = f"Refund of {amount}"

        def fresh(asked: Any, mine: str = mine) -> bool:
            return mine in asked.text and "refund " not in asked.last

        call = ("refund", {"order": "7", "amount": amount})
        steps.append(Scripted(agent="researcher", when=fresh, calls=(call,)))
        steps.append(Scripted(agent="researcher", contains="refund ", answer=f"{amount}: told."))
    steps.append(Scripted(agent="critic", answer=SUPPORTED))
    return ScriptedModel(steps=[*steps, *[Scripted(agent="coordinator", answer="Told.")] * 2])


async def test_an_approval_within_a_branch_of_the_team_lets_that_branchs_call_run(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    async with at_work(parts, redis, keys, branches(10, 20), rules=RULES) as people:
        await people.ask(config=TEAM)
        first, second = sorted(await people.waiting(), key=lambda one: int(one.args["amount"]))
        assert {first.agent, second.agent} == {"researcher"}
        assert first.context["question"] != second.context["question"]
        # In any order and in part: the second one goes on while the first one waits.
        await people.decide(second)
        assert (await people.over()).status == "interrupted"
        assert people.world.refunds() == [20]
        assert [one.args["amount"] for one in await people.waiting()] == [10]
        await people.decide(first, "reject")
        assert (await people.over()).status.is_terminal
        assert people.world.refunds() == [20]


@pytest.mark.parametrize("what", ["message", "cancel", "delete"])
async def test_a_message_a_cancel_or_a_delete_settles_what_waits_and_nothing_runs(
    people: People, what: str
) -> None:
    await people.ask()
    (one,) = await people.waiting()
    thread = f"/threads/{people.thread}"
    match what:
        case "message":
            await people.ask()
        case "cancel":
            await people.client.post(f"{thread}/runs/{one.run_id}/cancel?wait=true")
        case _:
            assert (await people.client.delete(thread)).status_code < 300
    await people.sweeper.sweep()
    reply = await people.client.post(
        f"/approvals/{one.approval_id}/decision", json={"decision": "approve"}
    )
    assert (reply.status_code, reply.json()["approval"]["status"]) == (409, "cancelled")
    ended = await people.parts.approvals.get(one.approval_id, tenant="default")
    assert (ended.status, bool(ended.ended_because)) == (ApprovalStatus.CANCELLED, True)
    assert people.world.did == []
    told = [str(one.fields["kind"]) async for one in people.parts.audit.entries("default")]
    assert told[:2] == ["requested", "cancelled"] or what == "message"


async def test_retention_takes_nothing_that_a_paused_run_needs(
    people: People, redis: Redis, keys: Keys
) -> None:
    ttl = {"ttl": 1, "strategy": "delete"}
    await people.client.post("/threads", json={"thread_id": people.thread, "ttl": ttl})
    await people.ask()
    (one,) = await people.waiting()
    await aged(redis, keys, await people.parts.threads.get(people.thread))
    await ThreadSweeper(redis, keys, threads=people.parts.threads).sweep()
    await RedisSaver(redis, keys).aprune([f"default:{people.thread}"])
    for _ in range(2):
        await people.sweeper.sweep()
    assert [each.approval_id for each in await people.waiting()] == [one.approval_id]
    await people.decide(one)
    assert (await people.over()).result["answer"] == "Done."
    assert people.world.refunds() == [200]


async def test_paused_runs_are_held_by_no_process(parts: Parts, redis: Redis, keys: Keys) -> None:
    """No task, no lease, no fence and no slot: all of it is in Redis, and has no time to live."""
    wants = Scripted(agent="researcher", calls=(("refund", {"order": "7", "amount": 200}),))
    model = ScriptedModel(steps=[wants] * 5)
    async with at_work(parts, redis, keys, model, rules=RULES) as people:
        before, known = _tasks(), _records()
        threads = [str(uuid.uuid4()) for _ in range(5)]
        for people.thread in threads:
            await people.ask()
        assert (await people.client.get("/approvals?status=pending")).json()["total"] == 5
        assert _tasks() <= before
        for name in (keys.runs_leases, keys.runs_dispatched, keys.tenant_running("default")):
            assert await redis.type(name) == b"none"
        for thread in threads:
            assert await redis.get(keys.fence(f"default:{thread}")) is None
        # The last may still be in a frame that ends.
        assert _records() <= known + 1
    mortal = [key async for key in redis.scan_iter(f"{keys.prefix}*") if await redis.ttl(key) >= 0]
    kept = [key for key in mortal if b"approvals" in key or b":run:" in key]
    assert kept == []


def _records() -> int:
    """How many runs' records this process holds; other tests' among them."""
    for timer in cast("Any", asyncio.get_running_loop())._scheduled:
        if timer.cancelled():
            # asyncio lets it keep its context until it would have been due.
            timer._context = None
    gc.collect()
    return sum(isinstance(one, RunRecord) for one in gc.get_objects())


def _tasks() -> set[str]:
    return {task.get_name().partition("-")[0] for task in asyncio.all_tasks()}
