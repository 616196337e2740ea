"""A team whose researcher has tools that write, and people who are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, field_validator

from agents import roster
from agents.agent import Agent
from graphs import events
from graphs.effects import Effects, MemoryEffects
from graphs.permits import MemoryPermits, Permits
from guardrails import conditions, limits, policy
from models.chat import ChatModel
from models.registry import Role
from models.scripted import Scripted, ScriptedModel
from server.registry import GraphRegistry
from server.runs.asked import of_messages
from server.runs.ledger import MemoryRunLedgers
from server.runs.record import RunRecord
from server.team import TeamExecutor
from tests.graphs.team_house import Query, passage, searching
from tools.tool import Effect, Tool, ToolContext, ToolResult

__all__ = ["Desk", "Query", "passage"]

RULES = (
    policy.Rule(
        tool="refund", decision=policy.Decision.DENY, when=(conditions.parse("amount > 1000"),)
    ),
    policy.Rule(
        tool="refund",
        decision=policy.Decision.ASK,
        reason="money leaves",
        terms=policy.Terms(self_approval=True),
    ),
    policy.Rule(tool="update_ticket", decision=policy.Decision.ALLOW),
    policy.Rule(tool="search_documents", decision=policy.Decision.ALLOW),
)


class Refund(BaseModel):
    order: str = Field(max_length=50)
    amount: int

    @field_validator("amount")
    @classmethod
    def _positive(cls, value: int) -> int:
        """In no schema, so that a script may call it wrongly."""
        if value <= 0:
            raise ValueError("has to be more than 0")
        return value


class Ticket(BaseModel):
    text: str = Field(max_length=200)


@dataclass
class World:
    """What the tools really did."""

    did: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    break_after: bool = False
    note: str = ""
    holds: asyncio.Event | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def tool(self, name: str, parameters: type[BaseModel], effect: Effect) -> Tool:
        async def call(arguments: BaseModel, context: ToolContext) -> ToolResult:
            self.did.append((name, arguments.model_dump()))
            self.keys.append(context.idempotency_key)
            self.began.set()
            if self.holds is not None:
                await self.holds.wait()
            if self.break_after:
                raise ConnectionError("the worker dies here")
            return ToolResult(
                content=f"{name} done for {context.user or 'nobody'} {self.note}".rstrip()
            )

        return Tool(name=name, description=name, parameters=parameters, effect=effect, call=call)

    def tools(self) -> list[Tool]:
        return [
            self.tool("refund", Refund, Effect.WRITES_ONCE),
            self.tool("update_ticket", Ticket, Effect.WRITES_REPEATABLE),
        ]

    def refunds(self) -> list[int]:
        return [args["amount"] for name, args in self.did if name == "refund"]


def armed(agents: Mapping[str, Agent], *names: str) -> dict[str, Agent]:
    """The agents, with the writing tools in the researcher's hands."""
    found = dict(agents)
    found["researcher"] = replace(
        found["researcher"], tools=(*found["researcher"].tools, "refund", "update_ticket", *names)
    )
    return found


class Desk:
    """One team, one thread, and the people who answer. ``run`` begins, ``decide`` goes on."""

    def __init__(
        self,
        model: ScriptedModel,
        *,
        rules: Sequence[policy.Rule] = RULES,
        permits: Permits | None = None,
        effects: Effects | None = None,
        saver: BaseCheckpointSaver[str] | None = None,
        world: World | None = None,
        tools: Sequence[Tool] = (),
        tool_seconds: float | None = None,
        **maxima: Any,
    ) -> None:
        self.world = world or World()
        self.permits = permits or MemoryPermits()
        self.effects = effects or MemoryEffects()
        self.events: list[events.RunEvent] = []
        self.record = RunRecord(run_id="run", thread_id="thread", token=0)
        asked: list[str] = []
        own = [*self.world.tools(), searching({}, asked), *tools]
        models: dict[Role, ChatModel] = dict.fromkeys(Role, model)
        self.executor = TeamExecutor(
            registry=GraphRegistry(saver=saver or InMemorySaver()),
            ledgers=MemoryRunLedgers(),
            agents=armed(roster.build(), *(tool.name for tool in tools)),
            models=models,
            tools={tool.name: tool for tool in own},
            rules=rules,
            limits=limits.Limits(
                **{"steps": 20, "tokens": 100_000, "cost": 1.0, "seconds": 60.0, **maxima}
            ),
            permits=lambda _: self.permits,
            effects=lambda _: self.effects,
            tool_seconds=tool_seconds,
        )

    async def run(self, said: str = "Refund order 7", *, agent: str = "researcher") -> Any:
        asked = of_messages([{"role": "user", "content": said}], agent=agent)
        self.record = replace(self.record, asked=replace(asked, user="ada"), token=1)
        return await self._advance()

    async def again(self) -> Any:
        """The worker died; another one takes the run."""
        self.record = replace(self.record, token=self.record.token + 1)
        return await self._advance()

    async def decide(self, answers: Any) -> Any:
        """Let the paused run go on with what was decided."""
        self.record = replace(
            self.record,
            token=self.record.token + 1,
            resumes=self.record.resumes + 1,
            resume=answers,
        )
        return await self._advance()

    async def _advance(self) -> Any:
        outcome = await self.executor(self.record, self.events.append)
        self.record = replace(self.record, result=outcome.model_dump(mode="json"))
        return outcome

    def told(self, kind: type[events._Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def refunds(*amounts: int, then: str = "Done.", seen: Callable[[str], bool] | None = None) -> Any:
    """A researcher who wants refunds, reads what came of it, and says a last word."""

    def looks(asked: Any) -> bool:
        return seen is None or seen(asked.text)

    return ScriptedModel(
        steps=[
            Scripted(
                agent="researcher",
                calls=tuple(("refund", {"order": "7", "amount": one}) for one in amounts),
            ),
            Scripted(agent="researcher", when=looks, answer=then),
        ]
    )
