"""The whole surface over a real team and users' graphs, with tools that write and people to ask."""

from __future__ import annotations

import operator
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import httpx
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from redis.asyncio import Redis

from agents import roster
from graphs.keys import Keys
from graphs.saver import RedisSaver
from guardrails import limits, policy
from models.chat import ChatModel
from models.registry import Role
from models.scripted import ScriptedModel
from server.app import build
from server.approvals.record import Approval, ApprovalStatus
from server.approvals.sweeper import ApprovalSweeper
from server.auth import OPERATOR, Caller
from server.executor import Executor, GraphExecutor
from server.graph_source import GraphSource
from server.pauses import Pauses
from server.permits import QueuePermits
from server.registry import GraphRegistry
from server.runs.effects import RedisEffects
from server.runs.ledger import RedisRunLedgers
from server.runs.worker import RunWorker
from server.team import TeamExecutor
from server.telemetry.hearing import Listeners
from tests.graphs.asking_house import RULES, World, armed
from tests.graphs.team_house import searching
from tests.server.surface import Parts, in_process

LIMITS = limits.Limits(steps=20, tokens=100_000, cost=1.0, seconds=60.0)


class Log(TypedDict, total=False):
    done: Annotated[list[Any], operator.add]


sent: list[dict[str, Any]] = []
"""What the users' own tool has sent; emptied by each test that looks."""


@tool
def send_mail(to: str, copies: int = 1) -> str:
    """Send a mail."""
    sent.append({"to": to, "copies": copies})
    return f"sent to {to}"


class _Calls(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        del tools, kwargs
        return self


def _agent(mode: str) -> Any:
    calls = [
        {"name": "send_mail", "args": {"to": name, "copies": 1}, "id": f"call-{name}"}
        for name in ("ada", "bob")
    ]
    steps = [AIMessage("", tool_calls=calls), AIMessage("done")]
    return create_agent(
        _Calls(messages=iter(steps)),
        tools=[send_mail],
        middleware=[
            HumanInTheLoopMiddleware(
                interrupt_on={"send_mail": True},
                interrupt_mode=mode,  # type: ignore[arg-type]
            )
        ],
    )


def batched() -> Any:
    return _agent("batched")


def per_call() -> Any:
    return _agent("per_call")


def _inbox(_: Log) -> Log:
    asked = {
        "action_request": {"action": "send_mail", "args": {"to": "ada", "copies": 1}},
        "config": {
            "allow_accept": True,
            "allow_edit": True,
            "allow_ignore": True,
            "allow_respond": True,
        },
        "description": "May I write?",
    }
    return {"done": [interrupt([asked])]}


def _bare(_: Log) -> Log:
    return {"done": [interrupt({"question": "Which colour?"})]}


def _graph(node: Any) -> Any:
    return StateGraph(Log).add_node("ask", node).add_edge(START, "ask").compile()


inbox, bare = _graph(_inbox), _graph(_bare)


def sources() -> Sequence[GraphSource]:
    return [
        GraphSource(name=name, target=f"{__name__}:{name}", folder=Path.cwd())
        for name in ("batched", "per_call", "inbox", "bare")
    ]


@dataclass(kw_only=True)
class People:
    """An app at work, its tools' world, and a thread on which everything happens."""

    client: httpx.AsyncClient
    parts: Parts
    world: World
    sweeper: ApprovalSweeper
    thread: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def ask(self, graph: str = "team", **more: Any) -> Any:
        """Start a run and give what it comes to."""
        given: dict[str, Any] = {"assistant_id": graph}
        if graph == "team":
            given["config"] = {"configurable": {"agent": "researcher"}}
        if "command" not in more:
            said = {"messages": [{"role": "user", "content": "Refund order 7"}]}
            given["input"] = {"done": []} if graph in {"inbox", "bare"} else said
        url = f"/threads/{self.thread}/runs/wait"
        reply = await self.client.post(url, json={**given, **more})
        return reply.json()

    async def answer(self, resume: Any, *, graph: str = "team") -> Any:
        return await self.ask(graph, command={"resume": resume})

    async def waiting(self) -> list[Approval]:
        """What waits for a decision, in the order of its places."""
        found = await self.parts.approvals.store.of_thread(self.thread, tenant="default")
        return sorted(
            (one for one in found if one.status is ApprovalStatus.PENDING),
            key=lambda one: (one.interrupt_id, one.index),
        )

    async def all(self) -> list[Approval]:
        return await self.parts.approvals.store.of_thread(self.thread, tenant="default")

    async def decide(
        self, one: Approval, choice: str = "approve", *, caller: Caller = OPERATOR, **more: Any
    ) -> Approval:
        return await self.parts.approvals.decide(
            one.approval_id,
            tenant="default",
            caller=caller,
            choice=policy.Choice(choice),
            **more,
        )

    async def over(self) -> Any:
        """Wait until the thread's newest run is over or waits, and give its state."""
        (record,) = await self.parts.runs.of_thread(self.thread, limit=1)
        return await self.parts.runs.wait(record.run_id)

    async def values(self) -> Any:
        return (await self.client.get(f"/threads/{self.thread}/state")).json()["values"]


@asynccontextmanager
async def at_work(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    model: ChatModel | None = None,
    *,
    rules: Sequence[policy.Rule] = RULES,
    world: World | None = None,
    most: limits.Limits = LIMITS,
    limit_terms: policy.Terms | None = None,
    listeners: Listeners | None = None,
    around: Callable[[Any], Any] = lambda executor: executor,
) -> AsyncIterator[People]:
    """Everything open, with one worker; ``around`` puts something around its executor."""
    world = world or World()
    saver, asked = RedisSaver(redis, keys), list[str]()
    tools = [*world.tools(), searching({}, asked)]
    models: dict[Role, ChatModel] = dict.fromkeys(Role, model or ScriptedModel(steps=[]))
    ledgers = RedisRunLedgers(redis, keys)
    async with GraphRegistry(saver=saver, store=parts.store, sources=sources()) as registry:
        team_executor = TeamExecutor(
            registry=registry,
            ledgers=ledgers,
            agents=armed(roster.build()),
            models=models,
            tools={one.name: one for one in tools},
            rules=rules,
            limits=most,
            permits=partial(QueuePermits, parts.approvals),
            effects=partial(RedisEffects, redis, keys),
            limit_terms=limit_terms,
            listeners=listeners,
        )
        graph_executor = GraphExecutor(registry=registry, ledgers=ledgers, limits=most)
        assistants = type(parts.assistants)(
            redis, keys, graphs=registry, agents=tuple(roster.build())
        )
        states = type(parts.states)(
            graphs=registry,
            saver=saver,
            threads=parts.threads,
            end_paused=parts.states._end_paused,
        )
        here = Parts(
            **{
                **vars(parts),
                "registry": registry,
                "assistants": assistants,
                "states": states,
            }
        )
        async with (
            RunWorker(
                records=parts.records,
                log=parts.log,
                queue=parts.queue,
                executor=around(
                    Executor(team_executor=team_executor, graph_executor=graph_executor)
                ),
                steps=saver,
                grace_seconds=0,
                on_pause=Pauses(parts.approvals, rules=rules),
                listeners=listeners,
            ),
            in_process(build(here)) as client,
        ):
            yield People(
                client=client,
                parts=here,
                world=world,
                sweeper=ApprovalSweeper(parts.approvals),
            )
