"""The team at work on a run: what it is given, what it tells, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from langgraph.errors import EmptyInputError
from langgraph.graph import END
from langgraph.types import Command

from agents import roster
from agents.agent import Agent
from graphs import events, team
from graphs.context import Emit, TeamContext, usage_of
from graphs.effects import Effects, MemoryEffects
from graphs.permits import NoPermits, Permits
from guardrails import limits, policy
from guardrails.hosts import HostPattern
from guardrails.redaction import Kind
from models.chat import ChatModel
from models.errors import ModelError
from models.registry import Role
from server import graph_stream, limit_asking, model_routing, starting
from server.executor import (
    Begun,
    begin,
    fence_of,
    head_of,
    options_of,
    outcome_of,
    refused,
    steered,
)
from server.heard_head import HeardHead
from server.redacted_telling import Telling
from server.registry import GraphRegistry
from server.runs.ledger import RunLedgers
from server.runs.record import RunRecord
from server.runs.workload import workload_of
from server.telemetry.hearing import Listeners
from server.wire import graph_messages
from tools.file_preview import Files, NamedFiles
from tools.tool import Tool

# Far above what the ledger permits: the ledger ends a run, not LangGraph's own limit.
_RECURSION = 1_000
# What the caller, or who runs the model, can do something about.
_TOLD = (
    ModelError,
    EmptyInputError,
    starting.BadCommandError,
    graph_messages.BadMessageError,
)

PermitsOf = Callable[[RunRecord], Permits]
EffectsOf = Callable[[RunRecord], Effects]


def _nobody_asked(record: RunRecord) -> Permits:
    del record
    return NoPermits()


def _forgotten(record: RunRecord) -> Effects:
    del record
    return MemoryEffects()


class TeamExecutor:
    """Runs the graph ``team`` for a run record; see ``server.runs.worker.Executor``."""

    def __init__(
        self,
        *,
        registry: GraphRegistry,
        ledgers: RunLedgers,
        agents: Mapping[str, Agent],
        models: Mapping[Role, ChatModel],
        tools: Mapping[str, Tool],
        files: Files | None = None,
        rules: Sequence[policy.Rule],
        limits: limits.Limits,
        max_rounds: int = 2,
        permits: PermitsOf = _nobody_asked,
        effects: EffectsOf = _forgotten,
        tool_seconds: float | None = None,
        link_hosts: Sequence[HostPattern] = (),
        redacted: frozenset[Kind] = frozenset(),
        limit_terms: policy.Terms | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        self._registry = registry
        self._ledgers = ledgers
        self._agents = {**roster.voices(), **agents}
        self._models = models
        self._tools = tools
        self._files = files if files is not None else NamedFiles()
        self._rules = rules
        self._limits = limits
        self._max_rounds = max_rounds
        self._permits = permits
        self._effects = effects
        self._tool_seconds = tool_seconds
        self._link_hosts = link_hosts
        self._redacted = redacted
        self._limit_terms = limit_terms
        self._listeners = listeners or Listeners()

    async def __call__(self, record: RunRecord, emit: Emit, /) -> events.Outcome:
        """Advance the run to its end or pause; goes on from its checkpoint where it has one.

        Raises RedisError and FencedError.
        """
        asked = record.asked
        permits = self._permits(record)
        told = limit_asking.answered(record)
        head = HeardHead(hear=partial(self._listeners.hear, record))
        async with self._registry.open(
            team.TEAM,
            tenant=record.tenant,
            thread_id=record.thread_id,
            fence=fence_of(record),
            saved=head.saved,
        ) as graph:
            if told is None:
                begun = await begin(record, graph, ledgers=self._ledgers)
            else:
                record, begun = await self._told(record, told, graph=graph, permits=permits)
            if (ended := refused(begun.start)) is not None:
                return ended.model_copy(update={"usage": usage_of(begun.account.spent)})
            state, durable = begun.head, begun.ledger
            given = await steered(begun, record, graph)
            ledger = limits.Ledger(
                _raised(self._limits.lowered(asked.limits), asked.raised, begun.account.raised),
                clock=time.monotonic,
                spent=_before(begun, record),
            )
            telling = Telling(emit, kinds=self._redacted)
            context = TeamContext(
                run_id=record.run_id,
                thread_id=record.thread_id,
                tenant=record.tenant,
                collection=asked.collection,
                agent=asked.agent,
                agents=self._agents,
                models=model_routing.serving(self._models, workload_of(record)),
                tools=self._tools,
                files=self._files,
                rules=self._rules,
                ledger=ledger,
                tell=telling,
                max_rounds=self._max_rounds,
                durable=durable,
                overheard=bool(graph_stream.MESSAGES & set(asked.stream_modes)),
                user=asked.user,
                roles=frozenset(asked.roles),
                permits=permits,
                effects=self._effects(record),
                tool_seconds=self._tool_seconds,
                link_hosts=self._link_hosts,
                apart=bool(asked.interrupt_before or asked.interrupt_after),
                steered=given,
            )
            if isinstance(begun.start, starting.Begin):
                state = None
                try:
                    await self._run(
                        record, graph=graph, start=begun.start, context=context, head=head
                    )
                except _TOLD as error:
                    telling.flush()
                    await durable.flush(spent=ledger.spent, over=True)
                    return events.RunFailed(
                        error=type(error).__name__,
                        message=str(error),
                        usage=usage_of(ledger.spent),
                    )
                state = head.ended(record)
            telling.flush()
            state = state or await graph.aget_state(head_of(record))
        outcome = outcome_of(state, record=record)
        usage = usage_of(ledger.spent)
        if isinstance(outcome, events.RunFinished):
            finished = telling.ending(_finished(outcome, state.values, usage=usage))
            stays = told is not None and isinstance(begun.start, starting.Finished)
            if self._limit_terms is not None and not stays:
                waits = limit_asking.paused(finished, record, terms=self._limit_terms)
                if waits is not None:
                    await durable.flush(spent=ledger.spent, over=False)
                    return waits
            await durable.flush(spent=ledger.spent, over=True)
            return finished
        await durable.flush(spent=ledger.spent, over=False)
        return telling.ending(outcome).model_copy(update={"usage": usage})

    async def _told(
        self, record: RunRecord, told: limit_asking.Answered, *, graph: Any, permits: Permits
    ) -> tuple[RunRecord, Begun]:
        """How an attempt begins that heard about the limit which had stopped its run."""
        head = await graph.aget_state(head_of(record))
        stopped = head.values.get("stopped") or {}
        account = await self._ledgers.account(record.run_id)
        plain = limit_asking.goes_on(record, told)
        waits_there = stopped.get("at") == told.checkpoint_id
        if account.answering == (record.resumes, [told.interrupt]) and not waits_there:
            # An earlier attempt has begun there; this one goes on where that came to.
            return plain, await begin(plain, graph, ledgers=self._ledgers)
        after = record.asked.answers or None
        raised = told.raised
        if waits_there and raised is not None:
            raised = raised or limit_asking.proposed(events.Stopped.model_validate(stopped))
            if await permits.consume(limit_asking.TOOL, raised, call_id=told.interrupt):
                account, ledger = await self._ledgers.open(
                    record,
                    after=after,
                    answering=[told.interrupt],
                    raised={**account.raised, **raised},
                )
                start = starting.Begin(given=None, forks=True)
                return plain, Begun(start=start, account=account, ledger=ledger)
        account, ledger = await self._ledgers.open(record, after=after)
        return record, Begun(start=starting.Finished(), account=account, ledger=ledger, head=head)

    async def _run(
        self,
        record: RunRecord,
        *,
        graph: Any,
        start: starting.Begin,
        context: TeamContext,
        head: HeardHead,
    ) -> None:
        asked = record.asked
        config = starting.config_of(record, forks=start.forks, steered=context.steered)
        if _ends(start.given):
            # Calls that wait travel in Sends, which going to the end would leave where they are.
            await graph.aupdate_state(config, None, as_node=END)
            return
        config["recursion_limit"] = _RECURSION
        # Its own events, which every surface knows, stand for `custom`.
        modes = graph_stream.modes_of([mode for mode in asked.stream_modes if mode != "custom"])
        with_events = graph_stream.EVENTS in asked.stream_modes
        # With LangChain's events, what is streamed is told among them.
        heard = modes if with_events or "values" in modes else [*modes, "values"]
        chunks = graph_stream.Chunks(asked.stream_modes)
        async for mode, namespace, data in graph_stream.stream(
            graph,
            _given(start.given, record),
            config,
            modes=heard,
            with_events=with_events,
            subgraphs=asked.stream_subgraphs,
            **options_of(record, context=context),
        ):
            if mode == "values" and not namespace:
                head.values = data
            if mode != "values" or mode in modes:
                context.tell(chunks.chunk(mode, namespace, data))


def _ends(given: Any) -> bool:
    """Whether a run is only to let go of what its thread waits for."""
    return isinstance(given, Command) and given.goto == [END] and given.resume is None


def _given(given: Any, record: RunRecord) -> Any:
    """A fresh input with its messages read, and what was spent begun anew."""
    if given is None or isinstance(given, Command):
        return given
    messages = given.get("messages") if isinstance(given, Mapping) else given
    return {
        "messages": graph_messages.read(messages),
        "run_id": record.run_id,
        "spent": None,
    }


def _before(begun: Begun, record: RunRecord) -> limits.Spent:
    """What earlier attempts spent: as counted in Redis, or as the last step saw it, if more."""
    counted = begun.account.spent
    head = begun.head
    if head is None or (head.metadata or {}).get("run_id") != record.run_id:
        return counted
    seen = limits.Spent(**(head.values.get("spent") or {}))
    return limits.Spent(
        **{
            one.name: max(getattr(counted, one.name), getattr(seen, one.name))
            for one in fields(limits.Spent)
        }
    )


def _finished(
    end: events.RunFinished, values: Mapping[str, Any], *, usage: events.Usage
) -> events.RunFinished:
    reason = values.get("stop_reason") or team.ANSWERED
    stopped = values.get("stopped") or {}
    ended_by_it = bool(stopped.get("at")) and stopped["limit"] == reason
    return end.model_copy(
        update={
            "sources": [
                events.Source.model_validate(source) for source in values.get("cited") or ()
            ],
            "citations": [
                events.Citation.model_validate(one) for one in values.get("citations") or ()
            ],
            **_made(values),
            "stop_reason": reason,
            "unsupported_share": (values.get("verdict") or {}).get("unsupported_share"),
            "stopped": events.Stopped.model_validate(stopped) if ended_by_it else None,
            "usage": usage,
        }
    )


def _made(values: Mapping[str, Any]) -> dict[str, Any]:
    """The code behind the answer, and what it made, as the answer's message has them."""
    last = next(iter(reversed(values.get("messages") or ())), None)
    told = getattr(last, "additional_kwargs", {})
    return {
        "artifacts": [events.Artifact.model_validate(one) for one in told.get("artifacts") or ()],
        "cells": [events.Cell.model_validate(one) for one in told.get("cells") or ()],
    }


def _raised(lowered: limits.Limits, *raised: Mapping[str, Any]) -> limits.Limits:
    """What an operator allows this one run, by the limits' names."""
    for name, to in (pair for one in raised for pair in one.items()):
        limit = limits.Limit(name)
        present = lowered.maxima.get(limit)
        if present is not None and to > present:
            lowered = lowered.raised(limit, to=to)
    return lowered
