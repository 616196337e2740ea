"""The whole records layer against a model in memory: any order of moves, on a real Redis."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)

from graphs.keys import Keys
from server.runs.asked import Asked, CancelAction, MultitaskStrategy
from server.runs.leases import Pulse
from server.runs.moves import ClaimOutcome
from server.runs.record import (
    RunConflictError,
    RunFencedError,
    RunRecord,
    RunUnwantedError,
    ThreadBusyError,
)
from server.runs.transitions import RunStatus
from tests import examples
from tests.server.runs.model import ATTEMPTS, END, LIVE, PAUSE, TENANTS, THREADS, WINDOW, Model, Run


class Machine(Model):
    """Moves by chance."""

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
        run = self.runs[run_id]
        undone = run.cancel is CancelAction.ROLLBACK
        if undone or (run.cancel is not None and status is RunStatus.INTERRUPTED):
            with pytest.raises(RunUnwantedError):
                self.do(self.move(run_id, status, token=run.token))
            status = RunStatus.CANCELLED
        self.end(run_id, status)

    def end(self, run_id: str, status: RunStatus) -> None:
        run = self.runs[run_id]
        with pytest.raises(RunFencedError):
            self.do(self.move(run_id, status, token=run.token - 1))
        self.do(self.move(run_id, status, token=run.token))
        self.over(run, status)

    def move(self, run_id: str, status: RunStatus, *, token: int) -> Awaitable[Any]:
        told = PAUSE if status is RunStatus.INTERRUPTED else END
        running = frozenset({RunStatus.RUNNING})
        return self.records.move(run_id, expected=running, to=status, told=told, token=token)

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
            run = self.runs[run_id]
            kept = Pulse.RENEWED if run.lease_over else Pulse.GOOD
            assert pulse is (kept if run.cancel is None else Pulse.UNWANTED)
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


def test_any_order_of_moves_keeps_what_is_promised(redis_url: str, keys: Keys) -> None:
    run_state_machine_as_test(
        cast("Any", lambda: Machine(redis_url, keys)),
        settings=settings(
            max_examples=examples.times(20),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
