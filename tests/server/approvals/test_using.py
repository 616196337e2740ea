"""A call is let run by one approved record of exactly this tool and these arguments, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.fence import FencedError
from guardrails.arguments import digest
from guardrails.policy import Terms
from server.approvals.record import Approval, ApprovalStatus, Kind, UnconfirmedDecisionError
from server.runs.durability import Durability
from tests.server.approvals.desk import ARGS, Desk, asking, desk_of


async def test_an_approval_is_used_once_and_told_so(desk: Desk) -> None:
    one = await desk.decide(await desk.one())
    used = await desk.use(one, "c1")
    assert used is not None
    assert (used.approval_id, used.used_by, used.uses) == (one.approval_id, "c1", 1)
    assert used.used_at is not None
    assert await desk.use(one, "c2") is None
    entry = (await desk.audit.latest("default", limit=1))[0]
    assert {name: entry.fields[name] for name in ("kind", "call_id", "who", "tool")} == {
        "kind": "executed",
        "call_id": "c1",
        "who": "olga",
        "tool": "refund",
    }
    assert await desk.told() == ["requested", "decided", "executed"]


async def test_a_yes_to_a_graph_of_ones_own_lets_no_tool_of_ours_run(desk: Desk) -> None:
    """Such a graph names what it asks about as it likes, and its requester may answer."""
    theirs = await desk.one(kind=Kind.INTERRUPT, terms=Terms(remember=True))
    one = await desk.decide(theirs)
    assert one.status is ApprovalStatus.APPROVED
    assert await desk.use(one, "c1") is None
    assert not await desk.approvals.remembered(
        run_id=one.run_id, tool=one.tool, args_sha256=one.args_sha256
    )


async def test_a_step_that_is_repeated_gets_the_same_approval_and_no_second_line(
    desk: Desk,
) -> None:
    one = await desk.decide(await desk.one())
    first, again = await desk.use(one, "c1"), await desk.use(one, "c1")
    assert first == again
    assert await desk.told() == ["requested", "decided", "executed"]


async def test_racing_executors_of_one_approval_run_once(desk: Desk) -> None:
    one = await desk.decide(await desk.one())
    await desk.claimed(one.run_id)
    found = await asyncio.gather(*(desk.use(one, f"c{number}") for number in range(20)))
    assert len([each for each in found if each is not None]) == 1
    assert (await desk.told()).count("executed") == 1


@pytest.mark.parametrize("choice", ["reject", "respond", "pending", "expire"])
async def test_what_was_not_approved_never_runs(desk: Desk, choice: str) -> None:
    one = await desk.one()
    if choice == "expire":
        await desk.over_now(one)
        await desk.sweeper.sweep()
    elif choice != "pending":
        await desk.decide(one, choice, message="no")
    run = await desk.run_of(one)
    fence = run.fence if choice == "pending" else (await desk.claimed(one.run_id)).fence
    if choice == "pending":
        # Nobody holds the thread of a paused run, so that its own fence lets nothing through.
        with pytest.raises(FencedError):
            await _forced(desk, one, fence=fence)
    assert await desk.use(one, fence="" if choice == "pending" else fence) is None
    assert "executed" not in await desk.told()


async def _forced(desk: Desk, one: Approval, *, fence: str) -> None:
    """What an executor would do that looked at the record before it was there."""
    await desk.redis.hset(desk.keys.approval(one.approval_id), "status", "approved")
    try:
        await desk.use(one, fence=fence)
    finally:
        await desk.redis.hset(desk.keys.approval(one.approval_id), "status", "pending")


@pytest.mark.parametrize(
    "other",
    [
        {"args_sha256": digest("refund", {**ARGS, "amount": 121})},
        {"tool": "wire_money"},
        {"run_id": "another"},
    ],
)
async def test_other_arguments_another_tool_or_another_run_do_not_run(
    desk: Desk, other: dict[str, Any]
) -> None:
    one = await desk.decide(await desk.one())
    assert await desk.use(one, **other) is None


async def test_an_edited_call_runs_with_the_edited_arguments_alone(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(one, "edit", args={**ARGS, "amount": 90})
    assert await desk.use(one) is None
    used = await desk.use(done)
    assert used is not None
    assert (used.status, used.final_args) == (ApprovalStatus.EDITED, {**ARGS, "amount": 90})


async def test_a_worker_that_lost_its_run_uses_nothing(desk: Desk) -> None:
    one = await desk.decide(await desk.one())
    stale = (await desk.claimed(one.run_id)).fence
    await desk.redis.set(desk.keys.fence(f"default:{one.thread_id}"), "another:1")
    with pytest.raises(FencedError):
        await desk.use(one, fence=stale)
    assert "executed" not in await desk.told()


async def test_a_remembered_approval_lets_equal_calls_of_its_run_pass(desk: Desk) -> None:
    one = await desk.decide(await desk.one(Terms(remember=True)))
    asked = {"run_id": one.run_id, "tool": "refund", "args_sha256": one.args_sha256}
    assert await desk.approvals.remembered(**asked)
    assert not await desk.approvals.remembered(**{**asked, "run_id": "another"})
    first, second = await desk.use(one, "c1"), await desk.use(one, "c2")
    assert first is not None
    assert second is not None
    assert (second.uses, second.used_by) == (2, "c1")
    assert (await desk.told()).count("executed") == 2


async def test_equal_calls_each_use_the_approval_of_their_own(desk: Desk) -> None:
    run = await desk.running()
    a, b = await desk.pause(run, asking(run, "i", call_id="ca"), asking(run, "j", call_id="cb"))
    await desk.decide(a)
    await desk.decide(b)
    second, first = await desk.use(b, "cb"), await desk.use(a, "ca")
    assert (second and second.approval_id) == b.approval_id
    assert (first and first.approval_id) == a.approval_id


async def test_a_raised_limit_is_told_as_such(desk: Desk) -> None:
    one = await desk.decide(await desk.one(kind=Kind.LIMIT, tool="raise_limit", schema=None))
    assert await desk.use(one) is not None
    assert await desk.told() == ["requested", "decided", "limit_raised"]


async def test_what_no_disk_confirms_is_not_run(desk: Desk, redis: Redis) -> None:
    """A Redis without an append-only file never confirms; the decision is there all the same."""
    unsafe = desk_of(
        redis, desk.keys, desk.queue, durability=Durability(redis, replicas=1, seconds=0.05)
    )
    one = await desk.one()
    with pytest.raises(UnconfirmedDecisionError, match="send the same again"):
        await unsafe.decide(one)
    assert (await desk.run_of(one)).resumes == 0
    await desk.sweeper.sweep()
    assert (await desk.run_of(one)).resumes == 1
    with pytest.raises(UnconfirmedDecisionError):
        await unsafe.use(await desk.approvals.get(one.approval_id, tenant="default"))


async def test_a_new_run_that_answers_a_paused_one_uses_its_approvals(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(one, resume=False)
    assert (await desk.run_of(one)).resumes == 0
    new = await desk.running(one.thread_id)
    assert await desk.approvals.hand_over(one.run_id, to=new.run_id, tenant="default") == 1
    assert await desk.use(done) is None
    used = await desk.use(done, run_id=new.run_id, fence=new.fence)
    assert used is not None
    assert used.run_id == new.run_id
