"""What a run of the team is given: models, tools, policy, limits; handed down, never imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents import agent as agent_module
from graphs import events
from graphs.effects import Effects, MemoryEffects
from graphs.permits import NoPermits, Permits
from guardrails import limits, policy
from guardrails.hosts import HostPattern
from models.attempts import ENDED, Ending, TokenUsage
from models.chat import ChatModel
from models.registry import Role
from tools.file_preview import Files, NamedFiles
from tools.tool import Tool

Emit = Callable[[events.RunEvent], None]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One provider attempt: what it may use at worst, or what it used. ``cost`` in US dollars."""

    input_tokens: int
    output_tokens: int
    cost: float


class DurableLedger(Protocol):
    """Where a run's spending outlives its worker; it refuses a worker that lost the run.

    ``spent`` is the ledger's whole count so far, of which steps, tool calls and seconds are kept.
    """

    async def reserve(self, worst: Attempt, *, spent: limits.Spent) -> str:
        """Count an attempt before it is sent; gives its id. Raises graphs.fence.FencedError."""
        ...

    async def settle(
        self, attempt_id: str, worst: Attempt, used: Attempt, *, spent: limits.Spent
    ) -> None:
        """Replace what was counted by what was used. Raises graphs.fence.FencedError."""
        ...


@dataclass(frozen=True, kw_only=True)
class TeamContext:
    """Everything that one run may use; ``agent`` is ``team``, or one agent to run alone.

    ``tell`` takes the run's events, at once and in order.
    ``durable`` mirrors the ledger; ``overheard`` says that somebody reads what models write.
    ``user`` asked for the run, with ``roles``. ``permits`` are people's decisions, ``effects`` the
    notes of what was done, ``files`` those that the thread's user gave. A tool call may take
    ``tool_seconds``. Links in answers lead to ``link_hosts`` only. ``apart``: somebody stops
    between nodes, so each is a step of its own. ``steered``: a caller has written what it goes on
    from, so that what was asked and found may be his own words.
    """

    run_id: str
    thread_id: str
    tenant: str
    collection: str
    agent: str
    agents: Mapping[str, agent_module.Agent]
    models: Mapping[Role, ChatModel]
    tools: Mapping[str, Tool]
    rules: Sequence[policy.Rule]
    ledger: limits.Ledger
    tell: Emit
    max_rounds: int = 2
    durable: DurableLedger | None = None
    overheard: bool = False
    user: str = ""
    roles: frozenset[str] = frozenset()
    permits: Permits = field(default_factory=NoPermits)
    effects: Effects = field(default_factory=MemoryEffects)
    tool_seconds: float | None = None
    link_hosts: Sequence[HostPattern] = ()
    files: Files = field(default_factory=NamedFiles)
    apart: bool = False
    steered: bool = False

    def model_for(self, agent: agent_module.Agent) -> ChatModel:
        return self.models[agent.role]

    def judge(self, tool: str, args: Mapping[str, Any], *, agent: str) -> policy.PolicyVerdict:
        """What the policy says about a call."""
        call = policy.Call(tool=tool, args=args, agent=agent, tenant=self.tenant, roles=self.roles)
        return policy.decide(self.rules, call)


class LedgerGate:
    """Takes each provider attempt of one agent through the run's ledger, and tells of it."""

    def __init__(
        self,
        ledger: limits.Ledger,
        *,
        agent: str,
        task_id: str,
        emit: Emit,
        durable: DurableLedger | None = None,
    ) -> None:
        self._ledger = ledger
        self._agent = agent
        self._task_id = task_id
        self._emit = emit
        self._durable = durable
        self._reservation: limits.Reservation | None = None
        self._worst = Attempt(input_tokens=0, output_tokens=0, cost=0)
        self._attempt_id = ""
        self._attempts = 0
        # A gate is made for one step, once that is counted.
        self._step = ledger.spent.steps

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        """Raises guardrails.limits.LimitExceededError when the worst case does not fit."""
        del model
        reservation = self._ledger.reserve(tokens=input_tokens + max_output_tokens, cost=max_cost)
        self._worst = Attempt(
            input_tokens=input_tokens, output_tokens=max_output_tokens, cost=max_cost
        )
        if self._durable is not None:
            try:
                self._attempt_id = await self._durable.reserve(
                    self._worst, spent=self._ledger.spent
                )
            except limits.LimitExceededError:
                # A budget above the run's own said no: nothing was sent.
                self._ledger.release(reservation)
                raise
        self._reservation = reservation

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        if self._reservation is None:
            raise RuntimeError("settled without a reservation")
        self._attempts += 1
        used = Attempt(
            input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=cost
        )
        self._ledger.settle(
            self._reservation,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost=cost,
        )
        self._reservation = None
        if self._durable is not None:
            await self._durable.settle(
                self._attempt_id, self._worst, used, spent=self._ledger.spent
            )
        self._emit(
            events.ModelCalled(
                agent=self._agent,
                task_id=self._task_id,
                model=model,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost=cost,
                seconds=seconds,
                ok=ending.ok,
                attempt=self._attempts,
                step=self._step,
                error=ending.error,
                finish_reason=ending.finish,
                first_token_seconds=ending.first,
                cached_tokens=usage.cached_tokens,
            )
        )


def usage_of(spent: limits.Spent) -> events.Usage:
    """The ledger's count in the shape that events carry."""
    return events.Usage(
        steps=spent.steps,
        model_calls=spent.model_calls,
        tool_calls=spent.tool_calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost=spent.cost,
        seconds=spent.seconds,
    )


def now() -> float:
    """Wall clock, seconds; survives a resume on another process, unlike a monotonic one."""
    return time.time()
