"""The oracle sees what it is there for: each thing that may not be is made, and found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.approvals.record import NewApproval
from server.approvals.store import ApprovalStore
from server.audit.entry import Kind, Line
from server.audit.log import Audit
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from tests.faults import oracle
from tests.faults.graph import steps_of
from tests.faults.oracle import Accepted, Evidence, Repeated
from tests.faults.provider import Books
from tests.faults.world import Called, Done, World

PROGRAM = "sfs"
THREAD = "default:t"


@dataclass
class Scene:
    """A run that went well, as it lies in Redis and in the world."""

    redis: Redis
    keys: Keys
    evidence: Evidence
    log: EventLog
    saver: RedisSaver
    world: World

    async def problems(self, **changes: Any) -> list[str]:
        return await oracle.verdict(replace(self.evidence, **changes))


@pytest.fixture
async def scene(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    run = Accepted(run_id="r", thread_id="t", tenant="default", name="r1", program=PROGRAM)
    log, saver, world = EventLog(redis, keys), RedisSaver(redis, keys), World(redis)
    started = {"type": "run.started", "attempt": 1}
    await log.append("t", "r", [started, {"type": "graph.chunk"}])
    await log.close("t", "r", {"type": "run.finished"})
    scene = Scene(
        redis=redis,
        keys=keys,
        log=log,
        saver=saver,
        world=world,
        evidence=Evidence(
            redis=redis,
            keys=keys,
            world=world,
            accepted=[run],
            records={"r": RunRecord(run_id="r", thread_id="t", status=RunStatus.SUCCESS)},
            repeated=Repeated(),
            books={},
            killed=False,
        ),
    )
    done: list[str] = []
    for number, step in enumerate(steps_of(PROGRAM)):
        done.append(f"r1:{step}")
        await checkpoint(scene, number, done=list(done))
        await world.effect(Done(run="r1", step=step, pid=1))
        await world.once(Done(run="r1", step=step, pid=1))
    yield scene
    for name in ("repeatable", "applied", "asked", "calls"):
        await redis.delete(name)


async def checkpoint(
    scene: Scene, number: int, *, done: list[str], parent: int | None = None
) -> None:
    before = number - 1 if parent is None else parent
    config: Any = {"configurable": {"thread_id": THREAD, "checkpoint_ns": ""}}
    if before >= 0:
        config["configurable"]["checkpoint_id"] = f"{before:04d}"
    made = empty_checkpoint()
    made["id"] = f"{number:04d}"
    made["channel_values"] = {"done": done}
    made["channel_versions"] = {"done": f"{number:04d}"}
    metadata: Any = {"source": "loop", "step": number, "parents": {}}
    await scene.saver.aput(config, made, metadata, {"done": f"{number:04d}"})


async def test_it_is_content_with_a_run_that_went_well(scene: Scene) -> None:
    assert await scene.problems() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"records": {}}, "(i)"),
        (
            {"records": {"r": RunRecord(run_id="r", thread_id="t", status=RunStatus.RUNNING)}},
            "(i)",
        ),
        ({"books": {"r1": Books(requests=1, told=1, tokens=7)}}, "(iv)"),
    ],
)
async def test_it_misses_a_record_an_end_and_what_was_served(
    scene: Scene, changes: dict[str, Any], expected: str
) -> None:
    assert any(problem.startswith(expected) for problem in await scene.problems(**changes))


async def second_end(scene: Scene) -> None:
    await scene.redis.xadd(
        scene.keys.events("default", "t"), {"r": "r", "e": '{"type": "run.failed"}'}
    )


async def event_behind_the_end(scene: Scene) -> None:
    await scene.log.append("t", "r", [{"type": "graph.chunk"}])


async def fork(scene: Scene) -> None:
    await checkpoint(scene, 9, done=[f"r1:{step}" for step in steps_of(PROGRAM)], parent=1)


async def step_done_twice(scene: Scene) -> None:
    steps = [f"r1:{step}" for step in steps_of(PROGRAM)]
    await checkpoint(scene, len(steps), done=[*steps, steps[-1]])


async def effect_again(scene: Scene) -> None:
    await scene.world.effect(Done(run="r1", step="0", pid=2))


async def effect_missing(scene: Scene) -> None:
    await scene.redis.hdel("applied", "r1|2")


async def stuck_lease(scene: Scene) -> None:
    await scene.redis.zadd(scene.keys.runs_leases, {"r": 1})


async def stuck_fence(scene: Scene) -> None:
    await scene.redis.set(scene.keys.fence(THREAD), "r:1")


async def call_that_nobody_approved(scene: Scene) -> None:
    called = Called(tool="refund", order="a", amount=1, key="k", run_id="r", pid=1)
    await scene.world.call(called)


async def audit_entry_changed(scene: Scene) -> None:
    audit = Audit(scene.redis, scene.keys)
    await audit.append(Line(kind=Kind.LIMIT_RAISED, tenant="default", who="olga"))
    name = scene.keys.audit("default")
    ((entry_id, fields),) = cast("list[tuple[Any, Any]]", await scene.redis.xrange(name))
    await scene.redis.delete(name)
    body = fields[b"body"].replace(b"olga", b"omar")
    await scene.redis.xadd(name, {**fields, b"body": body}, id=entry_id)


async def decision_untold(scene: Scene) -> None:
    await scene.redis.zadd(scene.keys.approvals_resuming, {"r": 1})


async def approval_untold(scene: Scene) -> None:
    """As if it had been written past the audit log, and nobody had settled it."""
    new = NewApproval(run_id="r", thread_id="t", interrupt_id="i", tool="refund")
    store = ApprovalStore(scene.redis, scene.keys)
    line = Line(kind=Kind.REQUESTED, tenant="default")
    await store.request("a", new, sha="", fence="", pause=0, line=line)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (second_end, "(i)"),
        (event_behind_the_end, "(v)"),
        (fork, "(ii)"),
        (step_done_twice, "(ii)"),
        (effect_again, "(iii)"),
        (effect_missing, "(iii)"),
        (stuck_lease, "(vi)"),
        (stuck_fence, "(vi)"),
        (call_that_nobody_approved, "(iii)"),
        (audit_entry_changed, "(v)"),
        (decision_untold, "(vi)"),
        (approval_untold, "(v)"),
        (approval_untold, "(vi)"),
    ],
)
async def test_it_finds_what_may_not_be(
    scene: Scene, wrong: Callable[[Scene], Awaitable[None]], expected: str
) -> None:
    await wrong(scene)
    assert any(problem.startswith(expected) for problem in await scene.problems())


async def test_a_step_that_something_died_under_may_come_again(scene: Scene) -> None:
    await effect_again(scene)
    assert await scene.problems(repeated=Repeated(by_run={"r1": ["0"]})) == []
    assert await scene.problems(repeated=Repeated(anywhere=1)) == []
