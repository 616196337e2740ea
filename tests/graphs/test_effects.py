"""What writes happens once: noted before and after, repeated under one key, or a person judges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs import events
from graphs.effects import Effects, Intention, MemoryEffects
from graphs.fence import FencedError
from graphs.keys import Keys
from graphs.permits import MemoryPermits
from models.scripted import Scripted, ScriptedModel
from server.runs.effects import RedisEffects
from server.runs.record import RunRecord
from tests.graphs.asking_house import Desk, World, refunds
from tests.graphs.test_approving import APPROVE, finished, paused
from tools.tool import Effect, ToolResult

REFUND = {"order": "7", "amount": 200}
RECORD = RunRecord(run_id="run", thread_id="t", token=3)


@pytest.fixture(params=["memory", "redis"])
def effects(request: pytest.FixtureRequest, redis: Redis, keys: Keys) -> Effects:
    if request.param == "memory":
        return MemoryEffects()
    return RedisEffects(redis, keys, RunRecord(run_id="run", thread_id="t"))


async def test_a_call_is_fresh_once_and_done_afterwards_with_its_result(effects: Effects) -> None:
    options: Any = {"tool": "refund", "digest": "d", "effect": Effect.WRITES_ONCE}
    assert (await effects.intend("a", **options)).state is Intention.FRESH
    result = ToolResult(content="done", data={"x": 1}, evidence=({"chunk_id": "c"},))
    await effects.done("a", result)
    known = await effects.intend("a", **options)
    assert (known.state, known.result) == (Intention.DONE, result)
    assert (await effects.intend("b", **options)).state is Intention.FRESH


@pytest.mark.parametrize(
    ("effect", "state"),
    [
        (Effect.WRITES_ONCE, Intention.UNKNOWN),
        (Effect.WRITES_REPEATABLE, Intention.REPEAT),
    ],
)
async def test_a_call_that_was_begun_and_not_done_is_repeated_only_where_it_may_be(
    effects: Effects, effect: Effect, state: Intention
) -> None:
    await effects.intend("a", tool="t", digest="d", effect=effect)
    assert (await effects.intend("a", tool="t", digest="d", effect=effect)).state is state


async def test_a_run_that_lost_its_thread_begins_nothing(redis: Redis, keys: Keys) -> None:
    await redis.set(keys.fence(RECORD.checkpoint_thread), "run:4")
    late = RedisEffects(redis, keys, RECORD)
    with pytest.raises(FencedError):
        await late.intend("a", tool="t", digest="d", effect=Effect.WRITES_ONCE)
    assert await redis.exists(keys.thread_effects("default", "t")) == 0


async def crashed(desk: Desk, go: Callable[[], Any]) -> None:
    """The worker dies behind the effect, before it is noted as done."""
    desk.world.break_after = True
    with pytest.raises(ConnectionError):
        await go()
    desk.world.break_after = False


async def test_a_repeatable_call_is_made_again_under_the_same_key_after_a_crash() -> None:
    steps = [
        Scripted(agent="researcher", calls=(("update_ticket", {"text": "hello"}),)),
        Scripted(agent="researcher", answer="Done."),
    ]
    with ScriptedModel(steps=steps) as model:
        desk = Desk(model)
        await crashed(desk, desk.run)
        finished(await desk.again())
    first, second = desk.world.keys
    assert first == second != ""


@pytest.mark.parametrize("decision", ["respond", "approve", "reject"])
async def test_a_call_that_may_not_be_repeated_is_a_persons_to_judge_after_a_crash(
    decision: str,
) -> None:
    with refunds(200) as model:
        desk = Desk(model)
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", REFUND)
        (one,) = paused(await desk.run()).interrupts
        await crashed(desk, lambda: desk.decide({one.id: APPROVE}))
        assert desk.world.refunds() == [200]
        (parked,) = paused(await desk.again()).interrupts
        assert desk.world.refunds() == [200]
        assert "may not be done twice" in parked.value["approval"]["reason"]
        assert parked.value["approval"]["terms"]["critical"] is True
        told = {"type": decision, "message": "it went through"}
        if decision == "approve":
            desk.permits.grant("refund", REFUND)
        finished(await desk.decide({parked.id: {"decisions": [told]}}))
    assert desk.world.refunds() == [200, 200] if decision == "approve" else [200]


async def test_the_old_approval_does_not_let_a_parked_call_run_again() -> None:
    """It was used up by the call that may have happened."""
    with refunds(200, seen=lambda text: "no approval" in text) as model:
        desk = Desk(model)
        assert isinstance(desk.permits, MemoryPermits)
        desk.permits.grant("refund", REFUND)
        (one,) = paused(await desk.run()).interrupts
        await crashed(desk, lambda: desk.decide({one.id: APPROVE}))
        (parked,) = paused(await desk.again()).interrupts
        finished(await desk.decide({parked.id: APPROVE}))
    assert desk.world.refunds() == [200]


async def test_a_tool_that_does_not_answer_in_time_is_told_to_the_model_as_unsure() -> None:
    world = World(holds=asyncio.Event())
    steps = [
        Scripted(agent="researcher", calls=(("update_ticket", {"text": "hello"}),)),
        Scripted(
            agent="researcher",
            when=lambda asked: "Whether it happened is not known" in asked.text,
            answer="I do not know whether it went through.",
        ),
    ]
    with ScriptedModel(steps=steps) as model:
        desk = Desk(model, world=world, tool_seconds=0.05)
        finished(await desk.run())
    assert desk.told(events.ToolFinished)[-1].ok is False
