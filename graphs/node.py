"""What every node of the team's graph does: tell, count, keep within the time, open a prompt."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel

from agents import agent as agent_module
from graphs import events
from graphs.context import LedgerGate, TeamContext
from guardrails import limits, links
from models.chat import Reply
from models.hearing import Hear, Heard


@asynccontextmanager
async def in_time(ledger: limits.Ledger) -> AsyncIterator[None]:
    """Ends what runs longer than a step may, or the run may still be active.

    Raises LimitExceededError.
    """
    left, most = ledger.seconds_left, ledger.limits.step_seconds
    try:
        async with asyncio.timeout(left if most is None else min(left, most)) as timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        if most is not None and most < left:
            raise limits.LimitExceededError(
                limits.Limit.STEP_SECONDS, used=most, maximum=most
            ) from None
        raise limits.LimitExceededError(
            limits.Limit.SECONDS, used=ledger.spent.seconds, maximum=ledger.limits.seconds
        ) from None


def emit(runtime: Runtime[TeamContext], event: events.RunEvent) -> None:
    """Tell the world of one event."""
    # Not by LangGraph's stream writer, which wakes the loop with a system call for each.
    runtime.context.tell(event)


def gate_for(runtime: Runtime[TeamContext], *, agent: str, task_id: str) -> LedgerGate:
    """The way of one model call through the run's ledger."""
    return LedgerGate(
        runtime.context.ledger,
        agent=agent,
        task_id=task_id,
        emit=lambda event: emit(runtime, event),
        durable=runtime.context.durable,
    )


def heard_by(runtime: Runtime[TeamContext], *, agent: str, task_id: str) -> Hear | None:
    """Who is told each piece that a model writes; None where nobody reads them."""
    if not runtime.context.overheard:
        return None

    tell = runtime.context.tell
    text, reasoning = links.Pieces(), links.Pieces()

    def hear(heard: Heard) -> None:
        # Models write thousands: nothing looks each through.
        tell(
            events.ModelDelta.model_construct(
                agent=agent,
                task_id=task_id,
                message_id=heard.message_id,
                text=text(heard.text),
                reasoning=reasoning(heard.reasoning),
            )
        )

    return hear


def tell_limit(runtime: Runtime[TeamContext], reached: limits.LimitExceededError) -> None:
    """Tell the world which limit ended the work."""
    emit(
        runtime,
        events.LimitReached(limit=reached.limit.value, used=reached.used, maximum=reached.maximum),
    )


def stopped(
    runtime: Runtime[TeamContext], reached: limits.LimitExceededError, *, at: str = ""
) -> dict[str, Any]:
    """A limit as a state update: why the run ends, and ``at`` which checkpoint it would go on."""
    info = runtime.execution_info
    return {
        "stop_reason": reached.limit.value,
        "stopped": {
            "limit": reached.limit.value,
            "used": reached.used,
            "maximum": reached.maximum,
            "run_id": runtime.context.run_id,
            "at": at or (info.checkpoint_id if info is not None else ""),
        },
    }


def spending(runtime: Runtime[TeamContext]) -> dict[str, Any]:
    """The ledger's count as a state update: a resumed run goes on with it. Tells of limits that
    are nearly reached."""
    for near in runtime.context.ledger.warnings():
        emit(
            runtime,
            events.LimitNear(limit=near.limit.value, used=near.used, maximum=near.maximum),
        )
    return {"spent": dict(vars(runtime.context.ledger.spent))}


def opening_messages(agent: agent_module.Agent, *, rule: str = "") -> list[AnyMessage]:
    """An agent's system text, with a further rule for its model, and its examples."""
    return list(_opening(agent.prompt, rule))


@functools.lru_cache(maxsize=64)
def _opening(prompt: agent_module.Prompt, rule: str) -> tuple[AnyMessage, ...]:
    """Made once: messages are costly to make, and nobody changes one."""
    system = f"{prompt.system}\n\n{rule}" if rule else prompt.system
    messages: list[AnyMessage] = [SystemMessage(system)]
    for asked, answered in prompt.examples:
        messages += [HumanMessage(asked), AIMessage(answered)]
    return tuple(messages)


async def ask(
    agent: agent_module.Agent,
    said: Sequence[AnyMessage],
    runtime: Runtime[TeamContext],
    *,
    answer: type[BaseModel] | None = None,
    task_id: str = "",
) -> Reply:
    """One step of an agent that has no tools. Raises LimitExceededError, ModelError."""
    context = runtime.context
    context.ledger.step()
    async with in_time(context.ledger):
        return await context.model_for(agent).call(
            [*opening_messages(agent), *said],
            answer=answer,
            max_tokens=agent.max_tokens,
            gate=gate_for(runtime, agent=agent.name, task_id=task_id),
            agent=agent.name,
            heard=heard_by(runtime, agent=agent.name, task_id=task_id),
        )
