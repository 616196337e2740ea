"""What a worker does with a run: the team's way for ``team``, LangGraph's for users' graphs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command, StateSnapshot
from pydantic import BaseModel
from redis.exceptions import RedisError

from graphs import events, team
from graphs.context import Emit, usage_of
from graphs.fence import FencedError
from graphs.plain import plain
from guardrails.limits import Limit, LimitExceededError, Limits
from server import graph_stream, starting
from server.patience import Clock, OverdueError, until_over
from server.registry import Graph, GraphRegistry
from server.runs.asked import FRONTEND
from server.runs.ledger import Account, RunLedger, RunLedgers
from server.runs.record import RunRecord
from server.spending import Spending
from server.telemetry.graph_callbacks import GraphCallbacks
from server.telemetry.hearing import Listeners

TIMEOUT = "timeout"
_LONGEST_MESSAGE = 2_000

Advance = Callable[[RunRecord, Emit], Coroutine[Any, Any, events.Outcome]]


class Executor:
    """Dispatches a run by its graph's name; see ``server.runs.worker.Executor``."""

    def __init__(
        self, *, team_executor: Advance, graph_executor: Advance, frontend: Advance | None = None
    ) -> None:
        self._own = {team.TEAM: team_executor, FRONTEND: frontend or graph_executor}
        self._graph = graph_executor

    async def __call__(self, record: RunRecord, emit: Emit, /) -> events.Outcome:
        """Raises RedisError and FencedError; whatever else goes wrong is an outcome."""
        chosen = self._own.get(record.asked.graph, self._graph)
        return await until_over(chosen(record, emit))


class GraphExecutor:
    """Runs users' graphs: what they raise is told to the caller, and how they stop is kept."""

    def __init__(
        self,
        *,
        registry: GraphRegistry,
        ledgers: RunLedgers,
        limits: Limits,
        listeners: Listeners | None = None,
        traced: bool = False,
    ) -> None:
        """With ``traced`` listeners hear what happens inside a graph, too."""
        self._registry = registry
        self._ledgers = ledgers
        self._limits = limits
        self._listeners = listeners or Listeners()
        self._traced = traced

    async def __call__(self, record: RunRecord, emit: Emit, /) -> events.Outcome:
        """Advance the run to its end or pause, from where its last attempt left it."""
        spending = Spending(self._limits.lowered(record.asked.limits))
        most = seconds_of(record, self._limits)
        clock = Clock(most)
        try:
            outcome = await until_over(self._advance(record, emit, spending, clock), clock=clock)
        except (RedisError, FencedError):
            raise
        except OverdueError:
            outcome = timed_out(most)
        except LimitExceededError as reached:
            outcome = limited(reached)
        except TimeoutError as error:
            step = spending.limits.step_seconds
            if step is not None and _is_the_engines(error):
                outcome = limited(LimitExceededError(Limit.STEP_SECONDS, used=step, maximum=step))
            else:
                outcome = failed(error)
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            outcome = failed(error)
        spent = spending.spent
        if spending.ledger is not None:
            over = not isinstance(outcome, events.RunInterrupted)
            await spending.ledger.flush(spent=spent, over=over)
        return outcome.model_copy(update={"usage": usage_of(spent)})

    async def _advance(
        self, record: RunRecord, emit: Emit, spending: Spending, clock: Clock
    ) -> events.Outcome:
        asked = record.asked
        async with self._registry.open(
            asked.graph,
            starting.config_of(record, forks=True),
            tenant=record.tenant,
            thread_id=record.thread_id,
            fence=fence_of(record),
            context=asked.context,
            saved=partial(self._listeners.hear, record),
        ) as graph:
            stepwise = _stepwise(graph, spending.limits)
            return await self._with(stepwise, record, emit, spending, clock)

    async def _with(
        self, graph: Graph, record: RunRecord, emit: Emit, spending: Spending, clock: Clock
    ) -> events.Outcome:
        asked = record.asked
        begun = await begin(record, graph, ledgers=self._ledgers)
        spending.ledger, spending.before = begun.ledger, begun.account.spent
        left = seconds_of(record, self._limits) - spending.spent.seconds
        if left <= 0:
            return timed_out(seconds_of(record, self._limits))
        clock.shorten(left)
        state = begun.head
        if (ended := refused(begun.start)) is not None:
            return ended
        if isinstance(begun.start, starting.Begin):
            config = starting.config_of(record, forks=begun.start.forks)
            config["callbacks"] = [spending, *self._callbacks(record)]
            chunks = graph_stream.Chunks(asked.stream_modes)
            async for mode, namespace, data in graph_stream.stream(
                graph,
                begun.start.given,
                config,
                modes=graph_stream.modes_of(asked.stream_modes),
                with_events=graph_stream.EVENTS in asked.stream_modes,
                subgraphs=asked.stream_subgraphs,
                **options_of(record, context=context_of(record, graph)),
            ):
                emit(chunks.chunk(mode, namespace, data))
            state = None
        return outcome_of(state or await graph.aget_state(head_of(record)), record=record)

    def _callbacks(self, record: RunRecord) -> list[GraphCallbacks]:
        if not self._traced:
            return []
        return [GraphCallbacks(lambda event, at: self._listeners.hear(record, event, at=at))]


def _stepwise(graph: Graph, limits: Limits) -> Graph:
    """The graph with the time that a step may take, unless its author has set less."""
    most = limits.step_seconds
    if most is None or (graph.step_timeout is not None and graph.step_timeout <= most):
        return graph
    return graph.copy({"step_timeout": most})


def _is_the_engines(error: TimeoutError) -> bool:
    """Whether LangGraph ended a step, and no node's own code ran out of time."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = [str(frame.f_globals.get("__name__")) for frame in frames]
    own = [name for name in modules if not name.startswith("asyncio")]
    return bool(own) and own[-1] == "langgraph.pregel._runner"


def seconds_of(record: RunRecord, limits: Limits) -> float:
    """How long the run may be active: what it asked for, at most what the operator allows."""
    asked = record.asked.limits.get("seconds")
    return limits.seconds if asked is None else min(limits.seconds, float(asked))


def fence_of(record: RunRecord) -> str:
    """A run that nobody claimed, as in tests of an executor alone, is not fenced."""
    return record.fence if record.token else ""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """An attempt that may start. ``head`` is the thread's latest state, where it was looked at."""

    start: starting.Start
    account: Account
    ledger: RunLedger
    head: StateSnapshot | None = None


async def begin(record: RunRecord, graph: Graph, *, ledgers: RunLedgers) -> Begun:
    """How this attempt begins; what it answers is noted before it does. Raises FencedError."""
    if not starting.needs_look(record):
        given = starting.first_input(record.asked)
        fresh = starting.Begin(given=given, forks=starting.forks(record.asked))
        start = await _unless_gone(fresh, record, graph)
        return Begun(start=start, account=Account(), ledger=ledgers.fresh(record))
    head = await graph.aget_state(head_of(record))
    noted = (await ledgers.account(record.run_id)).answering
    start = starting.decide(
        record,
        head,
        answering=noted[1] if noted is not None and noted[0] == record.resumes else None,
        stops=await _stops(record, graph, head),
    )
    start = await _unless_gone(start, record, graph)
    given = start.given if isinstance(start, starting.Begin) else None
    answering = None
    if isinstance(given, Command) and given.resume is not None:
        answering = starting.answered(given, [one.id for one in head.interrupts])
    # What goes on where another run stopped goes on with its spending too.
    goes_on = bool(head.tasks) and (given is None or isinstance(given, Command))
    account, ledger = await ledgers.open(
        record,
        after=record.asked.continues
        or (str((head.metadata or {}).get("run_id") or record.run_id) if goes_on else None),
        answering=answering,
    )
    return Begun(start=start, account=account, ledger=ledger, head=head)


async def steered(begun: Begun, record: RunRecord, graph: Graph) -> bool:
    """Whether the run goes on with what a caller has written, rather than a run of its thread."""
    start, head = begun.start, begun.head
    if starting.steers(record.asked):
        return True
    if isinstance(start, starting.Begin) and not isinstance(start.given, Command | None):
        return False
    if isinstance(start, starting.Begin) and start.forks:
        head = await graph.aget_state(starting.place_of(record))
    return head is not None and starting.is_steered(head)


async def _unless_gone(start: starting.Start, record: RunRecord, graph: Graph) -> starting.Start:
    """LangGraph would begin with an empty state where it does not find the one to go on from."""
    checkpoint_id = starting.goes_on_from(record.asked)
    if checkpoint_id is None or not isinstance(start, starting.Begin) or not start.forks:
        return start
    place = {"thread_id": record.thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}
    saver = cast("BaseCheckpointSaver[str]", graph.checkpointer)
    found = await saver.aget_tuple({"configurable": place})
    return start if found is not None else starting.Gone()


async def _stops(record: RunRecord, graph: Graph, head: StateSnapshot) -> bool:
    """Whether a breakpoint keeps the graph from going on where it is."""
    if not head.next:
        return False
    before = record.asked.interrupt_before or graph.interrupt_before_nodes
    if before == "*" or set(head.next) & set(before):
        return True
    after = record.asked.interrupt_after or graph.interrupt_after_nodes
    return bool(after) and (after == "*" or bool(await _last_nodes(graph, head) & set(after)))


async def _last_nodes(graph: Graph, head: StateSnapshot) -> set[str]:
    """The nodes whose step made the latest checkpoint: they saw more than in the one before."""
    saver = cast("BaseCheckpointSaver[str]", graph.checkpointer)
    latest = await saver.aget_tuple(head.config)
    if latest is None or latest.parent_config is None:
        return set()
    former = await saver.aget_tuple(latest.parent_config)
    before = {} if former is None else former.checkpoint["versions_seen"]
    seen = latest.checkpoint["versions_seen"]
    return {node for node, versions in seen.items() if versions != before.get(node)}


def head_of(record: RunRecord) -> RunnableConfig:
    """Where the thread's latest state is found by its public name."""
    return {"configurable": {"thread_id": record.thread_id}}


def options_of(record: RunRecord, *, context: Any) -> dict[str, Any]:
    """What ``astream`` is told besides input and configuration."""
    asked = record.asked
    options: dict[str, Any] = {
        "durability": _durability(asked.kwargs),
        "context": context,
    }
    for name, nodes in (
        ("interrupt_before", asked.interrupt_before),
        ("interrupt_after", asked.interrupt_after),
    ):
        if nodes:
            options[name] = nodes if isinstance(nodes, str) else list(nodes)
    return options


def _durability(kwargs: Mapping[str, Any]) -> str:
    """When steps are stored; ``checkpoint_during`` is how older clients say it."""
    during = {True: "async", False: "exit"}.get(cast("bool", kwargs.get("checkpoint_during")))
    told = kwargs.get("durability") or during
    return str(told) if told in ("sync", "async", "exit") else "sync"


def context_of(record: RunRecord, graph: Graph) -> Any:
    """The run's context. Older clients say it in ``configurable``: the schema's part of that is it.

    A graph without a schema is given what was asked, as it is.
    """
    asked = record.asked
    if asked.context is not None or graph.context_schema is None:
        return asked.context
    known = _fields(graph.context_schema)
    return {name: value for name, value in asked.configurable.items() if name in known} or None


def _fields(schema: Any) -> Collection[str]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_fields.keys()
    found: set[str] = set()
    for kind in getattr(schema, "__mro__", (schema,)):
        found |= getattr(kind, "__annotations__", {}).keys()
    return found


def outcome_of(state: StateSnapshot, *, record: RunRecord) -> events.Outcome:
    """How the graph stopped: at its end, at an interrupt, or at a breakpoint."""
    checkpoint_id = (state.config.get("configurable") or {}).get("checkpoint_id")
    asked = record.asked
    # What is told when the thread may be gone.
    values = plain(state.values) if asked.temporary or asked.webhook else None
    if state.next:
        return events.RunInterrupted(
            interrupts=[
                events.Interrupt(
                    id=one.id,
                    value=plain(one.value),
                    response_schema=plain(one.response_schema)
                    if isinstance(one.response_schema, dict)
                    else None,
                )
                for one in state.interrupts
            ],
            checkpoint_id=checkpoint_id,
            values=values,
        )
    return events.RunFinished(
        answer=_answer(state.values),
        stop_reason=team.ANSWERED,
        usage=events.Usage(),
        checkpoint_id=checkpoint_id,
        values=values,
    )


def failed(error: BaseException) -> events.RunFailed:
    """A graph's own error: class and words, which are its author's; never where it came from."""
    message = str(plain(str(error))).strip() or "the graph said nothing more"
    return events.RunFailed(error=type(error).__name__, message=message[:_LONGEST_MESSAGE])


def refused(start: starting.Start) -> events.RunFailed | None:
    """The end of a run that cannot begin at all."""
    match start:
        case starting.Overtaken():
            return events.RunFailed(
                error="overtaken",
                message="Another run went on with this thread, so the question is gone; ask anew.",
            )
        case starting.Gone():
            return events.RunFailed(
                error="checkpoint_gone",
                message="The thread has no such checkpoint, or keeps it no more; its history lists "
                "those that it has.",
            )
    return None


def timed_out(seconds: float) -> events.RunFailed:
    return events.RunFailed(
        error=TIMEOUT, message=f"The run took longer than {seconds:g} s; raise max_seconds."
    )


def limited(reached: LimitExceededError) -> events.RunFailed:
    """The end of a run that a limit keeps from going on, and that cannot answer with less."""
    return events.RunFailed(
        error=reached.limit.value,
        message=f"{reached.limit}: {reached.used:g} of {reached.maximum:g} used; raise it.",
    )


def _answer(values: Any) -> str:
    """The last thing that a model said, where the state is a conversation."""
    messages = values.get("messages") if isinstance(values, Mapping) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    return last.text if isinstance(last, AIMessage) else ""
