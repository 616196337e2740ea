"""The whole records layer against a model in memory: any order of moves, on a real Redis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from graphs.keys import Keys
from server.redis_client import open_redis
from server.runs.admission import Admission
from server.runs.asked import Asked, CancelAction, MultitaskStrategy
from server.runs.leases import Leases, Pulse
from server.runs.moves import ClaimOutcome
from server.runs.record import (
    RunConflictError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    ThreadBusyError,
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


class Machine(RuleBasedStateMachine):
    """Moves by chance; after each one the store agrees with the model."""

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

    # What callers do.

    @rule(
        tenant=st.sampled_from(TENANTS),
        thread=st.sampled_from(THREADS),
        strategy=st.sampled_from(MultitaskStrategy),
        later=st.sampled_from((0, 0, 0, 3600)),
    )
    def create(self, tenant: str, thread: str, strategy: MultitaskStrategy, later: float) -> None:
        run_id = f"r{next(self.names)}"
        record = RunRecord(
            run_id=run_id, tenant=tenant, thread_id=thread, asked=Asked(multitask=strategy)
        )
        before = self.queue(tenant, thread)
        try:
            self.do(self.records.create(record, after_seconds=later))
        except ThreadBusyError:
            assert strategy is MultitaskStrategy.REJECT
            assert before
            return
        assert not (strategy is MultitaskStrategy.REJECT and before)
        if strategy in {MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK}:
            for other in (self.runs[i] for i in before):
                if other.status in LIVE:
                    other.cancel = CancelAction(strategy.value)
                if other.status is RunStatus.PENDING:
                    self.over(other, RunStatus.CANCELLED)
        self.runs[run_id] = Run(tenant, thread, next(self.orders), due=later > 0)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), action=st.sampled_from(CancelAction))
    def cancel(self, data: st.DataObject, action: CancelAction) -> None:
        run_id = self.some(data, *RunStatus)
        run = self.runs[run_id]
        before, _ = self.do(self.records.cancel(run_id, action=action))
        assert before is run.status
        if not run.status.is_terminal:
            run.cancel = action
        if run.status in {RunStatus.PENDING, RunStatus.INTERRUPTED}:
            run.due = False
            self.over(run, RunStatus.CANCELLED)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        run_id = self.some(data, *RunStatus)
        run = self.runs[run_id]
        try:
            self.do(self.records.delete(run_id))
        except RunConflictError:
            assert run.status in LIVE or run.undo
            return
        assert run.status not in LIVE
        del self.runs[run_id]

    @precondition(lambda self: self.has(RunStatus.INTERRUPTED))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        run_id = self.some(data, RunStatus.INTERRUPTED)
        run = self.runs[run_id]
        try:
            self.do(self.records.resume(run_id, value="yes"))
        except RunConflictError:
            # Another paused run of the thread is the one that it waits for.
            thread = self.do(self.redis.hgetall(self.keys.thread_record(run.tenant, run.thread)))
            assert thread[b"paused"] != run_id.encode()
            return
        run.becomes(RunStatus.PENDING)
        run.attempts = 0

    # What workers do.

    @precondition(lambda self: self.has(*LIVE))
    @rule(data=st.data(), known=st.sampled_from((0, 1, 1, 1)))
    def claim(self, data: st.DataObject, known: int) -> None:
        run_id = self.some(data, *LIVE)
        run = self.runs[run_id]
        head = self.queue(run.tenant, run.thread)[:1] == [run_id]
        may = head and run_id in self.dispatched()
        free = run.status is RunStatus.PENDING or run.lease_over
        self.records.known_format = known
        claim = self.do(self.records.claim(run_id, worker="w"))
        self.records.known_format = 1
        if not (may and free):
            assert claim.outcome is ClaimOutcome.ELSEWHERE
            return
        if known == 0:
            assert claim.outcome is ClaimOutcome.PARKED
            run.status = RunStatus.PENDING
            run.lease_over = False
            self.reap()
            return
        run.token += 1
        run.lease_over = False
        run.status = RunStatus.RUNNING
        if run.cancel is not None:
            assert claim.outcome is ClaimOutcome.UNWANTED
            self.end(run_id, RunStatus.CANCELLED)
        elif run.attempts >= ATTEMPTS:
            assert claim.outcome is ClaimOutcome.EXHAUSTED
            self.end(run_id, RunStatus.ERROR)
        else:
            assert claim.outcome is ClaimOutcome.HELD
            run.attempts += 1
            for other in self.runs.values():
                paused = other.status is RunStatus.INTERRUPTED
                if paused and (other.tenant, other.thread) == (run.tenant, run.thread):
                    self.over(other, RunStatus.CANCELLED)
        assert (claim.attempt, claim.token) == (run.attempts, run.token)

    @precondition(lambda self: self.has(RunStatus.RUNNING))
    @rule(
        data=st.data(),
        status=st.sampled_from(
            (RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.INTERRUPTED)
        ),
    )
    def finish(self, data: st.DataObject, status: RunStatus) -> None:
        run_id = self.some(data, RunStatus.RUNNING)
        if self.runs[run_id].cancel is not None:
            status = RunStatus.CANCELLED
        self.end(run_id, status)

    def end(self, run_id: str, status: RunStatus) -> None:
        run = self.runs[run_id]

        def move(token: int) -> Awaitable[Any]:
            told = PAUSE if status is RunStatus.INTERRUPTED else END
            running = frozenset({RunStatus.RUNNING})
            return self.records.move(run_id, expected=running, to=status, told=told, token=token)

        with pytest.raises(RunFencedError):
            self.do(move(run.token - 1))
        self.do(move(run.token))
        self.over(run, status)

    @precondition(lambda self: self.has(RunStatus.RUNNING))
    @rule(data=st.data(), stale=st.booleans())
    def release(self, data: st.DataObject, stale: bool) -> None:
        run_id = self.some(data, RunStatus.RUNNING)
        run = self.runs[run_id]
        queued = self.do(self.records.release(run_id, token=run.token - stale))
        assert (queued is None) == stale
        if not stale:
            run.becomes(RunStatus.PENDING)
            run.attempts -= 1
            run.lease_over = False

    @rule()
    def beat(self) -> None:
        held = {i: run.token for i, run in self.runs.items() if run.status is RunStatus.RUNNING}
        gone = {"gone": 1, **dict.fromkeys(list(held)[:1], 99)}
        pulses, _ = self.do(self.leases.beat("w", slots=WINDOW, held=held))
        for run_id, pulse in pulses.items():
            wanted = self.runs[run_id].cancel is None
            assert pulse is (Pulse.RENEWED if wanted else Pulse.UNWANTED)
            self.runs[run_id].lease_over = False
        lost, _ = self.do(self.leases.beat("v", slots=0, held=gone))
        assert set(lost.values()) == {Pulse.LOST}

    # What time does.

    @precondition(lambda self: self.has(RunStatus.RUNNING))
    @rule(data=st.data())
    def lease_ends(self, data: st.DataObject) -> None:
        run_id = self.some(data, RunStatus.RUNNING)
        self.do(self.redis.hset(self.keys.run(run_id), "lease", 1))
        self.do(self.redis.zadd(self.keys.runs_leases, {run_id: 1}))
        self.runs[run_id].lease_over = True

    @precondition(lambda self: any(run.due for run in self.runs.values()))
    @rule(data=st.data())
    def is_due(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(i for i, run in self.runs.items() if run.due)))
        self.do(self.redis.zadd(self.keys.runs_due, {run_id: 1}))
        self.reap()
        run = self.runs[run_id]
        run.due, run.order = False, next(self.orders)

    @rule()
    def reap(self) -> None:
        found = self.do(self.leases.reap())
        over = {i for i, run in self.runs.items() if run.lease_over}
        assert set(found.lost) == over
        for run_id in over:
            self.runs[run_id].becomes(RunStatus.PENDING)
            self.runs[run_id].lease_over = False

    @rule()
    def tell(self) -> None:
        for run_id in self.do(self.records.untold()):
            self.do(self.records.closed(run_id))
            run = self.runs.get(run_id)
            if run is not None and run.undo:
                del self.runs[run_id]

    # What always holds.

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


def test_any_order_of_moves_keeps_what_is_promised(redis_url: str, keys: Keys) -> None:
    run_state_machine_as_test(
        cast("Any", lambda: Machine(redis_url, keys)),
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
