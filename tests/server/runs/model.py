"""What is known of runs beside Redis, and what has to hold of both at any time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from graphs.keys import Keys
from server.redis_client import open_redis
from server.runs.admission import Admission
from server.runs.asked import CancelAction
from server.runs.leases import Leases
from server.runs.moves import ClaimOutcome
from server.runs.record import (
    RunNotFoundError,
    RunRecord,
    decoded,
)
from server.runs.records import RunRecords
from server.runs.transitions import RunStatus, may_follow
from tests.server.runs.stores import indexes

TENANTS = ("a", "b")
THREADS = ("1", "2")
LIMIT = 1
WINDOW = 2
ATTEMPTS = 2
END: Mapping[str, Any] = {"type": "run.finished"}
PAUSE: Mapping[str, Any] = {"type": "run.interrupted"}
LIVE = {RunStatus.PENDING, RunStatus.RUNNING}

Reply = TypeVar("Reply")


@dataclass
class Run:
    """What the model knows of a run."""

    tenant: str
    thread: str
    order: int
    status: RunStatus = RunStatus.PENDING
    attempts: int = 0
    token: int = 0
    cancel: CancelAction | None = None
    due: bool = False
    undo: bool = False
    lease_over: bool = False

    def becomes(self, status: RunStatus) -> None:
        assert status in may_follow(self.status), (self.status, status)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is stored: indexes, and of each thread its queue, its fence, its status and pause."""

    all: set[str]
    dispatched: set[str]
    leases: set[str]
    running: Mapping[str, set[str]]
    threads: Mapping[tuple[str, str], tuple[list[str], bytes | None, Any]]
    records: Mapping[str, RunRecord]


class Model(RuleBasedStateMachine):
    """The runs as they should be; after each move the store agrees."""

    counter = itertools.count()

    def __init__(self, url: str, keys: Keys) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.redis: Any = open_redis(url)
        self.keys = Keys(prefix=f"{keys.prefix}{next(self.counter)}:")
        self.records = RunRecords(
            self.redis,
            self.keys,
            max_attempts=ATTEMPTS,
            admission=Admission(tenant_concurrency=LIMIT, window=WINDOW),
        )
        self.leases = Leases(self.records, patience_seconds=60)
        self.runs: dict[str, Run] = {}
        self.orders = itertools.count()
        self.names = itertools.count()

    def do(self, move: Awaitable[Reply]) -> Reply:
        async def awaited() -> Reply:
            return await move

        return self.loop.run(awaited())

    def some(self, data: st.DataObject, *statuses: RunStatus) -> str:
        found = sorted(i for i, run in self.runs.items() if run.status in statuses)
        return data.draw(st.sampled_from(found))

    def has(self, *statuses: RunStatus) -> bool:
        return any(run.status in statuses for run in self.runs.values())

    def queue(self, tenant: str, thread: str) -> list[str]:
        """The thread's runs that are under way or keep it, in order."""
        found = [
            (run.order, i)
            for i, run in self.runs.items()
            if (run.tenant, run.thread) == (tenant, thread)
            and ((run.status in LIVE and not run.due) or run.undo)
        ]
        return [i for _, i in sorted(found)]

    def dispatched(self) -> set[str]:
        found = self.do(self.redis.zrange(self.keys.runs_dispatched, 0, -1))
        return {word.decode() for word in found}

    def over(self, run: Run, status: RunStatus) -> None:
        run.becomes(status)
        run.lease_over = False
        run.undo = status is RunStatus.CANCELLED and run.cancel is CancelAction.ROLLBACK

    async def seen(self) -> Seen:
        """All that is stored, in one look."""
        pairs = list(itertools.product(TENANTS, THREADS))
        async with self.redis.pipeline(transaction=False) as pipeline:
            for name in (self.keys.runs_all, self.keys.runs_dispatched, self.keys.runs_leases):
                pipeline.zrange(name, 0, -1)
            for tenant in TENANTS:
                pipeline.smembers(self.keys.tenant_running(tenant))
            for tenant, thread in pairs:
                pipeline.zrange(self.keys.thread_queue(tenant, thread), 0, -1)
                pipeline.get(self.keys.fence(f"{tenant}:{thread}"))
                pipeline.hmget(self.keys.thread_record(tenant, thread), "status", "paused")
            for run_id in self.runs:
                pipeline.hgetall(self.keys.run(run_id))
            found = iter(await pipeline.execute())

        def words() -> list[str]:
            return [word.decode() for word in next(found)]

        return Seen(
            all=set(words()),
            dispatched=set(words()),
            leases=set(words()),
            running={tenant: set(words()) for tenant in TENANTS},
            threads={pair: (words(), next(found), next(found)) for pair in pairs},
            records={run_id: decoded(run_id, next(found)) for run_id in self.runs},
        )

    @invariant()
    def the_store_agrees(self) -> None:
        seen = self.do(self.seen())
        assert seen.all == set(self.runs)
        for run_id, run in self.runs.items():
            record = seen.records[run_id]
            assert (record.status, record.attempts, record.token, record.undo) == (
                run.status,
                run.attempts,
                run.token,
                run.undo,
            )
        self.one_run_of_a_thread_holds_its_fence(seen)
        self.nobody_has_more_than_his_share(seen)
        self.no_slot_is_free_while_a_run_may_begin(seen)

    def one_run_of_a_thread_holds_its_fence(self, seen: Seen) -> None:
        for (tenant, thread), (stored, fence, (said, paused)) in seen.threads.items():
            queue = self.queue(tenant, thread)
            running = [i for i in queue if self.runs[i].status is RunStatus.RUNNING]
            assert running in ([], queue[:1])
            holder = f"{running[0]}:{self.runs[running[0]].token}".encode() if running else None
            assert fence == holder
            assert stored == queue
            if queue:
                assert said == b"busy"
            elif said is not None:
                assert said != b"busy"
                assert (said == b"interrupted") == bool(paused)

    def nobody_has_more_than_his_share(self, seen: Seen) -> None:
        assert len(seen.dispatched) <= WINDOW
        for tenant, stored in seen.running.items():
            mine = {i for i in seen.dispatched if self.runs[i].tenant == tenant}
            assert len(mine) <= LIMIT
            assert stored == mine
        running = {i for i, run in self.runs.items() if run.status is RunStatus.RUNNING}
        assert running <= seen.dispatched
        assert seen.leases == running

    def no_slot_is_free_while_a_run_may_begin(self, seen: Seen) -> None:
        tenants = {self.runs[i].tenant for i in seen.dispatched}
        for tenant, thread in itertools.product(TENANTS, THREADS):
            head = self.queue(tenant, thread)[:1]
            if head and self.runs[head[0]].status is RunStatus.PENDING and tenant not in tenants:
                assert len(seen.dispatched) == WINDOW, (head, seen.dispatched)

    def teardown(self) -> None:
        """All that may go on goes on to its end, and then nothing is left."""
        try:
            for run_id, run in list(self.runs.items()):
                if run.due:
                    self.do(self.redis.zadd(self.keys.runs_due, {run_id: 1}))
                    run.due = False
            self.do(self.leases.reap(alone=True))
            for _ in range(3 * len(self.runs) + 1):
                for run_id in self.dispatched():
                    claim = self.do(self.records.claim(run_id))
                    if claim.outcome is ClaimOutcome.ELSEWHERE:
                        # One that had been put off came due, and stands before it on its thread.
                        continue
                    to = RunStatus.SUCCESS
                    if claim.outcome is ClaimOutcome.UNWANTED:
                        to = RunStatus.CANCELLED
                    elif claim.outcome is ClaimOutcome.EXHAUSTED:
                        to = RunStatus.ERROR
                    self.do(
                        self.records.move(
                            run_id,
                            expected=frozenset({RunStatus.RUNNING}),
                            to=to,
                            told=END,
                            token=claim.token,
                        )
                    )
                for run_id in self.do(self.records.untold()):
                    self.do(self.records.closed(run_id))
            left = self.do(indexes(self.redis, self.keys))
            left.pop("all", None)
            left.pop("dead", None)
            assert left == {}
            for run_id in self.runs:
                try:
                    record = self.do(self.records.get(run_id))
                except RunNotFoundError:
                    continue
                assert record.status not in LIVE
        finally:
            self.do(self.redis.aclose())
            self.loop.close()
