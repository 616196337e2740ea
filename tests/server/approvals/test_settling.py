"""Approvals and their runs: paused, resumed in part, overtaken, cancelled, deleted, died upon."""

from __future__ import annotations

import asyncio

import pytest

from server.approvals.record import AlreadyDecidedError, ApprovalStatus
from server.approvals.sweeper import ApprovalSweeper, swept
from server.runs.transitions import RunStatus
from tests.server.approvals.desk import Desk, asking, resumed

STATUS = ApprovalStatus


async def status(desk: Desk, one: object) -> ApprovalStatus:
    named = getattr(one, "approval_id", one)
    return (await desk.approvals.get(str(named), tenant="default")).status


async def test_asking_again_after_a_crash_changes_nothing(desk: Desk) -> None:
    run = await desk.running()
    new = [asking(run, "i"), asking(run, "j")]
    first = await desk.approvals.request(new, fence=run.fence)
    again = await desk.approvals.request(new, fence=run.fence)
    assert first == again
    assert await desk.told() == ["requested", "requested"]


async def test_a_worker_that_lost_its_run_asks_nobody(desk: Desk) -> None:
    from graphs.fence import FencedError

    run = await desk.running()
    with pytest.raises(FencedError):
        await desk.approvals.request([asking(run)], fence=f"{run.run_id}:99")
    assert await desk.told() == []


async def test_parallel_approvals_are_answered_in_any_order_and_in_part(desk: Desk) -> None:
    run = await desk.running()
    a, b, c = await desk.pause(run, asking(run, "i"), asking(run, "j"), asking(run, "k"))
    await desk.decide(b)
    assert set(resumed(await desk.run_of(a))) == {"j"}
    # Decided while the run works on what it was told: it hears of it at its next pause.
    await desk.decide(c, "reject")
    run = await desk.claimed(run.run_id)
    await desk.sweeper.sweep()
    assert (await desk.run_of(a)).status is RunStatus.RUNNING
    again = await desk.pause(run, asking(run, "i"), asking(run, "k"))
    assert [one.approval_id for one in again] == [a.approval_id, c.approval_id]
    await desk.sweeper.sweep()
    assert set(resumed(await desk.run_of(a))) == {"k"}
    run = await desk.claimed(run.run_id)
    await desk.pause(run, asking(run, "i"))
    await desk.decide(a)
    assert set(resumed(await desk.run_of(a))) == {"i"}
    assert (await desk.told()).count("requested") == 3


async def test_requests_of_one_interrupt_are_answered_together_in_their_order(desk: Desk) -> None:
    run = await desk.running()
    new = [asking(run, index=number, of=2) for number in range(2)]
    first, second = await desk.pause(run, *new)
    await desk.decide(second, "reject", message="no")
    assert (await desk.run_of(first)).status is RunStatus.INTERRUPTED
    assert dict(await desk.approvals.ready(run.run_id)) == {}
    await desk.decide(first)
    decisions = resumed(await desk.run_of(first))["i"]["decisions"]
    assert [said["type"] for said in decisions] == ["approve", "reject"]


async def test_a_node_that_asks_twice_under_one_id_is_not_answered_by_the_first_decision(
    desk: Desk,
) -> None:
    """LangGraph gives both questions of a node the same interrupt id."""
    run = await desk.running()
    (first,) = await desk.pause(run, asking(run, "i"))
    await desk.decide(first)
    run = await desk.claimed(run.run_id)
    (second,) = await desk.pause(run, asking(run, "i"))
    assert second.approval_id != first.approval_id
    await desk.sweeper.sweep()
    assert (await desk.run_of(second)).status is RunStatus.INTERRUPTED
    assert await status(desk, second) is STATUS.PENDING
    await desk.decide(second, "reject")
    assert resumed(await desk.run_of(second))["i"]["decisions"][0]["type"] == "reject"


async def test_a_question_that_changed_is_a_new_one_and_the_old_is_cancelled(desk: Desk) -> None:
    run = await desk.running()
    (old,) = await desk.approvals.request([asking(run)], fence=run.fence)
    changed = asking(run, args={"amount": 500, "order": "A-7"})
    (new,) = await desk.approvals.request([changed], fence=run.fence)
    assert (await status(desk, old), await status(desk, new)) == (STATUS.CANCELLED, STATUS.PENDING)
    with pytest.raises(AlreadyDecidedError, match="asks something else now"):
        await desk.decide(old)


async def test_a_death_between_decision_and_resume_is_made_good_by_the_sweeper(desk: Desk) -> None:
    one = await desk.one()
    done = await desk.decide(one, resume=False)
    # The surface that was to resume it died; its time for that is over.
    await desk.redis.zadd(desk.keys.approvals_resuming, {one.run_id: 1})
    assert done.status is STATUS.APPROVED
    await asyncio.gather(*(desk.sweeper.sweep() for _ in range(3)))
    run = await desk.run_of(one)
    assert (set(resumed(run)), run.resumes) == ({"i"}, 1)
    await desk.sweeper.sweep()
    assert await desk.redis.zcard(desk.keys.approvals_resuming) == 0


async def test_the_same_decision_again_resumes_what_a_death_left(desk: Desk) -> None:
    one = await desk.one()
    await desk.decide(one, resume=False)
    await desk.decide(one)
    assert (await desk.run_of(one)).resumes == 1


async def test_a_decision_before_the_run_has_stopped_is_told_when_it_has(desk: Desk) -> None:
    run = await desk.running()
    (one,) = await desk.approvals.request([asking(run)], fence=run.fence)
    await desk.decide(one)
    assert (await desk.run_of(one)).status is RunStatus.RUNNING
    await desk.sweeper.sweep()
    await desk.stop(run, ["i"])
    await desk.sweeper.sweep()
    assert set(resumed(await desk.run_of(one))) == {"i"}


async def test_a_new_message_while_paused_cancels_what_waits(desk: Desk) -> None:
    one = await desk.one()
    await desk.running(one.thread_id)
    assert (await desk.run_of(one)).status is RunStatus.CANCELLED
    with pytest.raises(AlreadyDecidedError, match="Another run took its thread over"):
        await desk.decide(one)
    assert await status(desk, one) is STATUS.CANCELLED
    assert await desk.told() == ["requested", "cancelled"]


@pytest.mark.parametrize("what", ["cancel", "fail", "delete", "message"])
async def test_the_sweeper_settles_what_a_run_left_behind(desk: Desk, what: str) -> None:
    one, other = await desk.one(), await desk.one()
    match what:
        case "cancel":
            await desk.runs.cancel(one.run_id)
        case "fail":
            await desk.runs.fail(one.run_id, reason="an operator ended it")
        case "delete":
            await desk.runs.delete(one.run_id)
        case _:
            await desk.running(one.thread_id)
    await desk.sweeper.sweep()
    await desk.sweeper.sweep()
    ended = await desk.approvals.get(one.approval_id, tenant="default")
    assert ended.status is STATUS.CANCELLED
    assert ended.ended_because
    assert await status(desk, other) is STATUS.PENDING
    assert await desk.told() == ["requested", "requested", "cancelled"]
    with pytest.raises(AlreadyDecidedError, match="was cancelled"):
        await desk.decide(one)


async def test_a_decision_and_a_cancel_at_once_leave_one_story(desk: Desk) -> None:
    for _ in range(10):
        one = await desk.one()
        await asyncio.gather(desk.decide(one), desk.runs.cancel(one.run_id), return_exceptions=True)
        await desk.sweeper.sweep()
        run, found = await desk.run_of(one), await status(desk, one)
        assert run.status is RunStatus.CANCELLED
        assert found in {STATUS.APPROVED, STATUS.CANCELLED}
        assert await desk.use(one, fence="") is None or found is STATUS.APPROVED


async def test_a_hundred_that_wait_outlive_a_restart_of_everything_that_looks_after_them(
    desk: Desk, redis_url: str
) -> None:
    from server.redis_client import open_redis
    from server.runs.queue import RunQueue
    from tests.server.approvals.desk import desk_of

    waiting = await asyncio.gather(*(desk.one() for _ in range(100)))
    client = open_redis(redis_url)
    async with RunQueue(redis_url, desk.keys) as queue:
        later = desk_of(client, desk.keys, queue)
        async with swept(later.sweeper, every_seconds=0.01):
            _, total = await later.approvals.list("default")
            assert total == 100
            await asyncio.gather(*(later.decide(one) for one in waiting))
            runs = [await later.run_of(one) for one in waiting]
    await client.aclose()
    assert {run.status for run in runs} == {RunStatus.PENDING}
    assert {run.resumes for run in runs} == {1}


async def test_what_ended_is_forgotten_after_its_time_and_what_waits_never_is(desk: Desk) -> None:
    waiting, done = await desk.one(), await desk.one()
    await desk.decide(done)
    sweeper = ApprovalSweeper(desk.approvals, kept_seconds=0)
    await sweeper.sweep()
    found, total = await desk.approvals.list("default")
    assert ([one.approval_id for one in found], total) == ([waiting.approval_id], 1)
    assert await desk.approvals.store.of_run(done.run_id) == []
    assert await desk.approvals.store.of_thread(done.thread_id, tenant="default") == []
    ttl = await desk.redis.ttl(desk.keys.approval(waiting.approval_id))
    assert ttl == -1
    left = [key async for key in desk.redis.scan_iter(match=f"*{done.approval_id}*")]
    assert left == []
    # What happened stays told.
    assert await desk.told() == ["requested", "requested", "decided"]
