"""The team at work on a run: the seam where LangGraph's chunks become our events and our end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from agents import roster
from agents.agent import Agent
from graphs import events, team
from graphs.context import Emit, TeamContext, usage_of
from guardrails import limits, policy
from models.chat import ChatModel
from models.errors import ModelError
from models.registry import Role
from server.runs.records import RunRecord
from server.runs.worker import Outcome
from tools.tool import Tool

# Far above what the ledger permits: the ledger ends a run, not LangGraph's own limit.
_RECURSION = 1_000


class TeamExecutor:
    """Runs the graph ``team`` for a run record; see ``server.runs.worker.Executor``."""

    def __init__(
        self,
        *,
        saver: BaseCheckpointSaver[str],
        agents: Mapping[str, Agent],
        models: Mapping[Role, ChatModel],
        tools: Mapping[str, Tool],
        rules: Sequence[policy.Rule],
        limits: limits.Limits,
        max_rounds: int = 2,
    ) -> None:
        self._graph = team.build(saver)
        self._agents = {**roster.voices(), **agents}
        self._models = models
        self._tools = tools
        self._rules = rules
        self._limits = limits
        self._max_rounds = max_rounds

    async def __call__(self, record: RunRecord, emit: Emit, /) -> Outcome:
        """Advance the run to its end; goes on from its checkpoint where it has one."""
        config: RunnableConfig = {
            "configurable": {"thread_id": record.checkpoint_thread},
            "metadata": {"run_id": record.run_id},
            "recursion_limit": _RECURSION,
        }
        snapshot = await self._graph.aget_state(config)
        resumes = snapshot.values.get("run_id") == record.run_id
        if resumes and not snapshot.next:
            return _finished(snapshot.values, usage=usage_of(_spent(snapshot.values)))
        before = _spent(snapshot.values) if resumes else limits.Spent()
        ledger = limits.Ledger(
            _limits(self._limits, record.asked.limits), clock=time.monotonic, spent=before
        )
        context = TeamContext(
            run_id=record.run_id,
            thread_id=record.thread_id,
            tenant=record.tenant,
            collection=record.asked.collection,
            agent=record.asked.agent,
            agents=self._agents,
            models=self._models,
            tools=self._tools,
            rules=self._rules,
            ledger=ledger,
            max_rounds=self._max_rounds,
        )
        given = (
            None
            if resumes
            else {
                "messages": [_message(message) for message in record.asked.messages],
                "run_id": record.run_id,
                "spent": None,
            }
        )
        try:
            async for chunk in self._graph.astream(
                given, config, context=context, stream_mode="custom", durability="sync"
            ):
                emit(events.EVENT.validate_python(chunk))
        except ModelError as error:
            return events.RunFailed(
                error=type(error).__name__, message=str(error), usage=usage_of(ledger.spent)
            )
        final = await self._graph.aget_state(config)
        return _finished(final.values, usage=usage_of(ledger.spent))


def _finished(values: Mapping[str, Any], *, usage: events.Usage) -> events.RunFinished:
    answer = values["messages"][-1]
    return events.RunFinished(
        answer=answer.text,
        sources=[events.Source.model_validate(source) for source in values.get("cited") or ()],
        stop_reason=values.get("stop_reason") or team.ANSWERED,
        usage=usage,
    )


def _spent(values: Mapping[str, Any]) -> limits.Spent:
    return limits.Spent(**(values.get("spent") or {}))


def _limits(default: limits.Limits, asked: Mapping[str, Any]) -> limits.Limits:
    """A run may ask for less than the operator's limits, never for more."""
    lowered = {
        name: min(getattr(default, name), asked[name])
        for name in ("steps", "tokens", "cost", "seconds")
        if asked.get(name) is not None
    }
    return replace(default, **lowered)


def _message(message: Mapping[str, Any]) -> AnyMessage:
    content = str(message["content"])
    match message["role"]:
        case "user":
            return HumanMessage(content)
        case "assistant":
            return AIMessage(content)
        case _:
            return SystemMessage(content)
