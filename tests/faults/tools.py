"""Tools that write, counted in the world, and the policy that has a person asked about them.

A call for less than ``SHORT`` waits for ``SHORT_SECONDS``, so that a scenario may let it expire.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, Field

from agents.agent import Agent
from guardrails import conditions, policy
from tests.faults.graph import hold
from tests.faults.world import Called, Phase, Place, World
from tools.tool import Effect, Tool, ToolContext, ToolResult

REFUND, UPDATE = "refund", "update_ticket"
NAMES = (REFUND, UPDATE)
SHORT = 10
SHORT_SECONDS = 1.5

_ASK = policy.Decision.ASK
_BRIEF = policy.Terms(expires_seconds=SHORT_SECONDS)

RULES = (
    policy.Rule(
        tool=REFUND, when=(conditions.parse("amount > 1000"),), decision=policy.Decision.DENY
    ),
    *(
        policy.Rule(
            tool=name, when=(conditions.parse(f"amount < {SHORT}"),), decision=_ASK, terms=_BRIEF
        )
        for name in NAMES
    ),
    *(policy.Rule(tool=name, decision=_ASK, reason="money leaves") for name in NAMES),
    policy.Rule(tool="*", decision=policy.Decision.ALLOW),
)

TOML = f"""
[[policy]]
tool = "{REFUND}"
when = ["amount > 1000"]
effect = "deny"

[[policy]]
tool = "*"
effect = "ask"
"""
"""The same for a server, which judges edits by it."""


class Money(BaseModel):
    """``order`` names the call in the world."""

    order: str = Field(max_length=50)
    amount: int


def writing(world: World) -> Sequence[Tool]:
    """One tool that may not be repeated, one that may."""

    def tool(name: str, effect: Effect) -> Tool:
        async def call(arguments: Money, context: ToolContext) -> ToolResult:
            order = arguments.order
            await hold(world, Place(run=order, step=name, phase=Phase.BEFORE))
            called = Called(
                tool=name,
                order=order,
                amount=arguments.amount,
                key=context.idempotency_key,
                run_id=context.run_id,
                pid=os.getpid(),
            )
            await world.call(called)
            await hold(world, Place(run=order, step=name, phase=Phase.AFTER))
            return ToolResult(content=f"{name} of {arguments.amount} for {order} is done")

        return Tool(name=name, description=name, parameters=Money, effect=effect, call=call)

    return [tool(REFUND, Effect.WRITES_ONCE), tool(UPDATE, Effect.WRITES_REPEATABLE)]


def armed(agents: Mapping[str, Agent]) -> dict[str, Agent]:
    """The agents, with these tools in the researcher's hands."""
    researcher = agents["researcher"]
    return {**agents, "researcher": replace(researcher, tools=(*researcher.tools, *NAMES))}
