"""The approval's states against a model of them: people, clocks and runs in any order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
from guardrails.policy import Terms
from server.approvals.record import (
    AlreadyDecidedError,
    Approval,
    ApprovalError,
    ApprovalStatus,
    ExpiredError,
    NotAllowedError,
    StaleArgumentsError,
)
from server.redis_client import open_redis
from server.runs.queue import RunQueue
from server.runs.transitions import RunStatus
from tests import examples
from tests.server.approvals.desk import ARGS, Desk, asking, desk_of

PEOPLE = ("olga", "omar", "oda", "ruth")
AMOUNTS = (90, 120, 300)
T = TypeVar("T")


@dataclass
class Model:
    """One approval as it has to stand. ``said`` is what each person said last."""

    quorum: int
    amount: int = 120
    status: ApprovalStatus = ApprovalStatus.PENDING
    said: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    agreed: dict[str, tuple[str, int]] = field(default_factory=dict)
    lines: int = 1
    over: bool = False
    late: bool = False
    used: str = ""
    resumed: bool = False

    def decide(self, who: str, choice: str, amount: int, saw: bool) -> type[ApprovalError] | None:
        """What the queue has to answer, None for a record."""
        asked = (choice, amount if choice == "edit" else None)
        again = self.said.get(who) == asked
        agreed = self.agreed.get(who)
        if again and (
            self.status is not ApprovalStatus.PENDING or (agreed and agreed[1] == self.amount)
        ):
            return None
        if self.status is ApprovalStatus.EXPIRED:
            return ExpiredError
        if self.status is not ApprovalStatus.PENDING:
            return AlreadyDecidedError
        if who == "ruth" and choice != "reject":
            return NotAllowedError
        if self.over:
            self.status, self.lines = ApprovalStatus.CANCELLED, self.lines + 1
            return AlreadyDecidedError
        if self.late:
            self.status, self.lines = ApprovalStatus.EXPIRED, self.lines + 1
            return ExpiredError
        if choice == "approve" and self.amount != 120 and not saw:
            return StaleArgumentsError
        if choice == "edit":
            self.amount = amount
        self.said[who] = asked
        self.agreed[who] = (choice, self.amount)
        self.lines += 1
        match choice:
            case "reject":
                self.status = ApprovalStatus.REJECTED
            case "respond":
                self.status = ApprovalStatus.RESPONDED
            case _:
                yes = [
                    one
                    for one, of in self.agreed.values()
                    if one in {"approve", "edit"} and of == self.amount
                ]
                if len(yes) >= self.quorum:
                    edited = "edit" in yes or self.amount != 120
                    self.status = ApprovalStatus.EDITED if edited else ApprovalStatus.APPROVED
        return None


@dataclass(kw_only=True)
class Shared:
    """One loop, one queue and one desk for all examples, each of which has a tenant of its own."""

    runner: asyncio.Runner
    desk: Desk
    examples: Any = field(default_factory=itertools.count)

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())


class Machine(RuleBasedStateMachine):
    """One approval at a time on a real Redis."""

    shared: Shared

    def __init__(self) -> None:
        super().__init__()
        self.desk = self.shared.desk
        self.run = self.shared.run
        self.tenant = f"t{next(self.shared.examples)}"
        self.one: Approval | None = None
        self.model = Model(quorum=1)
        self.total = 0

    def teardown(self) -> None:
        verdict = self.run(self.desk.audit.verify(self.tenant))
        assert verdict.whole
        assert verdict.entries == self.total + (self.model.lines if self.one else 0)

    @rule(quorum=st.integers(1, 3))
    def ask(self, quorum: int) -> None:
        if self.one is not None:
            # What is due to the one before is done, and nothing happens to it any more.
            self.sweep()
            self.total += self.model.lines
        run = self.run(self.desk.running(tenant=self.tenant))
        new = asking(run, terms=Terms(quorum=quorum))
        self.one = self.run(self.desk.pause(run, new))[0]
        self.model = Model(quorum=quorum)

    @precondition(lambda self: self.one is not None)
    @rule(
        who=st.sampled_from(PEOPLE),
        choice=st.sampled_from(["approve", "edit", "reject", "respond"]),
        amount=st.sampled_from(AMOUNTS),
        saw=st.booleans(),
    )
    def decide(self, who: str, choice: str, amount: int, saw: bool) -> None:
        one = self.now()
        given: dict[str, Any] = {"args_sha256": one.args_sha256} if saw else {}
        if choice == "edit":
            given["args"] = {**ARGS, "amount": amount}
        if choice == "respond":
            given["message"] = "m"
        expected = self.model.decide(who, choice, amount, saw)
        if expected is None:
            self.run(self.desk.decide(one, choice, who=who, tenant=self.tenant, **given))
        else:
            with pytest.raises(expected):
                self.run(self.desk.decide(one, choice, who=who, tenant=self.tenant, **given))

    @precondition(lambda self: self.one is not None)
    @rule()
    def time_goes_by(self) -> None:
        assert self.one is not None
        if self.model.status is ApprovalStatus.PENDING:
            self.run(self.desk.over_now(self.one))
            self.model.late = True

    @precondition(lambda self: self.one is not None)
    @rule()
    def sweep(self) -> None:
        self.run(self.desk.sweeper.sweep())
        if self.model.status is ApprovalStatus.PENDING and self.model.over:
            self.model.status, self.model.lines = ApprovalStatus.CANCELLED, self.model.lines + 1
        elif self.model.status is ApprovalStatus.PENDING and self.model.late:
            self.model.status, self.model.lines = ApprovalStatus.EXPIRED, self.model.lines + 1

    @precondition(lambda self: self.one is not None)
    @rule(how=st.sampled_from(["cancel", "message"]))
    def the_run_ends(self, how: str) -> None:
        assert self.one is not None
        run = self.run(self.desk.run_of(self.one))
        if run.status is not RunStatus.INTERRUPTED:
            return
        if how == "cancel":
            self.run(self.desk.runs.cancel(run.run_id, tenant=self.tenant))
        else:
            self.run(self.desk.running(run.thread_id, tenant=self.tenant))
        self.model.over = True

    @precondition(lambda self: self.one is not None)
    @rule(call=st.sampled_from(["c1", "c2"]))
    def use(self, call: str) -> None:
        one = self.now()
        used = self.run(
            self.desk.approvals.consume(
                run_id=one.run_id,
                tool=one.tool,
                args_sha256=one.args_sha256,
                call_id=call,
                fence="",
            )
        )
        may = self.model.status.permits and self.model.used in {"", call}
        assert (used is not None) == may
        if may and not self.model.used:
            self.model.used, self.model.lines = call, self.model.lines + 1

    @invariant()
    def it_stands_as_the_model_says(self) -> None:
        if self.one is None:
            return
        one = self.now()
        assert one.status is self.model.status
        assert one.final_args["amount"] == self.model.amount
        head = self.run(self.desk.audit.head(self.tenant))
        assert head.seq == self.total + self.model.lines
        run = self.run(self.desk.run_of(one))
        ended = one.status not in {ApprovalStatus.PENDING, ApprovalStatus.CANCELLED}
        assert run.resumes <= 1
        assert run.resumes == 0 or ended
        waiting = self.run(
            self.desk.redis.zscore(self.desk.keys.approvals_expiring, one.approval_id)
        )
        assert (waiting is not None) == (one.status is ApprovalStatus.PENDING)

    def now(self) -> Approval:
        assert self.one is not None
        return self.run(self.desk.approvals.get(self.one.approval_id, tenant=self.tenant))


def test_an_approval_does_what_its_model_says(redis_url: str, keys: Keys) -> None:
    """Not asynchronous itself: hypothesis is not."""
    with asyncio.Runner() as runner:
        redis = open_redis(redis_url)
        queue = RunQueue(redis_url, keys)

        async def opened() -> Desk:
            return desk_of(redis, keys, await queue.__aenter__())

        async def closed() -> None:
            await queue.__aexit__(None, None, None)
            await redis.aclose()

        shared = Shared(runner=runner, desk=runner.run(opened()))
        try:
            run_state_machine_as_test(
                type("Bound", (Machine,), {"shared": shared}),
                settings=settings(
                    max_examples=examples.times(12),
                    stateful_step_count=12,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(closed())
